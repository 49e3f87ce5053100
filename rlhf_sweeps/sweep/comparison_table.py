"""A comparison of reward models as text for the end of a sweep."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.figures import format_interval, format_number, format_percent, format_share
from rlhf_sweeps.verdicts.near_copies import describe_near_copies
from rlhf_sweeps.wording import WIDTH, align_columns, shorten

LONGEST_TABLE_NAME = 24  # characters of a reward model in the table; chosen
MOST_LEFT_OUT = 10  # sentences about runs that were left out; chosen

Entry = Mapping[str, Any]


def write_table(comparison: Mapping[str, Any]) -> str:
    """Write win rates under every judge, the ranking, and warnings, in lines of at most 120 characters.

    Args:
        comparison: the result of `compare`.
    """
    entries: list[Entry] = comparison["reward_models"]
    lines = []
    if entries:
        matrix = align_columns(list(_list_by_judge(entries, comparison["judges"])))
        is_too_wide = max(map(len, matrix)) > WIDTH
        lines += [_write_title(comparison), *(align_columns(list(_list_by_pair(entries))) if is_too_wide else matrix)]
    else:
        lines.append("nothing to compare: no reward model has a run with a usable evaluation")
    lines += _write_ranking(comparison["ranking"])
    copies = [
        describe_near_copies(group["judges"], group["correlation"], comparison["near_copy_from"])
        for group in comparison["near_copies"]
    ]
    warnings = [*_warn_of_over_optimization(comparison), *_warn_of_few_seeds(entries)]
    for note in [*copies, *warnings, *_list_left_out(comparison["left_out"])]:
        lines += _wrap(note)
    return "\n".join(lines)


def _write_title(comparison: Mapping[str, Any]) -> str:
    return (
        f"win rate against the base policy in % [{format_share(comparison['confidence'])} interval], "
        f"{comparison['num_prompts']} prompts; *: own judge, which chose each run's evaluation"
    )


def _list_by_judge(entries: Sequence[Entry], judges: Sequence[str]) -> Iterator[list[str]]:
    """A row for each reward model, a column for each judge."""
    yield ["trained on", *map(_shorten, judges), "KL", "update", "seeds"]
    for entry in entries:
        rates = [_mark_own(entry, judge) if judge in entry["judges"] else "-" for judge in judges]
        yield [_shorten(entry["reward_model"]), *rates, *_list_costs(entry)]


def _list_by_pair(entries: Sequence[Entry]) -> Iterator[list[str]]:
    """A row for each reward model and judge."""
    yield ["trained on", "judge", "win rate", "KL", "update", "seeds"]
    for entry in entries:
        for judge in entry["judges"]:
            yield [_shorten(entry["reward_model"]), _shorten(judge), _mark_own(entry, judge), *_list_costs(entry)]


def _mark_own(entry: Entry, judge: str) -> str:
    return _format_rate(entry["judges"][judge]["win_rate"]) + ("*" if judge == entry["reward_model"] else "")


def _list_costs(entry: Entry) -> list[str]:
    """The KL in nats at which the win rates were reached, the update, and the number of seeds."""
    first, last = min(entry["updates"]), max(entry["updates"])
    return [format_number(entry["kl"]), f"{first}" if first == last else f"{first}-{last}", str(entry["num_seeds"])]


def _write_ranking(ranking: Sequence[Mapping[str, Any]]) -> list[str]:
    if not ranking:
        return []
    cells = [
        [f"  {place}.", _shorten(entry["reward_model"]), _format_rate(entry), _describe_noise(entry["within_noise_of"])]
        for place, entry in enumerate(ranking, start=1)
    ]
    return ["by mean win rate under the other judges:", *align_columns(cells)]


def _describe_noise(name: str | None) -> str:
    return "" if name is None else f"within noise of {_shorten(name)}"


def _warn_of_over_optimization(comparison: Mapping[str, Any]) -> Iterator[str]:
    for entry in comparison["over_optimized"]:
        losses = ", ".join(f"{format_share(rate)} under {judge}" for judge, rate in entry["judges"].items())
        yield (
            f"{entry['reward_model']}: wins {format_share(entry['win_rate'])} under its own judge and {losses}: "
            "over-optimized, or the judges reward different things"
        )


def _warn_of_few_seeds(entries: Sequence[Entry]) -> Iterator[str]:
    names = [entry["reward_model"] for entry in entries if entry["num_seeds"] == 1]
    if names:
        who = "one seed each" if len(names) == len(entries) else f"one seed of {', '.join(names)}"
        yield f"warning: {who}, so the intervals ignore how much seeds differ; sweep.seeds=3 measures it"


def _list_left_out(sentences: Sequence[str]) -> Iterator[str]:
    yield from (f"left out: {sentence}" for sentence in sentences[:MOST_LEFT_OUT])
    if len(sentences) > MOST_LEFT_OUT:
        yield f"left out: {len(sentences) - MOST_LEFT_OUT} more"


def _format_rate(rate: Mapping[str, float]) -> str:
    return f"{format_percent(rate['mean'])} {format_interval(100 * rate['low'], 100 * rate['high'])}"


def _shorten(name: str) -> str:
    return shorten(name, LONGEST_TABLE_NAME)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ")
