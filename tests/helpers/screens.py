"""Made-up screens of reward models in a folder, of which only what the picture needs is there."""

import json
from pathlib import Path
from typing import Any

from rlhf_sweeps.verdicts.head_to_head import INDEPENDENT

# Reward model -> n -> win rate under the independent judges, with its interval.
RATES: dict[str, dict[int, tuple[float, float | None, float | None]]] = {
    "honest": {1: (0.5, 0.4, 0.6), 2: (0.75, 0.65, 0.85)},
    "wrong": {1: (0.5, 0.4, 0.6), 2: (0.375, None, None)},
    "copy": {1: (0.5, 0.4, 0.6), 2: (0.25, 0.125, 0.5)},
}
KLS = {1: 0.0, 2: 0.25}  # made up, in nats


def make_content() -> dict[str, Any]:
    """screen.json: three of four are near-copies, and the fourth's judges and the third's curve are left out."""
    points = [
        {"reward_model": name, "judge": judge, "n": n, "kl": KLS[n], "score": None}
        | dict(zip(("win_rate", "low", "high"), own[n] if judge == INDEPENDENT else (0.99, 0.98, 1.0), strict=True))
        for n in KLS
        for name, own in RATES.items()
        for judge in (name, INDEPENDENT)
    ]
    agreement = {
        "wrong": {"copy": 0.9, "third": 1.0},
        "copy": {"third": 0.95},
    }
    return {
        "curves": points,
        "clusters": [["honest"], ["wrong", "copy", "third"]],
        "agreement": agreement,
        "near_copy_from": 0.875,
        "num_prompts": 40,
    }


def write_screen_folder(folder: Path) -> Path:
    """Write that into a folder; returns it."""
    (folder / "screen.json").write_text(json.dumps(make_content()), encoding="utf-8")
    return folder
