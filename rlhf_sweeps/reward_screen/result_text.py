"""The result of a screen as text for the terminal: tables and sentences; loads no torch."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.figures import format_interval, format_number, format_percent, format_share
from rlhf_sweeps.reward_screen.constants import LONGEST_COLUMN
from rlhf_sweeps.verdicts.head_to_head import FEWEST_CLUSTERS, INDEPENDENT
from rlhf_sweeps.verdicts.near_copies import average_agreement, describe_near_copies
from rlhf_sweeps.verdicts.pairs import BETTER
from rlhf_sweeps.wording import WIDTH, align_columns, shorten

Entry = Mapping[str, Any]


def write_text(result: Mapping[str, Any]) -> str:
    """Write tables, ranking and warnings, in lines of at most 120 characters.

    Args:
        result: see `make_result`.
    """
    lines = [*_write_choices(result), "", *_write_curves(result), "", *_write_teaching(result), ""]
    lines += _write_ranking(result)
    for sentence in (*_tell_near_copies(result), *_answer(result), *_warn(result)):
        lines += textwrap.wrap(sentence, WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def _write_choices(result: Mapping[str, Any]) -> list[str]:
    """The choices of the largest n under every judge; a row for each pair if the table would be too wide."""
    n, points = result["n"], {}
    for point in result["curves"]:
        if point["n"] == n:
            points[point["reward_model"], point["judge"]] = point
    names = [entry["name"] for entry in result["reward_models"]]
    title = (
        f"how often the best of {n} answers beats another answer of the base policy, in % "
        f"[{format_share(result['confidence'])} interval], {result['num_prompts']} prompts; *: own judge"
    )
    rows = [["chosen by", *map(_shorten, names)]]
    rows += [[_shorten(name), *(_format_rate(points[name, judge], name == judge) for judge in names)] for name in names]
    table = align_columns(rows)
    if max(map(len, table)) > WIDTH:
        cells = [
            [_shorten(name), _shorten(judge), _format_rate(points[name, judge], name == judge)]
            for name in names
            for judge in names
        ]
        table = align_columns([["chosen by", "judge", "wins"], *cells])
    return [*textwrap.wrap(title, WIDTH), *table]


def _write_curves(result: Mapping[str, Any]) -> list[str]:
    """The win rates under the independent judges by n."""
    points = [point for point in result["curves"] if point["judge"] == INDEPENDENT]
    if not points:
        return []
    sizes = list(dict.fromkeys(point["n"] for point in points))
    rates = {(point["reward_model"], point["n"]): format_percent(point["win_rate"]) for point in points}
    bounds = {point["n"]: format_number(point["kl"]) for point in points}
    rows = [["n", *map(str, sizes)], ["KL at most, nats", *(bounds[n] for n in sizes)]]
    rows += [[_shorten(name), *(rates[name, n] for n in sizes)] for name in dict.fromkeys(name for name, _ in rates)]
    title = "the same under the independent judges, by n (all that are no near-copies of the one that chooses)"
    return [title, *align_columns(rows, are_numbers=True)]


def _write_teaching(result: Mapping[str, Any]) -> list[str]:
    rows = [["what each can teach", "variance within prompts", "share of all variance", "ties within prompts"]]
    for entry in result["reward_models"]:
        figures = [format_number(entry["within"]), _format_or_dash(entry["within_share"])]
        rows.append([_shorten(entry["name"]), *figures, format_share(entry["tie_share"])])
    return align_columns(rows, are_numbers=True)


def _write_ranking(result: Mapping[str, Any]) -> list[str]:
    if not result["ranking"]:
        return []
    rows = [
        [f"  {place}.", _shorten(entry["reward_model"]), _format_rate(entry), _describe_noise(entry)]
        for place, entry in enumerate(result["ranking"], start=1)
    ]
    title = f"head to head, best of {result['n']} against best of {result['n']}, under independent judges, wins in %:"
    return [title, *align_columns(rows)]


def _describe_noise(entry: Entry) -> str:
    """The first of those before it that it is not distinguished from, and of those that it is a near-copy of."""
    parts = [("within noise of", entry["within_noise_of"]), ("near-copy of", entry["near_copies"])]
    return "; ".join(f"{relation} {_shorten(names[0])}" for relation, names in parts if names)


def _tell_near_copies(result: Mapping[str, Any]) -> Iterator[str]:
    for names in result["clusters"]:
        if len(names) > 1:
            correlation = average_agreement(names, result["agreement"])
            yield describe_near_copies(names, correlation, result["near_copy_from"])


def _answer(result: Mapping[str, Any]) -> Iterator[str]:
    ranking, n = result["ranking"], result["n"]
    if not ranking:
        count = len(result["clusters"])
        groups = f"{count} reward model{'s' * (count != 1)} that tell answers apart and are no near-copies"
        yield (
            f"nothing is ranked: of two reward models, a third one has to judge the choices, and there are {groups}; "
            f"reward_models=[...] needs at least {FEWEST_CLUSTERS}"
        )
    elif result["winner"] is not None:
        yield f"{result['winner']} is better than every other reward model by more than noise"
    else:
        best = ranking[0]["reward_model"]
        equal = [entry["reward_model"] for entry in ranking if best in entry["within_noise_of"]]
        yield (f"{best} leads (not decided)" + (f": {_join(equal)} {_be(equal)} within noise of it" if equal else ""))
        yield from _tell_better(result)
    if ranking and not result["over_optimized"]:
        yield f"no reward model loses under its independent judges by more than noise, up to the best of {n}"


def _tell_better(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield which reward models are better than which, where none is better than all."""
    for first in dict.fromkeys(pair["first"] for pair in result["pairs"]):
        worse = [pair["second"] for pair in result["pairs"] if (pair["first"], pair["verdict"]) == (first, BETTER)]
        if worse:
            yield f"{first} is better than {_join(worse)} by more than noise"


def _warn(result: Mapping[str, Any]) -> Iterator[str]:
    rates = {
        point["reward_model"]: point["win_rate"]
        for point in result["curves"]
        if point["judge"] == INDEPENDENT and point["n"] == result["n"]
    }
    for entry in result["over_optimized"]:
        name = entry["reward_model"]
        yield (
            f"{name}: its choices lose against the base policy under the independent judges from the best of "
            f"{entry['from_n']} on ({format_share(rates[name])} wins at {result['n']}): over-optimized, or the judges "
            "reward different things"
        )
    for entry in result["reward_models"]:
        if entry["silent_share"] == 1:
            yield f"{entry['name']}: cannot teach, it gives all answers to a prompt the same score; it is not compared"
        elif entry["silent_share"] > 0:
            share = format_share(entry["silent_share"])
            yield f"{entry['name']}: teaches nothing on {share} of the prompts, to which all answers get the same score"


def _format_rate(entry: Entry, is_own: bool = False) -> str:
    low, high = entry["low"], entry["high"]
    interval = "" if low is None else f" {format_interval(100 * low, 100 * high)}"
    return f"{format_percent(entry['win_rate'])}{interval}{'*' * is_own}"


def _format_or_dash(share: float | None) -> str:
    return "-" if share is None else format_share(share)


def _shorten(name: str) -> str:
    return shorten(name, LONGEST_COLUMN)


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
