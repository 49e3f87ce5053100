"""Reading, splitting and ordering prompts."""

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
from conftest import Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import Counts, Encoded, batch_indices, describe_counts, encode, load_prompts, read_ahead


@pytest.fixture
def dataset(compose_config: Compose) -> DatasetConfig:
    return compose_config("dataset=jsonl", "dataset.path=x.jsonl").dataset


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_texts_and_messages_are_both_prompts(dataset: DatasetConfig, tmp_path: Path) -> None:
    chat = [*user("a"), {"role": "assistant", "content": "b"}, *user("c")]
    path = write(tmp_path / "p.jsonl", [{"prompt": "hi"}, {"prompt": chat}, {"prompt": "hi"}])
    prompts = load_prompts(replace(dataset, path=path))
    assert sorted(map(json.dumps, prompts.train + prompts.held_out)) == sorted(map(json.dumps, [user("hi"), chat]))
    assert (len(prompts.held_out), prompts.counts.num_duplicates) == (1, 1)


def test_the_split_does_not_depend_on_the_order_of_rows(dataset: DatasetConfig, tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}"} for i in range(50)]
    splits = [
        load_prompts(replace(dataset, path=write(tmp_path / name, order)))
        for name, order in (("a.jsonl", rows), ("b.jsonl", rows[::-1]))
    ]
    assert splits[0].held_out == splits[1].held_out
    assert len(splits[0].held_out) + len(splits[0].train) == 50
    assert not any(prompt in splits[0].held_out for prompt in splits[0].train)


