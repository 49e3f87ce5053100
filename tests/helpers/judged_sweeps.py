"""Sweeps over reward models from wins that are given: what the sweep writes and prints, and what the analysis reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from analysis.reading.study import rebuild_study
from analysis.records.runs import RunRecord, Source, TrialRecord
from helpers.records import axes
from rlhf_sweeps.record import Run
from rlhf_sweeps.verdicts.matrix import ComparedSetting, compare

# Reward model -> judge -> 1 won, 0 lost, (seeds, prompts).
Wins = Mapping[str, Mapping[str, NDArray[np.float64]]]


@dataclass
class MadeRun:
    """What the comparison asks of a run's folder."""

    seed: int
    wins: Mapping[str, NDArray[np.float64]]
    own: str
    folder: Path = field(default_factory=Path)
    samples_file: Path = field(default_factory=Path)

    def start(self) -> dict[str, Any]:
        return {"config": {"seed": self.seed}}

    def summary(self) -> dict[str, Any]:
        return {"status": "complete", "best": {"update": 10, "score": 1.0, "kl": 4.0}}

    def find_changed_files(self, *_: object) -> list[str]:
        return []

    def samples(self) -> list[dict[str, Any]]:
        rows = []
        for prompt in range(len(self.wins[self.own])):
            row: dict[str, Any] = {"update": 10, "prompt": f"p{prompt}"}
            for judge, wins in self.wins.items():
                prefix = "" if judge == self.own else f"judge/{judge}/"
                row |= {f"{prefix}score": float(wins[prompt]), f"{prefix}base_score": 0.5}
            rows.append(row)
        return rows


def drawn(
    random: np.random.Generator,
    chances: Mapping[str, float],
    num_seeds: int = 3,
    num_prompts: int = 120,
    prompt_deviation: float = 0.15,
    seed_deviation: float = 0.01,
) -> Wins:
    """Wins under one other judge with these probabilities, which differ by prompt and by seed; own judges see none."""
    found = {}
    for name, chance in chances.items():
        by_prompt = random.normal(chance, prompt_deviation, num_prompts)
        by_seed = random.normal(0, seed_deviation, (num_seeds, 1))
        won = random.random((num_seeds, num_prompts)) < np.clip(by_prompt + by_seed, 0, 1)
        found[name] = {name: np.zeros((num_seeds, num_prompts)), "judge": won.astype(np.float64)}
    return found


def written(wins: Wins, settings: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, Any]:
    """comparison.json: of each reward model's first trial, in the order given."""
    compared = []
    for number, (name, judged) in enumerate(wins.items()):
        runs = [
            MadeRun(seed, {judge: rows[seed] for judge, rows in judged.items()}, name)
            for seed in range(len(judged[name]))
        ]
        own = (settings or {}).get(name, {})
        compared.append(ComparedSetting(name, number, {"reward_model": name, **own}, cast("list[Run]", runs)))
    return compare(compared)


def judged_source(wins: Wins, comparison: dict[str, Any] | None = None) -> Source:
    """The same sweep as the analysis reads it: one trial for each reward model, with a run for each seed."""
    runs, trials = [], []
    for number, (name, judged) in enumerate(wins.items()):
        own = [_record(number, name, seed, {judge: rows[seed] for judge, rows in judged.items()}) for seed in
               range(len(judged[name]))]  # fmt: skip
        runs += own
        worth = [float(np.mean([run.objectives[0] for run in own if run.objectives]))]
        trials.append(TrialRecord(number, "complete", {"reward_model": name}, worth, seconds=60.0, runs=own))
    space = {"reward_model": f"choice({','.join(wins)})"}
    source = Source("judged", "sweep", runs, trials, space=axes(space), comparison=comparison or written(wins))
    return Source(**{**vars(source), "study": rebuild_study(trials, source)})


def _record(number: int, name: str, seed: int, wins: Mapping[str, NDArray[np.float64]]) -> RunRecord:
    updates = np.arange(1.0, 11)
    last = updates == 10
    metrics = {"update": updates, "eval/score": np.where(last, 1.0 + number + seed / 100, np.nan)}
    metrics |= {
        "eval/win_rate": np.where(last, wins[name].mean(), np.nan),
        "objective/kl": np.where(updates > 1, updates / 3, 0.0),
    }
    for judge, rows in wins.items():
        if judge != name:
            metrics[f"judge/{judge}/win_rate"] = np.where(last, rows.mean(), np.nan)
    summary = {"status": "complete", "objective": 1.0 + number, "objectives": [1.0 + number + seed / 100]}
    summary["best"] = {"update": 10, "score": 1.0, "kl": 4.0}
    config = {"seed": seed, "reward_model.name": name, "objective.kl_budget": 15.0}
    return RunRecord(f"{number}/seed_{seed}", metrics, config, "complete", summary, number)
