"""What runs took, in words: what is recorded, and what nobody knows."""

import math

from analysis.sweep.ledger import MEASURED, Cost
from analysis.wording.statements import counted, duration, listed

_WORDS = {
    "seconds": "time",
    "gpu_seconds": "time on GPUs",
    "scoring_seconds": "time of scoring",
    "tokens": "tokens",
    "episodes": "episodes",
}


def cost_words(cost: Cost) -> list[str]:
    """`35 s of one worker`, `9,320 tokens`, `720 episodes`: those that are known."""
    found = []
    if not math.isnan(cost.seconds):
        found.append(f"{duration(cost.seconds)} of one worker")
    if not math.isnan(cost.tokens):
        found.append(f"{cost.tokens:,.0f} tokens")
    if not math.isnan(cost.episodes):
        found.append(counted(round(cost.episodes), "episode"))
    return found


def untold_sentences(cost: Cost) -> list[str]:
    """What is not recorded, of how many runs; empty where all is."""
    by_count: dict[int, list[str]] = {}
    for name in MEASURED:
        if num := cost.untold.get(name, 0):
            by_count.setdefault(num, []).append(_WORDS[name])
    lines = []
    for num, words in sorted(by_count.items(), reverse=True):
        verb = "is" if words[-1].startswith("time") and len(words) == 1 else "are"
        where = "" if num == cost.runs else f" in {num} of {counted(cost.runs, 'run')}, which sums leave out"
        lines.append(f"{listed(words)} {verb} not recorded{where}")
    return lines


def saved_sentence(cost: Cost) -> str | None:
    """What pruning left out; None where it left out nothing."""
    if not cost.saved_updates:
        return None
    if math.isnan(cost.saved_seconds):
        return f"pruning saved {cost.saved_updates:,} updates, which were not run; their time is unknown"
    about = f"pruning saved about {duration(cost.saved_seconds)}: {cost.saved_updates:,} updates not run"
    return f"{about}, at the pace of the pruned trials themselves"
