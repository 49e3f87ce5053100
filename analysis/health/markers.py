"""Surface markers: how many answers have a `?`, a `!` or an emoji, and how many of the base policy's had."""

from analysis.health.signals import read_series
from analysis.health.thresholds import NAMED_RISE
from analysis.records.runs import RunRecord
from rlhf_sweeps.figures import format_share

MARKERS = {"exclamation": "an exclamation mark", "question": "a question mark", "emoji": "an emoji"}
_SIGNS = {"exclamation": "!", "question": "?"}


def read_base_rate(run: RunRecord, marker: str) -> float | None:
    """Share of the base policy's answers to the held-out prompts that have a marker; None where it is not known.

    Reads the run's samples.
    """
    sign = _SIGNS.get(marker)
    if sign is None:
        return None
    samples = run.read_samples()
    first = samples[0].get("update") if samples else None
    texts = [sample.get("base_response") for sample in samples if sample.get("update") == first]
    have_sign = [sign in text for text in texts if isinstance(text, str)]
    return sum(have_sign) / len(have_sign) if have_sign else None


def describe_moved_markers(run: RunRecord) -> str:
    """The markers that have become much more or much less frequent, as the rest of a sentence; empty if none has."""
    moved = []
    for marker, marker_noun in MARKERS.items():
        rate = read_series(run, f"eval/{marker}_rate")
        if len(rate) > 1 and abs(rate.values[-1] - rate.values[0]) > NAMED_RISE:
            first, last = (format_share(float(x)) for x in (rate.values[0], rate.values[-1]))
            moved.append(f"{marker_noun} in {last} of the answers, at first in {first}")
    return f"; {', '.join(moved)}" if moved else ""
