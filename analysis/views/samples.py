"""Answers of the base policy and of the trained policy side by side, with all scores that were given to them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from analysis.output.parts import Block, Part, Sentences
from analysis.records.runs import UPDATE, RunRecord, Samples, Source
from analysis.records.worth import select_counted_rows
from analysis.results.entries import find_reward_model
from analysis.results.ranking import SourceRanking
from analysis.results.results import Results
from analysis.wording.statements import clip_text, format_count
from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.against_base import describe_gain, measure_gain

# Keys of a sample, as `Run.samples` has them.
_SCORE, _BASE = "score", "base_score"
# Chosen by looking at drawings and lists.
_MAX_RUNS = 4  # the best run, and the best of every other reward model
_MAX_PAIRS = 60  # of a run: the prompts that improved most, and least
_MAX_TEXT = 2000  # characters of an answer
_MAX_EARLIER = 6  # earlier answers to a prompt
_WITH_EARLIER = 3  # prompts at either end that have earlier answers
_LARGEST = 1e300
OWN = "own score"


@dataclass(frozen=True)
class SamplePair:
    """Both answers to one prompt.

    Attributes:
        position: in the record.
        scores: judge -> (base, policy); `own score` is that of the reward model that the policy was trained on.
        earlier: (update, response) of earlier evaluations.
    """

    position: int
    prompt: str
    base: str
    response: str
    scores: dict[str, tuple[float, float]]
    earlier: Sequence[tuple[int, str]] = ()

    @property
    def gain(self) -> float:
        """The own score's change; nan where there is none."""
        base, policy = self.scores.get(OWN, (math.nan, math.nan))
        return policy - base

    @property
    def is_same(self) -> bool:
        """Whether training has left the answer unchanged."""
        return self.base == self.response

    @property
    def gains(self) -> dict[str, float]:
        """Judge -> change."""
        return {name: policy - base for name, (base, policy) in self.scores.items()}


@dataclass(frozen=True)
class SampleSet:
    """The pairs of one run at one update."""

    id: str
    title: str
    judges: Sequence[str]
    pairs: Sequence[SamplePair]
    sentences: Sequence[str]


def samples_view(results: Results, most: int = _MAX_PAIRS) -> list[Part]:
    """A set of pairs for each of the best runs, the most improved prompts first."""
    chosen = _choose_runs(results.source, results.ranking)
    sets = [samples for title, run in chosen if (samples := _make_sample_set(title, run, most))]
    if not sets:
        return [Sentences(["no evaluation samples are in this record, or none of the best run"])]
    return [Block("samples", [replace(each, id=f"samples-{place}") for place, each in enumerate(sets)], "samples")]


def select_first_set(results: Results) -> SampleSet | None:
    """All pairs of the best run, or of the first with samples, the most improved prompts first; None without any."""
    for title, run in _choose_runs(results.source, results.ranking)[:1]:
        return _make_sample_set(title, run, sys.maxsize)
    return None


def _choose_runs(source: Source, ranking: SourceRanking) -> list[tuple[str, RunRecord]]:
    """The best run, and the best run of every other reward model; without a ranking the first with samples."""
    chosen: list[tuple[str, RunRecord]] = []
    seen: set[str] = set()
    for place, entry in enumerate(ranking.leaders):
        if entry.run is None:
            continue
        reward_model = find_reward_model(entry)
        if reward_model not in seen:
            seen.add(reward_model)
            rank = ", the best" if place == 0 else f", the best on reward model {reward_model}"
            chosen.append((f"{entry.title}{rank if len(ranking.entries) > 1 else ''}", entry.run))
        if len(chosen) == _MAX_RUNS:
            break
    if not chosen:
        first = next((run for run in source.runs if _find_last_update(run.read_samples()) is not None), None)
        chosen = [(f"Run {first.name}", first)] if first is not None else []
    return chosen


