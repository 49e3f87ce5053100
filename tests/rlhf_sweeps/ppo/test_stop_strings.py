"""Stop strings in windows of a response, against decoding the whole response at every token."""

import random
from collections.abc import Callable, Sequence

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, Unigram, WordPiece
from transformers import PreTrainedTokenizerFast

from rlhf_sweeps.ppo.constants import REACH
from rlhf_sweeps.ppo.stop_strings import StopStringSearch

Decode = Callable[[list[int]], str]
# What texts are made of, and what cleaning looks for.
PIECES = [
    "a",
    "bc",
    "def",
    "'",
    "' s",
    "n't",
    ".",
    ",",
    "?",
    "!",
    "é",
    "ß",
    "日本",
    "🙂",
    "👩‍👩‍👧",
    "\n",
    "  ",
    "#",
    "ing",
    "re",
]
LONG = "internationalization"


def byte_level() -> Tokenizer:
    """As GPT-2's: every byte is a token, so a character may be split over four, or never be finished."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("h", "e"), ("Ġ", "he"), ("Ċ", "Ċ"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"), ("Ã", "©"), ("he", "ĊĊ")]
    tokens = alphabet + ["".join(pair) for pair in merges] + [LONG]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def byte_fallback() -> Tokenizer:
    """As Llama 2's: a run of bytes is text as a whole or not at all, and the text loses its first space."""
    pieces = ["▁", "▁▁", "▁" * 24, "▁he", "llo", "x", ".", LONG]
    tokens = pieces + [f"<0x{byte:02X}>" for byte in [*range(0x61, 0x64), 0x0A, 0xC3, 0xA9, 0xF0, 0x9F, 0x99, 0x82]]
    tokenizer = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, [], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def metaspace() -> Tokenizer:
    """As T5's: the first token loses all its spaces."""
    pieces = ["▁", "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁", "▁the", "y", "'", "▁'", "▁.", "s", "n't", "▁n't", "日", LONG]
    tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def word_piece() -> Tokenizer:
    """As BERT's: a space before every token but the first, unless it goes on with a word; cleaned up."""
    pieces = ["[UNK]", "do", "##ing", "n", "'", "t", "##s", ".", ",", "!", "#", "##'", "##", "re", "日", LONG]
    tokenizer = Tokenizer(WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return tokenizer


def suffixed() -> Tokenizer:
    """As the first GPT's: a word's last token brings a space, unless it is the text's last."""
    pieces = ["he</w>", "he", "l", "lo</w>", ".</w>", "'</w>", "'", "日</w>", LONG]
    tokenizer = Tokenizer(BPE({piece: i for i, piece in enumerate(pieces)}, [], end_of_word_suffix="</w>"))
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


MAKERS = [byte_level, byte_fallback, metaspace, word_piece, suffixed]
EACH = pytest.mark.parametrize("make", MAKERS)
CLEANING = pytest.mark.parametrize("cleans", [False, True])


def decoder(make: Callable[[], Tokenizer], cleans: bool) -> tuple[Decode, int]:
    """Its decoding without special tokens, and the number of ids; two are special, one is added and plain."""
    backend = make()
    backend.add_special_tokens([AddedToken("<s>", special=True), AddedToken("<|end|>", special=True)])
    backend.add_tokens([AddedToken("[more]", normalized=False)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="<|end|>",
        clean_up_tokenization_spaces=cleans,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=cleans,
    )
    return lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)), len(tokenizer)


def first_end(response: Sequence[int], strings: Sequence[str], decode: Decode) -> int | None:
    """Tokens of the shortest beginning whose text holds one of the strings."""
    texts = (decode(list(response[:n])) for n in range(1, len(response) + 1))
    return next((n for n, text in enumerate(texts, 1) if any(string in text for string in strings)), None)


def found_end(response: Sequence[int], strings: Sequence[str], decode: Decode) -> int | None:
    search = StopStringSearch(strings, decode)
    return next((n for n in range(1, len(response) + 1) if search.ends(list(response[:n]))), None)


def draw_response(draws: random.Random, num_ids: int) -> list[int]:
    """Long enough for several windows; at times a few ids alone, which makes runs of bytes, spaces or apostrophes."""
    ids = range(num_ids) if draws.random() < 0.5 else draws.sample(range(num_ids), 4)
    return draws.choices(ids, k=draws.randint(20, 160))


def draw_string(draws: random.Random, text: str) -> str:
    """Mostly one that the text holds late, if at all."""
    length = draws.choice([1, 2, 3, 5, 8, 13, 30])
    start = draws.randrange(max(1, len(text) - length))
    return text[start : start + length] or "?"


@EACH
@CLEANING
def test_the_end_is_that_of_the_whole_text(make: Callable[[], Tokenizer], cleans: bool) -> None:
    decode, num_ids = decoder(make, cleans)
    draws = random.Random(0)
    ends = []
    for _ in range(60):
        response = draw_response(draws, num_ids)
        strings = [draw_string(draws, decode(response)) for _ in range(draws.randint(1, 2))]
        ends.append(first_end(response, strings, decode))
        assert found_end(response, strings, decode) == ends[-1], (response, strings)
    assert len(set(ends)) > 20