def test_a_prompt_of_the_evaluation_file_is_not_trained_on(dataset: DatasetConfig, tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    eval_path = write(tmp_path / "test.jsonl", [{"prompt": "b"}, {"prompt": "c"}])
    prompts = load_prompts(replace(dataset, path=path, eval_path=eval_path))
    assert prompts.train == [user("a")]
    assert sorted(map(json.dumps, prompts.held_out)) == [json.dumps(user("b")), json.dumps(user("c"))]


def test_what_is_held_out_is_the_first_tenth_of_all_hashes_in_their_order(
    dataset: DatasetConfig, tmp_path: Path
) -> None:
    texts = [f"question {i}" for i in range(59)]
    path = write(tmp_path / "p.jsonl", [{"prompt": text} for text in texts])
    # Written out, since figures that were measured on one split must hold for the next version's.
    written = {
        hashlib.sha256(f'[{{"role": "user", "content": "{text}"}}]'.encode()).hexdigest(): text for text in texts
    }
    first = [written[digest] for digest in sorted(written) if int(digest, 16) / 16**64 < 0.1]
    assert len(first) == 4
    prompts = load_prompts(replace(dataset, path=path))
    assert prompts.held_out == [user(text) for text in first]
    assert prompts.train == [user(text) for text in texts if text not in first]


def test_white_space_makes_no_other_prompt(dataset: DatasetConfig, tmp_path: Path) -> None:
    # The hashes of "a" and " a " begin with 62 and 3d, that of "c" with 5c, between them; that of "a" counts.
    for first, second in (("a", " a "), (" a ", "a")):
        path = write(tmp_path / "p.jsonl", [{"prompt": first}, {"prompt": "c"}, {"prompt": second}])
        prompts = load_prompts(replace(dataset, path=path))
        assert (prompts.held_out, prompts.train) == ([user("c")], [user(first)])
    texts = ["a b\n\nc", " a  b c", "a b c\t", "ab c", "d"]
    path = write(tmp_path / "p.jsonl", [{"prompt": text} for text in texts])
    prompts = load_prompts(replace(dataset, path=path))
    assert {messages[0]["content"] for messages in prompts.train + prompts.held_out} == {"a b\n\nc", "ab c", "d"}
    eval_path = write(tmp_path / "test.jsonl", [{"prompt": " a b c"}])
    prompts = load_prompts(replace(dataset, path=path, eval_path=eval_path))
    assert (prompts.train, prompts.held_out) == ([user("ab c"), user("d")], [user(" a b c")])
    assert prompts.counts == Counts(num_rows=6, num_duplicates=2, num_shared=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "a"}\n{"prompt": \n', r"line 2: not a JSON object \(Expecting value at character 11\)"),
        (b'{"prompt": "a"}\n\n["b"]\n', "line 3: must be a JSON object, is a list"),
        (b'{"prompt": "\xff"}\n', "line 1: not UTF-8"),
        (
            b'{"question": "a", "answer": "b"}\n',
            "dataset.prompt_column=prompt: .*line 1 has no such column; .*question, answer",
        ),
        (b'{"prompt": "  "}\n', "line 1: a prompt must end on a user's text that is not empty"),
        (b'{"prompt": 3}\n', "line 1: a prompt must be a text or a list of messages, is a int"),
        (b'{"prompt": []}\n', "line 1: a prompt must end on a user's text"),
        (b'{"prompt": [{"role": "robot", "content": "a"}]}\n', "line 1: a message must have a role"),
        (b'{"prompt": [{"role": "assistant", "content": "a"}]}\n', "line 1: a prompt must end on a user's text"),
        (b"", "holds no prompts"),
        (b'{"prompt": "a"}\n', "no prompts are left to train on beside 1 held out"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    content: bytes, message: str, dataset: DatasetConfig, tmp_path: Path
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_prompts(replace(dataset, path=str(path)))


def test_a_missing_file_is_refused(dataset: DatasetConfig) -> None:
    with pytest.raises(ConfigError, match=r"dataset.path=no/such.jsonl: no such file"):
        load_prompts(replace(dataset, path="no/such.jsonl"))


def test_a_line_separator_inside_a_prompt_does_not_end_its_line(dataset: DatasetConfig, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a\u2028b"}\n{"prompt": "c"}\n', encoding="utf-8")
    prompts = load_prompts(replace(dataset, path=str(path)))
    assert sorted(map(json.dumps, prompts.train + prompts.held_out)) == sorted(
        map(json.dumps, [user("a\u2028b"), user("c")])
    )


def test_every_pass_shows_each_prompt_once_in_another_order() -> None:
    stream = [i for update in range(1, 8) for i in batch_indices(num_prompts=10, batch_size=4, update=update, seed=0)]
    first, second = stream[:10], stream[10:20]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert stream[:4] == batch_indices(10, 4, 1, seed=0) != batch_indices(10, 4, 1, seed=1)


def test_the_order_of_the_prompts_stays_that_of_old_runs() -> None:
    # Recorded before an order was kept from one update to the next: a run that was begun then goes on as it would have.
    assert [batch_indices(10, 4, update, seed=0) for update in (1, 2, 3, 8)] == [
        [5, 9, 1, 6],
        [4, 8, 2, 3],
        [7, 0, 0, 9],
        [6, 2, 1, 6],
    ]
    assert batch_indices(3, 8, 2, seed=7) == [0, 2, 1, 0, 0, 1, 2, 0]


def test_an_order_is_drawn_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    class CountingRandom(random.Random):
        def __init__(self, seed: str) -> None:
            drawn.append(seed)
            super().__init__(seed)

    monkeypatch.setattr(random, "Random", CountingRandom)
    for update in range(1, 26):  # 100 prompts of 12: eight passes and a third
        batch_indices(num_prompts=12, batch_size=4, update=update, seed=123)
    assert drawn == [f"prompts 123 {number}" for number in range(9)]


class WordTokenizer:
    """One token a word."""

    chat_template = None

    def __call__(self, texts: list[str], **options: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[len(word) for word in text.split()] for text in texts]}


def test_prompts_that_are_too_long_are_left_out_and_counted() -> None:
    tokenizer: Any = WordTokenizer()
    encoded = encode([user("one two"), user("one two three")], tokenizer, max_length=2)
    assert (encoded.ids, encoded.messages, encoded.num_too_long) == ([[3, 3]], [user("one two")], 1)
    with pytest.raises(ConfigError, match=r"max_prompt_length=1: every prompt is longer; the shortest has 2 tokens"):
        encode([user("one two")], tokenizer, max_length=1)


def test_prompts_that_are_too_short_are_left_out_and_counted() -> None:
    tokenizer: Any = WordTokenizer()
    prompts = [user("one"), user("one two"), user("one two three four"), user("x")]
    encoded = encode(prompts, tokenizer, max_length=3, min_length=2)
    assert (encoded.messages, encoded.num_too_long, encoded.num_too_short) == ([user("one two")], 1, 2)
    assert encoded.rows([]).num_too_short == 2
    three = encode([user("a"), user("b c"), user("d")], tokenizer, max_length=9)
    assert three.rows([1, 0]) == Encoded([user("b c"), user("a")], [[1, 1], [1]], 0, 0)
    with pytest.raises(ConfigError, match=r"min_prompt_length=5: every prompt is shorter; the longest has 4 tokens"):
        encode(prompts, tokenizer, max_length=9, min_length=5)
    with pytest.raises(
        ConfigError, match=r"max_prompt_length=3: no prompt has 3 to 3 tokens \(3 are shorter, 1 longer\)"
    ):
        encode(prompts, tokenizer, max_length=3, min_length=3)


class CountingTokenizer(WordTokenizer):
    """Remembers the texts that it was given."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: list[str], **options: bool) -> dict[str, list[list[int]]]:
        self.texts += texts
        return super().__call__(texts)


def test_repeats_are_tokenized_once() -> None:
    tokenizer: Any = CountingTokenizer()
    one, other = user("one two"), user("three")
    assert encode([one, other, one], tokenizer, max_length=9).ids == [[3, 3], [5], [3, 3]]
    assert tokenizer.texts == ["one two", "three"]


def test_only_as_many_as_are_wanted_are_tokenized() -> None:
    tokenizer: Any = CountingTokenizer()
    prompts = [user(text) for text in ("a b c", "d", "e f", "g", "h", "i")]
    # Two are wanted: of the first two one is too long, so that a third is looked at.
    assert encode(prompts, tokenizer, max_length=2, most=2) == Encoded(prompts[1:3], [[1], [1, 1]], 1, 0, num_unread=3)
    assert tokenizer.texts == ["a b c", "d", "e f"]
    assert encode(prompts, tokenizer, max_length=2, most=9) == encode(prompts, tokenizer, max_length=2)


def test_a_template_that_refuses_a_conversation_is_named() -> None:
    class StrictTokenizer:
        chat_template = "{{ raise_exception('no system turns') }}"

        def apply_chat_template(self, messages: Any, **options: Any) -> list[int]:
            raise jinja2.TemplateError("no system turns")

    tokenizer: Any = StrictTokenizer()
    with pytest.raises(ConfigError, match=r"chat template refuses turns of system, user \(no system turns\)"):
        encode([[{"role": "system", "content": "a"}, *user("b")]], tokenizer, max_length=9)


def test_the_line_for_the_log_mentions_what_there_is(dataset: DatasetConfig, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"prompt": text} for text in ("a", "b", "b", "c", "c", "")])
    eval_path = write(tmp_path / "q.jsonl", [{"prompt": text} for text in ("c", "d")])
    prompts = load_prompts(replace(dataset, path=path, eval_path=eval_path, bad_rows="skip"))
    assert describe_counts(prompts) == (
        "prompts: 2 to train on, 2 held out, of 8 rows; "
        "left out: 2 duplicates, 1 bad row skipped, 1 for training whose prompt is held out"
    )
    training, held_out = Encoded([user("a")], [[1]], 1), Encoded([user("c")], [[1]], 0, 1)
    assert describe_counts(prompts, training, held_out).startswith(
        "prompts: 1 to train on, 1 held out, of 8 rows; left out: 1 too long, 1 too short, 2 duplicates, "
    )
    held_out = Encoded([user("c")], [[1]], 2, 0, num_unread=5)
    assert describe_counts(prompts, training, held_out).startswith(
        "prompts: 1 to train on, 6 held out (1 evaluated on), of 8 rows; left out: 3 too long, "
    )
    plain = load_prompts(replace(dataset, path=eval_path))
    assert describe_counts(plain) == "prompts: 1 to train on, 1 held out, of 2 rows"


def test_a_conversation_needs_a_chat_template() -> None:
    tokenizer: Any = WordTokenizer()
    with pytest.raises(ConfigError, match="no chat template"):
        encode([[*user("a"), {"role": "assistant", "content": "b"}, *user("c")]], tokenizer, max_length=9)


def test_what_was_read_ahead_is_taken_once_and_by_its_own_settings_alone(
    dataset: DatasetConfig, tmp_path: Path
) -> None:
    """A run's data set is read once between its checks and its first update, however large it is."""
    own = replace(dataset, path=write(tmp_path / "p.jsonl", [{"prompt": text} for text in "ab"]))
    other = replace(own, max_prompt_length=own.max_prompt_length + 1)
    read_ahead(own)
    write(tmp_path / "p.jsonl", [{"prompt": text} for text in "cde"])

    def texts(given: DatasetConfig) -> set[str]:
        prompts = load_prompts(given)
        return {message["content"] for messages in prompts.train + prompts.held_out for message in messages}

    assert [texts(one) for one in (other, own, own)] == [set("cde"), set("ab"), set("cde")]