def _make_sample_set(title: str, run: RunRecord, most: int) -> SampleSet | None:
    samples = [sample for sample in run.read_samples() if isinstance(sample.get("update"), int | float)]
    update = _choose_update(run, samples)
    if update is None:
        return None
    of_update = [sample for sample in samples if sample["update"] == update]
    pairs = [_make_pair(position, sample) for position, sample in enumerate(of_update)]
    judges = list(dict.fromkeys(name for pair in pairs for name in pair.scores))
    ordered = sorted(pairs, key=lambda pair: (math.isnan(pair.gain), -pair.gain, pair.position))
    chosen = ordered if len(ordered) <= most else [*ordered[: most // 2], *ordered[-(most // 2) :]]
    earlier = _collect_earlier(samples, float(update))
    ends = {pair.position for pair in (*chosen[:_WITH_EARLIER], *chosen[-_WITH_EARLIER:])}
    chosen = [_add_earlier(pair, earlier) if pair.position in ends else pair for pair in chosen]
    sentences = _write_sentences(ordered, judges)
    if len(chosen) < len(pairs):
        half = most // 2
        sentences.append(f"of {len(pairs)} prompts, the {half} that improved most and the {half} that improved least")
    return SampleSet("", f"{title}, after update {format_number(float(update))}", judges, chosen, sentences)


def _choose_update(run: RunRecord, samples: Samples) -> float | None:
    """The last evaluation that counted, else that of the best score, else the last; of those that have samples."""
    counted_updates = [row[UPDATE] for row in select_counted_rows(run)[-1:]]
    for update in (*counted_updates, run.summary.get("best_update")):
        if update is not None and any(sample["update"] == update for sample in samples):
            return float(update)
    return _find_last_update(samples)


def _find_last_update(samples: Samples) -> float | None:
    updates = [sample["update"] for sample in samples if isinstance(sample.get("update"), int | float)]
    return max(updates, default=None)


def _make_pair(position: int, sample: dict[str, Any]) -> SamplePair:
    scores: dict[str, tuple[float, float]] = {}
    names = {_SCORE: OWN} | {
        key: key.removeprefix("judge/").removesuffix("/score")
        for key in sample
        if key.startswith("judge/") and key.endswith("/score")
    }
    for key, name in names.items():
        policy, base = sample.get(key), sample.get(_BASE if key == _SCORE else f"{key.removesuffix('score')}base_score")
        if _is_score(policy) and _is_score(base):
            scores[name] = (float(base), float(policy))
    prompt, base_text, response = (str(sample.get(k) or "") for k in ("prompt", "base_response", "response"))
    return SamplePair(
        position, clip_text(prompt, _MAX_TEXT), clip_text(base_text, _MAX_TEXT), clip_text(response, _MAX_TEXT), scores
    )


def _is_score(value: Any) -> TypeGuard[float]:
    """A number that is small enough for a finite sum."""
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _collect_earlier(samples: Samples, update: float) -> dict[str, list[tuple[int, str]]]:
    """Prompt -> its answers before that update, (update, response), oldest first."""
    answers: dict[str, list[tuple[int, str]]] = {}
    for sample in samples:
        if sample["update"] < update:
            answer = (int(sample["update"]), clip_text(str(sample.get("response") or ""), _MAX_TEXT // 4))
            answers.setdefault(str(sample.get("prompt") or ""), []).append(answer)
    return answers


def _add_earlier(pair: SamplePair, earlier: dict[str, list[tuple[int, str]]]) -> SamplePair:
    answers = earlier.get(pair.prompt, [])
    step = max(1, -(-len(answers) // _MAX_EARLIER))
    return replace(pair, earlier=answers[::step])


def _write_sentences(ordered: Sequence[SamplePair], judges: Sequence[str]) -> list[str]:
    lines = []
    for name in judges:
        gains = [pair.gains[name] for pair in ordered if name in pair.gains]
        up, down = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        scorer = "its own score" if name == OWN else f"judge {name}"
        gain = measure_gain([{str(place): gain for place, gain in enumerate(gains)}])
        mean = f"{format_number(math.fsum(gains) / len(gains))} more on average"
        mean = f"the policy is {describe_gain(gain)}" if name == OWN else mean
        lines.append(
            f"{scorer}: higher than the base policy's for {up} of {format_count(len(gains), 'prompt')}, "
            f"lower for {down}, "
            f"equal for {len(gains) - up - down}; {mean}"
        )
    if num_same := sum(pair.is_same for pair in ordered):
        lines.append(f"for {format_count(num_same, 'prompt')} the answer is word for word that of the base policy")
    return lines
