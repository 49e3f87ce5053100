"""Small tokenizers that split, frame and end exchanges as those of well-known models do.

The formats are those of the models' cards and tokenizer configs; the templates are written anew, the vocabularies are
learnt from the embedded pairs.
"""

import functools
import json
from collections.abc import Callable

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rlhf_sweeps import assets

CHATML = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Thinks before it answers: a finished turn has an empty thought where none was given.
THOUGHTFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and '</think>' not in m.content %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}"
    "{% else %}[INST] {{ m.content | trim }} [/INST]{% endif %}{% endfor %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@functools.cache
def _texts() -> list[str]:
    text = (assets.folder("human_like_mini") / "train.jsonl").read_text(encoding="utf-8")
    return [*text.splitlines()[:300], "\n\n\n", "<|user|>\n<|assistant|>\n", " \n"]


@functools.cache
def _byte_level(*special: str) -> str:
    """Every byte is a token, and what is frequent is merged, as in GPT-2, Llama 3, Qwen and SmolLM2."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(_texts(), trainer)
    return str(inner.to_str())


@functools.cache
def _metaspace(*special: str, prefix: bool) -> str:
    """Spaces are part of words, and unknown characters are bytes, as in Llama 2 and Gemma; only the first puts a space
    before a text."""
    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", "▁")
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if prefix else replace
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    inner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # no token goes beyond a word's end
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<unk>", *special], show_progress=False)
    inner.train_from_iterator((word for text in _texts() for word in text.split("\n")), trainer)
    content = json.loads(inner.to_str())
    known = content["model"]["vocab"]
    # They are no special tokens, which a text would not show.
    known |= {f"<0x{byte:02X}>": len(known) + byte for byte in range(256)}
    return json.dumps(content)


def byte_level(*special: str) -> Tokenizer:
    """A fresh one; learnt once."""
    return Tokenizer.from_str(_byte_level(*special))


def metaspace(*special: str, prefix: bool) -> Tokenizer:
    """A fresh one; learnt once."""
    return Tokenizer.from_str(_metaspace(*special, prefix=prefix))


def _chat(inner: Tokenizer, template: str, eos: str, **tokens: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        chat_template=template,
        eos_token=eos,
        pad_token=eos,
        model_max_length=100_000,
        clean_up_tokenization_spaces=False,
        **tokens,
    )


def smollm2() -> PreTrainedTokenizerFast:
    return _chat(byte_level("<|im_start|>", "<|im_end|>"), CHATML, "<|im_end|>")


def qwen() -> PreTrainedTokenizerFast:
    inner = byte_level("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    return _chat(inner, CHATML.replace("Be kind.", "You are a helpful assistant."), "<|im_end|>")


def thoughtful() -> PreTrainedTokenizerFast:
    return _chat(byte_level("<|im_start|>", "<|im_end|>"), THOUGHTFUL, "<|im_end|>")


def llama_2() -> PreTrainedTokenizerFast:
    inner = metaspace("<s>", "</s>", prefix=True)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _chat(inner, LLAMA_2, "</s>", bos_token="<s>")


def llama_3() -> PreTrainedTokenizerFast:
    special = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    inner = byte_level(*special)
    inner.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
    )
    return _chat(inner, LLAMA_3, "<|eot_id|>", bos_token="<|begin_of_text|>")


def gemma() -> PreTrainedTokenizerFast:
    """Its end token is not what ends a turn."""
    inner = metaspace("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", prefix=False)
    inner.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return _chat(inner, GEMMA, "<eos>", bos_token="<bos>")


def zephyr() -> PreTrainedTokenizerFast:
    inner = metaspace("<s>", "</s>", prefix=True)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _chat(inner, ZEPHYR, "</s>", bos_token="<s>")


def plain() -> PreTrainedTokenizerFast:
    """Of a base model: no chat template."""
    tokenizer = _chat(byte_level("<|endoftext|>"), "", "<|endoftext|>")
    tokenizer.chat_template = None
    return tokenizer


def plain_metaspace(ends_texts: bool = False) -> PreTrainedTokenizerFast:
    """Of a base model like Llama 2: a response alone loses the space that it begins with."""
    inner = metaspace("<s>", "</s>", prefix=True)
    single = "<s> $A </s>" if ends_texts else "<s> $A"
    special = [("<s>", 1), ("</s>", 2)] if ends_texts else [("<s>", 1)]
    inner.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    tokenizer = _chat(inner, "", "</s>", bos_token="<s>")
    tokenizer.chat_template = None
    return tokenizer


PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def phi() -> PreTrainedTokenizerFast:
    """Like Phi-3's: white space after a special token is lost."""
    inner = metaspace("<s>", "</s>", prefix=True)
    inner.add_special_tokens(
        [AddedToken(token, rstrip=True, normalized=False) for token in ("<|user|>", "<|assistant|>", "<|end|>")]
    )
    return _chat(inner, PHI, "<|end|>", bos_token="<s>")


def bert() -> PreTrainedTokenizerFast:
    """Reads two texts between special tokens; writes nothing."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    inner.train_from_iterator(_texts(), trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def whole(tokenizer: PreTrainedTokenizerFast, prompt: list[dict[str, str]], answer: str) -> list[int]:
    """By transformers alone."""
    chat = [*prompt, {"role": "assistant", "content": answer}]
    return list(tokenizer.apply_chat_template(chat, return_dict=False))


# Those with a chat template that give a policy just what stands before a response in a whole exchange.
CHATS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "smollm2": smollm2, "qwen": qwen, "llama_3": llama_3, "gemma": gemma, "zephyr": zephyr, "llama_2": llama_2
}  # fmt: skip
