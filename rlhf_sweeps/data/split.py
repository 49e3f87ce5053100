"""One data set as distinct examples, and the choice of those that are held out, or that only confirm.

The choice depends on the prompts alone. No reward model may be trained on the prompts that PPO holds out, and PPO must
not train on the pairs that the report on a reward model uses. So neither bad answers nor the number of rows may change
the choice.
"""

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data.constants import END_OF_TENTH
from rlhf_sweeps.data.counts import Counts, SourceCounts
from rlhf_sweeps.data.locations import DataLocation, locate_confirming_rows, locate_held_out_rows, locate_training_rows
from rlhf_sweeps.data.messages import (
    Identity,
    Messages,
    RowError,
    hash_prompt,
    identify,
    read_answer,
    read_prompt,
    read_shared_prompt,
)
from rlhf_sweeps.data.readers import read_rows
from rlhf_sweeps.data.rows import BadRows, Columns, Row


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and, for a preference pair, its chosen and rejected answers.

    Attributes:
        identity: the prompt's, which ignores differences in white space.
    """

    prompt: Messages
    answers: tuple[str, ...]
    identity: Identity


@dataclass(frozen=True)
class Split:
    """Distinct examples; no prompt occurs in two parts.

    Attributes:
        confirming: the prompts of confirm_path or confirm_split, never with answers; empty without these keys, and then
            some of `held_out` may confirm.
        held_out_prompts: the prompts that nothing may train on, those of `confirming` included; some of them may have
            no usable pair.
    """

    train: list[Example]
    held_out: list[Example]
    held_out_prompts: Set[Identity]
    counts: Counts
    sources: tuple[SourceCounts, ...] = ()
    confirming: list[Example] = field(default_factory=list)


def name_examples(with_answers: bool) -> str:
    """The name of the examples in errors and in the log."""
    return "pairs" if with_answers else "prompts"


def split_source(dataset: DatasetConfig, key: str, with_answers: bool) -> Split:
    """The examples of a data set that is no mixture.

    Without an evaluation file or split, `choose_held_out` chooses the held-out prompts. Held-out and confirming
    examples are ordered by the hashes of their prompts, training examples as in the file.

    Args:
        dataset: the config of the data set.
        key: its key, for errors.
        with_answers: whether to read preference pairs rather than prompts.

    Raises:
        ConfigError: naming the key, and the file and line where there is one.
    """
    own = _read(locate_training_rows(dataset, key), dataset, with_answers)
    place = locate_held_out_rows(dataset, key)
    if place is None:
        other, counts = own, own.counts
        prompts = choose_held_out(own.prompts)
    else:
        other = _read(place, dataset, with_answers)
        prompts = other.prompts
        counts = own.counts + other.counts
    held_out = _sort_by_hash(example for example in other.examples if example.identity in prompts)
    confirming = _read_confirming(dataset, key, prompts)
    elsewhere = confirming.prompts | (set() if place is None else prompts)
    prompts = prompts | confirming.prompts
    train = [example for example in own.examples if example.identity not in prompts]
    num_shared = sum(example.identity in elsewhere for example in own.examples)
    counts += Counts(num_shared=num_shared) if with_answers else Counts(num_shared=num_shared) + confirming.counts
    check_not_empty(train, len(held_out), f"{key}.path={dataset.path}", with_answers)
    return Split(train, held_out, prompts, counts, confirming=confirming.examples)


def _read_confirming(dataset: DatasetConfig, key: str, held_out: Set[Identity]) -> "_DistinctExamples":
    """The prompts of the confirming file or split that are not held out for evaluations; empty without one."""
    place = locate_confirming_rows(dataset, key)
    if place is None:
        return _DistinctExamples()
    confirming = _read(place, dataset, with_answers=False)
    confirming.prompts -= held_out
    if not confirming.prompts:
        raise ConfigError(f"{place.given}: evaluations use all of its prompts, so that none is left to confirm")
    num_read = len(confirming.examples)
    confirming.examples = _sort_by_hash(
        example for example in confirming.examples if example.identity in confirming.prompts
    )
    confirming.counts += Counts(num_duplicates=num_read - len(confirming.examples))
    return confirming


def _sort_by_hash(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda example: hash_prompt(example.identity))


def choose_held_out(prompts: Collection[Identity]) -> set[Identity]:
    """The prompts whose hash is in the first tenth of all possible hashes, independent of the other prompts.

    There are two exceptions for very small data sets. If no hash is in the first tenth, the prompt with the smallest
    hash is held out. If all are, the prompt with the largest hash is used for training, unless it is the only one.
    """
    digests = {prompt: hash_prompt(prompt) for prompt in prompts}
    order = sorted(digests, key=digests.__getitem__)
    num_first = sum(hash_of_prompt < END_OF_TENTH for hash_of_prompt in digests.values())
    return set(order[: max(1, min(num_first, len(order) - 1))])


def check_not_empty(train: list[Example], num_held_out: int, given: str, with_answers: bool) -> None:
    """Refuse a data set without training examples."""
    if not train:
        raise ConfigError(
            f"{given}: no {name_examples(with_answers)} are left to train on beside {num_held_out} held out"
        )


def count_contradictions(examples: Iterable[Example]) -> int:
    """Contradictions among distinct pairs: two pairs with the same answers in opposite order count once."""
    pairs = {(example.identity, example.answers) for example in examples if example.answers}
    return sum((prompt, answers[::-1]) in pairs for prompt, answers in pairs) // 2


@dataclass
class _DistinctExamples:
    """The distinct examples at one location.

    Attributes:
        examples: in the order of the rows; of equal examples, the first.
        prompts: the prompts of all rows, also of those without usable answers.
    """

    examples: list[Example] = field(default_factory=list)
    prompts: set[Identity] = field(default_factory=set)
    counts: Counts = field(default_factory=Counts)


def _list_columns(dataset: DatasetConfig, key: str, with_answers: bool) -> Columns:
    columns = {} if dataset.prompt_column is None else {f"{key}.prompt_column": dataset.prompt_column}
    if with_answers or dataset.prompt_column is None:
        columns |= {f"{key}.chosen_column": dataset.chosen_column, f"{key}.rejected_column": dataset.rejected_column}
    return columns


def _read(place: DataLocation, dataset: DatasetConfig, with_answers: bool) -> _DistinctExamples:
    examples = _read_examples(place, dataset, with_answers)
    if with_answers and examples.counts.num_bad_rows:
        # Rows are skipped for bad answers, too. The set of prompts must not depend on that: it is read as PPO reads it.
        examples.prompts = _read_examples(place, dataset, with_answers=False).prompts
    return examples


def _read_examples(place: DataLocation, dataset: DatasetConfig, with_answers: bool) -> _DistinctExamples:
    bad_rows = BadRows(skip=dataset.bad_rows == "skip")
    result, seen, num_good = _DistinctExamples(), set(), 0
    for where, row in read_rows(place, _list_columns(dataset, place.key, with_answers), bad_rows):
        try:
            example = _read_example(row, dataset, with_answers)
        except RowError as error:
            bad_rows.add(f"{where}: {error}")
            continue
        num_good += 1
        result.prompts.add(example.identity)
        if (same := (example.identity, example.answers)) not in seen:
            seen.add(same)
            result.examples.append(example)
    num_bad = bad_rows.num_skipped
    if not num_good:
        if num_bad:
            raise ConfigError(f"{bad_rows.first} (and no other row can be used: all {num_bad} are bad)")
        raise ConfigError(f"{place.given}: holds no {name_examples(with_answers)}")
    result.counts = Counts(num_good + num_bad, num_bad, num_good - len(result.examples))
    return result


def _read_example(row: Row, dataset: DatasetConfig, with_answers: bool) -> Example:
    chosen, rejected = row.get(dataset.chosen_column), row.get(dataset.rejected_column)
    if dataset.prompt_column is None:
        prompt = read_shared_prompt(chosen, rejected)
    else:
        prompt = read_prompt(row[dataset.prompt_column])
    if not with_answers:
        return Example(prompt, (), identify(prompt))
    answers = (read_answer(chosen, prompt, "the chosen answer"), read_answer(rejected, prompt, "the rejected answer"))
    if answers[0] == answers[1]:
        raise RowError("the chosen and the rejected answer are the same")
    return Example(prompt, answers, identify(prompt))
