"""A comparison of reward models as the text that stands at a sweep's end."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.wording import WIDTH, in_columns, short

LONGEST_NAME = 24
FEW = 10  # sentences on what was left out that are still printed

Entry = Mapping[str, Any]


def table(comparison: Mapping[str, Any]) -> str:
    """Win rates under every judge, the ranking, and what a reader should beware of, in lines of at most 120 characters.

    Args:
        comparison: what `compare` gives.
    """
    entries: list[Entry] = comparison["reward_models"]
    lines = []
    if entries:
        matrix = in_columns(list(_by_judge(entries, comparison["judges"])))
        is_too_wide = max(map(len, matrix)) > WIDTH
        lines += [_title(comparison), *(in_columns(list(_by_pair(entries))) if is_too_wide else matrix)]
    else:
        lines.append("nothing to compare: no reward model has a run with an evaluation that can be used")
    lines += _ranking(comparison["ranking"])
    for note in [*_over_optimized(comparison), *_few_seeds(entries), *_left_out(comparison["left_out"])]:
        lines += _wrapped(note)
    return "\n".join(lines)


def _title(comparison: Mapping[str, Any]) -> str:
    return (
        f"win rate against the base policy in % [{100 * comparison['confidence']:.0f} % interval], "
        f"{comparison['num_prompts']} prompts; *: own judge, which chose each run's evaluation"
    )


def _by_judge(entries: Sequence[Entry], judges: Sequence[str]) -> Iterator[list[str]]:
    """A row for each reward model, a column for each judge."""
    yield ["trained on", *map(_short, judges), "KL", "update", "seeds"]
    for entry in entries:
        rates = [_own_marked(entry, judge) if judge in entry["judges"] else "-" for judge in judges]
        yield [_short(entry["reward_model"]), *rates, *_costs(entry)]


def _by_pair(entries: Sequence[Entry]) -> Iterator[list[str]]:
    """A row for each reward model and judge."""
    yield ["trained on", "judge", "win rate", "KL", "update", "seeds"]
    for entry in entries:
        for judge in entry["judges"]:
            yield [_short(entry["reward_model"]), _short(judge), _own_marked(entry, judge), *_costs(entry)]


def _own_marked(entry: Entry, judge: str) -> str:
    return _rate(entry["judges"][judge]["win_rate"]) + ("*" if judge == entry["reward_model"] else "")


def _costs(entry: Entry) -> list[str]:
    """What the win rates were had for: KL in nats, update; and on how many seeds."""
    first, last = min(entry["updates"]), max(entry["updates"])
    return [f"{entry['kl']:.3g}", f"{first}" if first == last else f"{first}-{last}", str(entry["num_seeds"])]


def _ranking(ranking: Sequence[Mapping[str, Any]]) -> list[str]:
    if not ranking:
        return []
    cells = [
        [f"  {place}.", _short(ranked["reward_model"]), _rate(ranked), _noise(ranked["within_noise_of"])]
        for place, ranked in enumerate(ranking, start=1)
    ]
    return ["by mean win rate under the other judges:", *in_columns(cells)]


def _noise(name: str | None) -> str:
    return "" if name is None else f"within noise of {_short(name)}"


def _over_optimized(comparison: Mapping[str, Any]) -> Iterator[str]:
    for found in comparison["over_optimized"]:
        losses = ", ".join(f"{_percent(rate)} % under {judge}" for judge, rate in found["judges"].items())
        yield (
            f"{found['reward_model']}: wins {_percent(found['win_rate'])} % under its own judge and {losses}: "
            "over-optimized, or the judges want different things"
        )


def _few_seeds(entries: Sequence[Entry]) -> Iterator[str]:
    names = [entry["reward_model"] for entry in entries if entry["num_seeds"] == 1]
    if names:
        who = "one seed each" if len(names) == len(entries) else f"one seed of {', '.join(names)}"
        yield f"warning: {who}, so the intervals do not know how much seeds differ; sweep.seeds=3 shows it"


def _left_out(sentences: Sequence[str]) -> Iterator[str]:
    yield from (f"left out: {sentence}" for sentence in sentences[:FEW])
    if len(sentences) > FEW:
        yield f"left out: {len(sentences) - FEW} more"


def _rate(rate: Mapping[str, float]) -> str:
    return f"{_percent(rate['mean'])} [{_percent(rate['low'])}, {_percent(rate['high'])}]"


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f}"


def _short(name: str) -> str:
    return short(name, LONGEST_NAME)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ")
