"""Screens of reward models, from the folders that they were written into."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import SCREEN, salvage_object
from rlhf_sweeps.verdicts.head_to_head import INDEPENDENT
from rlhf_sweeps.verdicts.judge_votes import JudgeGroup
from rlhf_sweeps.verdicts.near_copies import average_agreement
from rlhf_sweeps.wording import suggest_path


@dataclass(frozen=True)
class ScreenCurve:
    """How often the best of n answers of a reward model beats another answer, under its independent judges.

    Attributes:
        name: of the reward model.
        rates, lows, highs: for each n, a share with its 95 % interval, nan where there is none, (sizes,) each.
    """

    name: str
    rates: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


@dataclass(frozen=True)
class Screen:
    """A screen as its folder has it.

    Attributes:
        sizes: the values of n.
        kls: the upper bound of the KL of the best of n to the base policy, in nats, (sizes,).
        curves: of the reward models that have an independent judge, in their order.
        near_copies: groups of reward models, each of which has one vote.
        near_copy_from: the correlation from which they were near-copies.
        num_prompts: the number of held-out prompts.
    """

    sizes: Sequence[int]
    kls: Sequence[float]
    curves: Sequence[ScreenCurve]
    near_copies: Sequence[JudgeGroup]
    near_copy_from: float
    num_prompts: int


def read_screen(folder: Path) -> Screen:
    """The screen in a folder.

    Raises:
        AnalysisError: if there is no such folder, or no screen in it that can be read.
    """
    if not folder.is_dir():
        raise AnalysisError(f"{folder}: there is no such folder{suggest_path(folder)}")
    problems: list[str] = []
    content = salvage_object(folder / SCREEN, problems)
    if not content:
        why = problems[0] if problems else f"holds no {SCREEN} with a result"
        raise AnalysisError(
            f"{folder}: {why} (allowed: the folder of a screen, by `python -m rlhf_sweeps.reward_models screen`)"
        )
    try:
        return _make_screen(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnalysisError(f"{folder}: {SCREEN} has not the form of a screen ({error!r})") from error


def _make_screen(content: Mapping[str, Any]) -> Screen:
    points = [point for point in content["curves"] if point["judge"] == INDEPENDENT]
    kls = {int(point["n"]): float(point["kl"]) for point in points}
    groups = [list(map(str, names)) for names in content["clusters"] if len(names) > 1]
    curves = []
    for name in dict.fromkeys(str(point["reward_model"]) for point in points):
        own = {int(point["n"]): point for point in points if point["reward_model"] == name}
        columns = [[_convert_to_float(own[n][key]) for n in kls] for key in ("win_rate", "low", "high")]
        curves.append(ScreenCurve(name, *columns))
    return Screen(
        list(kls),
        list(kls.values()),
        curves,
        [JudgeGroup(names, average_agreement(names, content["agreement"])) for names in groups],
        float(content["near_copy_from"]),
        int(content["num_prompts"]),
    )


def _convert_to_float(value: float | None) -> float:
    return math.nan if value is None else float(value)
