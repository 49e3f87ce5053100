"""The prompts of a run as tokens: read and encoded once for all trials of a sweep, and kept in its record."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import transformers
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps import __version__
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.data import Encoded, Prompts, describe_counts, encode, list_files, load_prompts
from rlhf_sweeps.data.encoding import NoPromptError
from rlhf_sweeps.models.loading import describe_tokenizer
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.record import BaseRecord, take_stamp

log = logging.getLogger("rlhf_sweeps")


@dataclass(frozen=True)
class EncodedPrompts:
    """The prompts of a run.

    Attributes:
        held_out: the first eval.num_prompts of the held-out prompts.
        confirming: the prompts that no evaluation uses, at most eval.num_confirming; it may be empty.
        line: a line for the log with their numbers.
    """

    training: Encoded
    held_out: Encoded
    confirming: Encoded
    line: str


def load_encoded(config: Config, tokenizer: PreTrainedTokenizerBase, record: BaseRecord) -> EncodedPrompts:
    """The prompts of a run: read from the record, or encoded and stored there.

    So a data set on the hub without a revision stays as it was at first, and so does the date in a template.

    Raises:
        ConfigError: if the data set cannot be used.
    """
    name = f"prompts_{_make_key(config, tokenizer)}"

    def find() -> EncodedPrompts:
        with report_activity("reading and tokenizing the prompts"):
            prompts = _encode(config, tokenizer)
        parts = (prompts.training, prompts.held_out, prompts.confirming)
        record.write(name, [*map(_as_row, parts), {"line": prompts.line}])
        return prompts

    return record.read_or_find(lambda: _read(record, name), find)


def _encode(config: Config, tokenizer: PreTrainedTokenizerBase) -> EncodedPrompts:
    prompts = load_prompts(config.dataset)
    lengths = (config.dataset.max_prompt_length, config.dataset.min_prompt_length)
    training = encode(prompts.train, tokenizer, *lengths)
    held_out = encode(prompts.held_out, tokenizer, *lengths, most=config.eval.num_prompts, noun="held-out prompt")
    confirming = _encode_confirming(config, prompts, held_out, tokenizer)
    line, wanted = describe_counts(prompts, training, held_out, confirming=confirming), config.eval.num_prompts
    if len(held_out.ids) < wanted:
        line += f"; evaluations use all that are held out, fewer than eval.num_prompts={wanted}"
    if config.eval.num_confirming and not confirming.ids:
        line += "; none is left to confirm the result (dataset.confirm_path, or a smaller eval.num_prompts)"
    return EncodedPrompts(training, held_out, confirming, line)


def _encode_confirming(
    config: Config, prompts: Prompts, held_out: Encoded, tokenizer: PreTrainedTokenizerBase
) -> Encoded:
    """The confirming prompts: those of the data set's own file or split, else held-out prompts after `held_out`.

    Raises:
        ConfigError: if no prompt of that file or split has an allowed length.
    """
    most, lengths = config.eval.num_confirming, (config.dataset.max_prompt_length, config.dataset.min_prompt_length)
    unused = prompts.held_out[len(prompts.held_out) - held_out.num_unread :]
    if not most or not (prompts.confirming or unused):
        return Encoded([], [], 0)
    try:
        return encode(prompts.confirming or unused, tokenizer, *lengths, most=most, noun="confirming prompt")
    except NoPromptError:
        if prompts.confirming:
            raise
        return Encoded([], [], 0)


def _make_key(config: Config, tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of everything that the encoded prompts depend on."""
    versions = (__version__, transformers.__version__)
    files = [(str(file), take_stamp(file)) for file in list_files(config.dataset)]
    reader = (config.model, describe_tokenizer(tokenizer))
    parts = (versions, asdict(config.dataset), files, reader, config.eval.num_prompts, config.eval.num_confirming)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _read(record: BaseRecord, name: str) -> EncodedPrompts | None:
    try:
        rows = record.read(name)
        if not rows:
            return None
        *parts, last = rows
        training, held_out, confirming = map(_from_row, parts)
        return EncodedPrompts(training, held_out, confirming, last["line"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("%s: cannot be used and is made anew (%r)", name, error)
        return None


def _as_row(part: Encoded) -> dict[str, Any]:
    """Encoded prompts as a row: each distinct prompt once, and the order with repeats."""
    distinct = {id(messages): (messages, ids) for messages, ids in zip(part.messages, part.ids, strict=True)}
    places = {prompt: place for place, prompt in enumerate(distinct)}
    return {
        "prompts": list(distinct.values()),
        "order": [places[id(messages)] for messages in part.messages],
        "num_too_long": part.num_too_long,
        "num_too_short": part.num_too_short,
        "num_unread": part.num_unread,
        "num_with_control": part.num_with_control,
    }


def _from_row(row: Mapping[str, Any]) -> Encoded:
    prompts = [row["prompts"][place] for place in row["order"]]
    counts = (row["num_too_long"], row["num_too_short"], row["num_unread"], row["num_with_control"])
    return Encoded([messages for messages, _ in prompts], [ids for _, ids in prompts], *counts)
