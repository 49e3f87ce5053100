"""Rebuild the embedded pairs, policy and reward model from nothing: `python -m rlhf_sweeps.assets.build`.

The pairs have the same bytes on every machine. The models' weights depend on the machine's arithmetic, so the figures
printed at the end tell whether a rebuild is as good.
"""

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    set_seed,
)
from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from rlhf_sweeps.assets import FOLDER, grammar, measure

# All chosen, for models of at most 4 MB.
SEED = 0
VOCAB_SIZE = 2048  # tokens
MAX_POSITIONS = 256  # tokens
SPECIAL_TOKENS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_pairs(out: Path) -> None:
    """Write the preference pairs as JSON lines."""
    folder = out / "human_like_mini"
    folder.mkdir(parents=True, exist_ok=True)
    parts = (*grammar.write_pairs(SEED), grammar.write_confirming_pairs(SEED))
    for split, pairs in zip(("train", "test", "confirm"), parts, strict=True):
        (folder / f"{split}.jsonl").write_bytes(grammar.to_json_lines(pairs))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the grammar's text; it can encode any text without loss."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator((text for pair in grammar.write_exchanges(20_000, SEED) for text in pair), trainer)
    pad, end, *roles = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        eos_token=end,
        additional_special_tokens=roles,
        padding_side="left",
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def shape_model(tokenizer: PreTrainedTokenizerFast, hidden_size: int, num_layers: int, **more: Any) -> LlamaConfig:
    """A small Llama configuration with the tokenizer's ids."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 2,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        **more,
    )


def build_policy(out: Path, tokenizer: PreTrainedTokenizerFast, num_steps: int = 2000) -> None:
    """Teach a small language model the grammar, casual and formal answers in equal shares.

    The training text covers every topic, also the held-out ones, as a base language model has read about everything;
    only the preferences of the held-out prompts stay unseen until evaluation.
    """
    set_seed(SEED)
    batch_size = 32
    exchanges = grammar.write_exchanges(num_steps * batch_size, SEED + 1)
    dataset = Dataset.from_list([{"prompt": as_user(p), "completion": as_assistant(a)} for p, a in exchanges])
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            **training_settings(scratch, batch_size),
            max_steps=num_steps,
            learning_rate=4e-3,
            weight_decay=0.01,
            adam_beta2=0.95,
        )
        model = LlamaForCausalLM(shape_model(tokenizer, hidden_size=128, num_layers=4))
        SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer).train()
    save(model, tokenizer, out / "tiny_policy")


def build_reward_model(out: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Train the reward model on the training pairs and on spoilt casual answers (`write_comparisons`)."""
    set_seed(SEED)
    pairs, _ = grammar.write_pairs(SEED)
    dataset = Dataset.from_list(
        [
            {"prompt": as_user(prompt), "chosen": as_assistant(chosen), "rejected": as_assistant(rejected)}
            for prompt, chosen, rejected in write_comparisons(pairs)
        ]
    )
    with tempfile.TemporaryDirectory() as scratch:
        config = RewardConfig(
            **training_settings(scratch, 32),
            num_train_epochs=3,  # with more epochs the score becomes a step function of the style
            learning_rate=1e-3,
            weight_decay=0.1,
            center_rewards_coefficient=0.02,
        )
        shape = shape_model(tokenizer, hidden_size=64, num_layers=2, num_labels=1)
        model = LlamaForSequenceClassification(shape)
        RewardTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer).train()
    save(model, tokenizer, out / "tiny_reward_model")


def write_comparisons(pairs: list[grammar.GrammarPair]) -> Iterator[tuple[str, str, str]]:
    """(prompt, chosen, rejected) of each pair, and of its chosen answer against spoilt versions of it.

    Some of these are cut off, repeat themselves or are off the topic: without them, PPO would find that meaningless
    casual words score as high as an answer. Others, half as many, are made less warm: they grade the casual answers, so
    that there is more to learn than the choice of a style.
    """
    rng = random.Random(SEED)
    for pair in pairs:
        prompt, chosen, words = pair["prompt"], pair["chosen"], pair["chosen"].split()
        start = rng.randrange(1, len(words) // 2)
        rejected = [
            pair["rejected"],
            " ".join(words[: rng.randrange(2, len(words) * 2 // 3)]),
            " ".join(words[:start] + words[start : start + 3] * 3),
            rng.choice([other["chosen"] for other in pairs if other["topic"] != pair["topic"]]),
        ]
        if rng.random() < 0.5 and cool_down(chosen) != chosen:
            rejected.append(cool_down(chosen))
        for answer in rejected:
            yield prompt, chosen, answer


def cool_down(answer: str) -> str:
    """The answer's first sentence without exclamation mark, question and emoji."""
    return re.split("[.!?]", answer)[0] + "."


def as_user(text: str) -> list[dict[str, str]]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


def as_assistant(text: str) -> list[dict[str, str]]:
    """A conversation of one assistant message."""
    return [{"role": "assistant", "content": text}]


def training_settings(scratch: str, batch_size: int) -> dict[str, Any]:
    """The settings of both trainings; TRL's defaults would train in bfloat16 and with checkpointing on a CPU, too."""
    return {
        "output_dir": scratch,
        "per_device_train_batch_size": batch_size,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 20,
        "max_length": MAX_POSITIONS,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 50,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": SEED,
    }


def save(model: LlamaForCausalLM | LlamaForSequenceClassification, tokenizer: Any, folder: Path) -> None:
    """Save weights, configuration and tokenizer as `from_pretrained` loads them."""
    model.config.use_cache = True  # the trainers turn it off
    if isinstance(model, LlamaForCausalLM):
        model.generation_config = GenerationConfig(
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Build the parts that the arguments name, and print the figures that measure them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the three folders go (default: this package)")
    parser.add_argument("--only", choices=("pairs", "policy", "reward_model"), help="build one part only")
    args = parser.parse_args()
    start = time.monotonic()
    if args.only in (None, "pairs"):
        build_pairs(args.out)
    if args.only in (None, "policy"):
        build_policy(args.out, build_tokenizer())
    if args.only in (None, "reward_model"):
        build_reward_model(args.out, build_tokenizer())
    print(f"built in {time.monotonic() - start:.0f} s")
    if (args.out / "human_like_mini").exists():
        figures = json.loads(json.dumps(measure.measure(args.out)), parse_float=lambda figure: round(float(figure), 3))
        print(json.dumps(figures, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
