"""Conversion of a sweep.json of version 1: its axes were texts, and parts of its plan stood in multirun.yaml only.

`choice(1e-05,0.0001) with ppo.clip_range=choice(0.1,0.2) if reward_model=tiny,vader and model=smollm2`
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.record.axes import Axis, as_data, as_number, read_axes
from rlhf_sweeps.record.commands import read_words
from rlhf_sweeps.record.reading import as_mapping
from rlhf_sweeps.record.sweep_plan import SweepPlan

_DEFAULT_TRIALS = 20  # the number of trials of a search without n_trials and without sweep.budget_hours
_FIRST_TEST_SEED = 1_000_000  # the distance of the first test seed from the sweep's seed
_INTERVAL = re.compile(r"interval\(\s*([^,()]+),\s*([^,()]+)\)")
_LIST = re.compile(r"(?:choice|shuffle)\((.*)\)", re.DOTALL)
_STEP = re.compile(r"step[:=]([^,()]+)")


def is_old(start: Mapping[str, Any]) -> bool:
    """Whether an earlier version wrote this content of sweep.json."""
    return isinstance(start.get("space"), dict)


def convert_start(start: Mapping[str, Any], hydra: Mapping[str, Any], has_comparison: bool = False) -> dict[str, Any]:
    """The content of a sweep.json in today's form; content in today's form is returned unchanged.

    Args:
        hydra: Hydra's part of multirun.yaml; empty if there is none.
        has_comparison: whether the sweep has written comparison.json, which compares reward models.
    """
    if not is_old(start):
        return dict(start)
    content = _convert_axes(start)
    plan = _read_plan(content, hydra, has_comparison).as_data()
    content = {**plan, **content, "directions": plan["directions"]}
    if isinstance(records := start.get("configurations"), list):
        content["configurations"] = [
            _convert_axes(record) if isinstance(record, dict) else record for record in records
        ]
    return content


def _convert_axes(record: Mapping[str, Any]) -> dict[str, Any]:
    others = {key: value for key, value in record.items() if key not in ("space", "shape")}
    return {**others, "axes": as_data(_read_axes(record["space"]))} if is_old(record) else others


def _read_plan(start: Mapping[str, Any], hydra: Mapping[str, Any], has_comparison: bool) -> SweepPlan:
    axes, config, sweeper = read_axes(start["axes"]), as_mapping(start.get("config")), as_mapping(hydra.get("sweeper"))
    metrics = list(map(str, _as_list(config.get("objective.metrics"))))
    seed, num_seeds = _as_whole(config.get("seed")) or 0, _as_whole(config.get("sweep.test_seeds")) or 0
    return SweepPlan(
        axes,
        metrics,
        list(map(str, _as_list(start.get("directions")) or _as_list(config.get("objective.directions")))),
        test_seeds=[seed + _FIRST_TEST_SEED + index for index in range(num_seeds)],
        num_trials=_count_trials(axes, config, sweeper) if hydra else None,
        num_tests=num_seeds * (_as_whole(config.get("sweep.num_tested")) or 0),
        num_workers=_as_whole(sweeper.get("workers")) or _as_whole(sweeper.get("n_jobs")) or None,
        is_comparison=has_comparison or _compares_reward_models(axes),
        arguments=["-m", *read_words(hydra)] if hydra else None,
    )


def _compares_reward_models(axes: Sequence[Axis]) -> bool:
    """Whether lists, and nothing else, vary the reward model or its keys; reward_model.normalize does not count."""
    own = [axis for axis in axes if f"{axis.key}.".startswith(("reward_model.", "experiment."))]
    varied = {axis.key for axis in own if len(axis.choices) > 1} - {"experiment", "reward_model.normalize"}
    return "reward_model" in varied or (bool(varied) and all(axis.choices for axis in own))


def _count_trials(axes: Sequence[Axis], config: Mapping[str, Any], sweeper: Mapping[str, Any]) -> int | None:
    wanted = _as_whole(sweeper.get("n_trials"))
    if all(axis.choices and not axis.when for axis in axes):
        num_points = math.prod(len(axis.choices) for axis in axes if axis.tied_to is None)
        return num_points if wanted is None else min(wanted, num_points)
    is_limited = as_number(config.get("sweep.budget_hours")) is not None
    return _DEFAULT_TRIALS if wanted is None and not is_limited else wanted


def _read_axes(space: Mapping[str, Any]) -> Iterator[Axis]:
    for name, text in space.items():
        swept, _, needed = _partition(str(text), " if ")
        own, *others = _split(swept, " with ")
        needs = dict(need.partition("=")[::2] for need in _split(needed, " and ")) if needed else {}
        when = {parent: tuple(_split_items(texts)) for parent, texts in needs.items()}
        yield _read_axis(name, own, None, when)
        for other in others:
            yield _read_axis(*other.partition("=")[::2], name, when)


def _read_axis(name: str, text: str, tied_to: str | None, when: Mapping[str, tuple[str, ...]]) -> Axis:
    if match := _INTERVAL.search(text):
        low, high = (_read_number(bound) for bound in match.groups())
        tags, step = re.split(r"[(,]", text[: match.start()]), _STEP.search(text[: match.start()])
        if low is not None and high is not None:
            low, high = sorted((low, high))
            size = None if step is None else _read_number(step[1])
            return Axis(name, (), low, high, "log" in tags and low > 0, "int" in tags, size, tied_to, when)
    listed = _LIST.fullmatch(text.strip())
    if choices := tuple(_split_items(listed[1])) if listed else ():
        return Axis(name, choices, tied_to=tied_to, when=when)
    return Axis(name, (), math.nan, math.nan, tied_to=tied_to, when=when)


def _split_items(text: str) -> list[str]:
    """The items of a list in Hydra's syntax."""
    items = [item.strip() for item in _split(text, ",")]
    return items[:-1] if items[-1] == "" else items


def _split(text: str, word: str) -> list[str]:
    parts, separator = [], word
    while separator:
        part, separator, text = _partition(text, word)
        parts.append(part)
    return parts


def _partition(text: str, word: str) -> tuple[str, str, str]:
    """str.partition at the first occurrence of the word outside of brackets and quotes."""
    for place in _find_outside(text):
        if text.startswith(word, place):
            return text[:place], word, text[place + len(word) :]
    return text, "", ""


def _find_outside(text: str) -> Iterator[int]:
    """The positions of the characters outside of brackets and quotes that are not escaped."""
    depth, quote, is_escaped = 0, "", False
    for place, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif char == "\\":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char in "([{") - (char in ")]}")
            if depth == 0:
                yield place


def _read_number(text: str) -> float | None:
    """The number as Hydra reads it: an int if it is written without a point or an exponent."""
    number = as_number(text)
    return int(text) if number is not None and re.fullmatch(r"\s*[+-]?[0-9]+\s*", text) else number


def _as_list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _as_whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
