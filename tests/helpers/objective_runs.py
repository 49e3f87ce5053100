"""Runs that look for one thing, and beside them runs that look for another."""

from pathlib import Path
from typing import Any

import pytest

from analysis.records.runs import Source
from analysis.results.ranking import rank_source
from analysis.views.answers import make_answers
from helpers.records import rows, summary, write_run, write_sweep

LOOKS_FOR_KL = {"objective__metrics": ["eval/kl"], "objective__directions": ["minimize"]}


def said(source: Source) -> list[tuple[str, list[str]]]:
    return [(question, list(lines)) for question, lines in make_answers(source, rank_source(source), [], []).answers]


def kl_run(folder: Path, kl: float, **settings: Any) -> None:
    """A run that minimizes its KL, worth the last."""
    metrics = [{**row, "eval/kl": kl} if "eval/score" in row else row for row in rows(20, height=1.0)]
    end = summary(metrics, objective=kl, objectives=[kl])
    write_run(folder, metrics, settings={**LOOKS_FOR_KL, **settings}, end=end)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A sweep that maximizes eval/score, worth 0.9, 1.9 and 2.8, and runs that minimize eval/kl, worth 9, 3 and 5."""
    write_sweep(tmp_path / "a_score", [{"ppo.lr": lr} for lr in (1e-5, 1e-4, 1e-3)], updates=20, heights=[1, 2, 3])
    for number, kl in enumerate((9.0, 3.0, 5.0)):
        kl_run(tmp_path / "b_kl" / f"run_{number}", kl, ppo__lr=1e-5 * (number + 1))
    return tmp_path


def evaluated(worths: dict[int, tuple[float, float]], **more: float) -> list[dict[str, Any]]:
    """Rows of 15 updates, evaluated at some of them: update -> (score, KL)."""
    found = []
    for row in rows(15):
        base = {name: value for name, value in row.items() if not name.startswith("eval/")}
        if row["update"] in worths:
            score, kl = worths[row["update"]]
            base |= {"eval/score": score, "eval/kl": kl, "eval/base_score": -0.1, **more}
        found.append(base)
    return found
