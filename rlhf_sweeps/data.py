"""Prompts: read from a JSON Lines file or the hub, checked, split into training and held-out, put in order.

Loads no torch and, for files, no `datasets` either: a sweep checks its files before it starts anything. Leaves out what
PPO does not need: the answers of preference pairs.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_sweeps.config import ConfigError, DatasetConfig
from rlhf_sweeps.sources import locate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Prompts:
    """Chat messages that each end on a user turn; no prompt twice, none in both lists."""

    train: list[Messages]
    held_out: list[Messages]
    num_duplicates: int


def load_prompts(dataset: DatasetConfig) -> Prompts:
    """The prompts of a data set; without an own evaluation file or split, a tenth is held out by hash.

    Raises:
        ConfigError: naming the key, and the file and line where there is one.
    """
    rows = _unique(_read(dataset, dataset.path, dataset.split, key="dataset.path"))
    if dataset.eval_path is None and dataset.eval_split is None:
        held_out = dict(sorted(rows.found.items())[: max(1, len(rows.found) // 10)])
    else:
        path, split = dataset.eval_path or dataset.path, dataset.eval_split or dataset.split
        key = "dataset.path" if dataset.eval_path is None else "dataset.eval_path"
        held_out = dict(sorted(_unique(_read(dataset, path, split, key)).found.items()))
    train = [messages for digest, messages in rows.found.items() if digest not in held_out]
    if not train:
        raise ConfigError(
            f"dataset.path={dataset.path}: no prompts are left to train on beside {len(held_out)} held out"
        )
    return Prompts(train, list(held_out.values()), rows.num_duplicates)


def batch_indices(num_prompts: int, batch_size: int, update: int, seed: int) -> list[int]:
    """Which prompts an update trains on: a fresh permutation for every pass over the data, no gap between passes.

    A pure function of its arguments, so that a continued run needs no saved position.
    """
    first = (update - 1) * batch_size
    order: dict[int, list[int]] = {}
    indices = []
    for position in range(first, first + batch_size):
        number, place = divmod(position, num_prompts)
        if number not in order:
            order[number] = random.Random(f"prompts {seed} {number}").sample(range(num_prompts), num_prompts)
        indices.append(order[number][place])
    return indices


@dataclass(frozen=True)
class _Rows:
    found: dict[str, Messages]
    num_duplicates: int


def _unique(rows: Iterable[Messages]) -> _Rows:
    """Prompts by their hash, the first of equal ones."""
    found: dict[str, Messages] = {}
    num_rows = 0
    for num_rows, messages in enumerate(rows, start=1):  # noqa: B007 (the count outlives the loop)
        found.setdefault(hashlib.sha256(json.dumps(messages).encode()).hexdigest(), messages)
    return _Rows(found, num_rows - len(found))


def _read(dataset: DatasetConfig, path: str, split: str, key: str) -> Iterator[Messages]:
    given = f"{key}={path}"
    empty = True
    file = locate(path, key)
    if file is not None and not file.is_file():
        raise ConfigError(f"{given}: must be a file of JSON lines, is a folder")
    rows = _read_json_lines(file, given) if file else _read_hub(path, split, dataset.revision, given)
    for where, row in rows:
        empty = False
        if dataset.prompt_column not in row:
            raise ConfigError(
                f"dataset.prompt_column={dataset.prompt_column}: {where} has no such column; "
                f"it has: {', '.join(map(str, row))}"
            )
        yield _as_messages(row[dataset.prompt_column], where)
    if empty:
        raise ConfigError(f"{given}: holds no prompts")


def _read_json_lines(file: Path, given: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        where = f"{given}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
        except json.JSONDecodeError as error:
            raise ConfigError(f"{where}: not a JSON object ({error})") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: must be a JSON object, is a {type(row).__name__}")
        yield where, row


def _read_hub(path: str, split: str, revision: str | None, given: str) -> Iterator[tuple[str, dict[str, Any]]]:
    import datasets  # two seconds, and only the hub needs it

    try:
        rows = datasets.load_dataset(path, split=split, revision=revision)
    except Exception as error:  # datasets raises many kinds: no network, no such id, no such split
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{given}: neither a file here nor to be had from the hub ({reason})") from error
    for number, row in enumerate(rows, start=1):
        yield f"{given}, row {number}", row


def _as_messages(prompt: Any, where: str) -> Messages:
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list) or not all(isinstance(message, dict) for message in prompt):
        raise ConfigError(f"{where}: a prompt must be a text or a list of messages, is a {type(prompt).__name__}")
    for message in prompt:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise ConfigError(f"{where}: a message must have a role ({', '.join(ROLES)}) and a text as content")
    if not prompt or prompt[-1]["role"] != "user" or not prompt[-1]["content"].strip():
        raise ConfigError(f"{where}: a prompt must end on a user's text that is not empty")
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


@dataclass(frozen=True)
class Encoded:
    """Prompts as the policy reads them, those that are too long left out."""

    messages: list[Messages]
    ids: list[list[int]]
    num_too_long: int

    def first(self, num: int) -> "Encoded":
        """The first few of them, or all there are."""
        return Encoded(self.messages[:num], self.ids[:num], self.num_too_long)


def encode(prompts: Iterable[Messages], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Encoded:
    """Template and tokenize prompts; one without a template is given to the policy as its plain text.

    Raises:
        ConfigError: if none is short enough, or a conversation meets a tokenizer without a chat template.
    """
    prompts = list(prompts)
    ids = [_encode(messages, tokenizer) for messages in prompts]
    kept = [i for i, tokens in enumerate(ids) if len(tokens) <= max_length]
    if not kept:
        shortest = min(map(len, ids))
        raise ConfigError(
            f"dataset.max_prompt_length={max_length}: every prompt is longer; the shortest has {shortest} tokens"
        )
    return Encoded([prompts[i] for i in kept], [ids[i] for i in kept], len(prompts) - len(kept))


def _encode(messages: Messages, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    if tokenizer.chat_template:
        ids: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    elif len(messages) == 1:
        ids = tokenizer(messages[0]["content"])["input_ids"]
    else:
        raise ConfigError("dataset.prompt_column: holds conversations, and the model's tokenizer has no chat template")
    return list(ids)