def ids(make: Callable[[], Tokenizer], *tokens: str) -> list[int]:
    vocabulary = make().get_vocab()
    return [vocabulary[token] for token in tokens]


SMILE = ["<0xF0>", "<0x9F>", "<0x99>", "<0x82>"]


@pytest.mark.parametrize(
    ("make", "tokens", "string", "end"),
    [
        pytest.param(byte_level, ["h", "Ã", "©"], "é", 3, id="a character in two tokens"),
        pytest.param(byte_level, ["Ã", "Ã", "©"], "é", 3, id="behind a byte that belongs to none"),
        pytest.param(byte_level, [*"hhhh", "heĊĊ", "h"], "e\n", 5, id="ends within a token"),
        pytest.param(byte_level, ["h", LONG, "h"], "nation", 2, id="is within a token"),
        pytest.param(byte_level, list("internat"), "nternat", 8, id="takes many tokens"),
        pytest.param(byte_fallback, ["▁he", "llo", "▁he", "llo"], " he", 3, id="the first space is lost"),
        pytest.param(byte_fallback, ["x", *SMILE, "."], "🙂", 5, id="a character in four bytes"),
        pytest.param(byte_fallback, ["<0x61>", "<0xC3>", "<0xA9>"], "aé", 3, id="a run of bytes that becomes valid"),
        pytest.param(metaspace, ["▁the", "▁the", "y"], " they", 3, id="begins in one token, ends in another"),
        pytest.param(word_piece, ["do", "n", "'", "t", "do"], "do n't", None, id="is cleaned away"),
        pytest.param(word_piece, ["do", "n", "'", "t", "do"], "don't", 4, id="comes of cleaning"),
        pytest.param(suffixed, ["he", "he</w>", "lo</w>"], "he ", 3, id="the space comes with the next token"),
    ],
)
def test_where_a_stop_string_is_complete(
    make: Callable[[], Tokenizer], tokens: list[str], string: str, end: int | None
) -> None:
    decode, _ = decoder(make, cleans=make is word_piece)
    assert found_end(ids(make, *tokens), [string], decode) == end


def test_special_tokens_are_not_part_of_the_text() -> None:
    decode, num_ids = decoder(byte_level, cleans=False)
    end_token, more = num_ids - 2, num_ids - 1
    first, second = ids(byte_level, "Ã", "©")
    assert decode([end_token, more]) == "[more]"
    assert found_end([first, end_token, end_token, second], ["é"], decode) == 4
    assert found_end([first, end_token], ["<|end|>"], decode) is None
    assert found_end([first, more], ["re]"], decode) == 2


# Beginnings of many lengths, so that a window begins at any of their tokens.
LENGTHS = range(30, 90)


@pytest.mark.parametrize(
    ("make", "first", "repeated", "last", "string"),
    [
        pytest.param(word_piece, ["do"] * 7, ["'"], ["do"], "' do", id="apostrophes are cleaned by twos"),
        pytest.param(word_piece, ["do"], ["'", "##"], ["do"], " do", id="a window may begin with what goes on"),
        pytest.param(word_piece, ["do"], ["##s"], ["n", "'", "t"], "ssssn't", id="spaces are cleaned away"),
        pytest.param(word_piece, ["do"], ["##ing"], [], "##ing", id="a window may begin within a word"),
        pytest.param(byte_fallback, ["x"], SMILE, ["."], "🙂🙂.", id="no window begins within a character"),
        pytest.param(byte_fallback, ["x"], ["<0x61>"], ["<0xC3>"], "x\ufffd", id="a run of bytes is lost as a whole"),
        pytest.param(byte_fallback, ["x"], ["▁" * 24], ["x"], " " * 70 + "x", id="a window loses its first space"),
        pytest.param(metaspace, ["y"], ["▁" * 20], ["y"], " " * 50 + "y", id="a window loses all its first spaces"),
    ],
)
def test_no_window_is_too_narrow(
    make: Callable[[], Tokenizer], first: list[str], repeated: list[str], last: list[str], string: str
) -> None:
    decode, _ = decoder(make, cleans=True)
    for length in LENGTHS:
        response = ids(make, *first, *repeated * length, *last)
        assert found_end(response, [string], decode) == first_end(response, [string], decode), length


@EACH
def test_only_what_is_new_is_decoded(make: Callable[[], Tokenizer]) -> None:
    decode, _ = decoder(make, cleans=True)
    (letter,) = ids(make, {byte_level: "h", byte_fallback: "x", metaspace: "y", word_piece: "do", suffixed: "l"}[make])
    counts: list[int] = []

    def counted(tokens: list[int]) -> str:
        counts.append(len(tokens))
        return decode(tokens)

    assert found_end([letter] * 500, ["stop", "\n"], counted) is None
    # Two windows of a stop string and its reach, at a letter a token.
    assert max(counts) <= 2 * (len("stop") + REACH)
    assert len(counts) < 1.2 * 500
