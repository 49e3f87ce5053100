"""Prompts are in the noise of a sweep's answer, and every output decides alike: sweeps with a fake trainer."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import fake_trainer
from helpers.ended_trials import make
from helpers.sweeping import sweep

from analysis.comparison.compare import compare_groups
from analysis.reading.sources import read
from analysis.sweep.margin import Lead, measure_lead
from analysis.sweep.settings import make_views
from analysis.views.comparison_files import make_comparison_files
from analysis.views.comparison_sentences import write_design_sentences
from rlhf_sweeps.config.schema import ObjectiveConfig
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.record.checked_objects import write_object
from rlhf_sweeps.sweep import trial_scores
from rlhf_sweeps.sweep.trial_scores import read_trial_scores

SETTINGS, SEEDS = "ppo.kl_coef=0.01,0.02", "seed=0,1,2"
SHORT = "ppo.total_episodes=160"  # 5 updates, of which the last is evaluated
# By how much a KL coefficient of 0.02 is better on each of four prompts: 1 in the mean of both.
ON_SOME, ON_ALL = (6.0, -4.0, 5.0, -3.0), (1.0, 1.0, 1.0, 1.0)
# On each seed, of both settings: their differences on the seeds are 0.9, 1.0 and 1.1.
NOISE = {0.01: (0.05, 0.0, -0.05), 0.02: (-0.05, 0.0, 0.05)}
OBJECTIVE = ObjectiveConfig(["eval/score"], ["maximize"], "best", 1, 15.0, [])


def score(kl_coef: float, seed: int, gains: tuple[float, ...]) -> list[float]:
    """Of a run on each prompt."""
    return [place + NOISE[kl_coef][seed] + (gain if kl_coef == 0.02 else 0.0) for place, gain in enumerate(gains)]


def train_by_prompt(monkeypatch: pytest.MonkeyPatch, gains: tuple[float, ...], has_samples: bool = True) -> None:
    """The fake trainer writes samples, whose mean is the objective."""

    def end(record: Run, status: str, reason: str | None) -> None:
        (row,) = [row for row in record.metrics() if "eval/score" in row]
        kl_coef, seed = 0.01 if record.folder.parent.name == "0" else 0.02, int(record.folder.name[-1])
        scores, begun = score(kl_coef, seed, gains), record.start() or {}
        write_object(record.start_file, {**begun, "config": {**begun["config"], "seed": seed}})  # as a real run has it
        if has_samples:
            record.append_samples(
                {
                    "update": 5,
                    "prompt": str(place),
                    "score": value,
                    "base_score": 0.0,
                    "response": "",
                    "base_response": "",
                }
                for place, value in enumerate(scores)
            )
        evaluation = {"update": 5, "score": row["eval/score"], "kl": row["eval/kl"]}
        ends = {"best": evaluation, "last": evaluation, "updates_within_budget": [5]}
        record.write_summary(
            {
                "status": status,
                "stop_reason": reason,
                "objective": np.mean(scores),
                "objectives": [np.mean(scores)],
                **ends,
            }
        )

    monkeypatch.setattr(fake_trainer, "value", lambda lr, kl_coef, seed: float(np.mean(score(kl_coef, seed, gains))))
    monkeypatch.setattr(fake_trainer, "_end", end)


def read_lead(folder: Path) -> Lead:
    """The lead as the analysis measures it."""
    (view,) = make_views(read(folder))
    lead = measure_lead(view, view.estimate_noise())
    assert lead is not None
    return lead


@pytest.mark.parametrize(("gains", "is_decided"), [(ON_SOME, False), (ON_ALL, True)])
def test_a_setting_that_is_better_on_a_few_prompts_only_is_not_decided_anywhere(
    gains: tuple[float, ...],
    is_decided: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Seeds differ by 0.1 at most; the mean difference is 1, and 5 on single prompts, of which there are four."""
    train_by_prompt(monkeypatch, gains)
    sweep(tmp_path / "sweep", SETTINGS, SEEDS, SHORT)
    start = "best" if is_decided else "leading (not decided)"
    assert f"{start}: trial 1, objective 2.5" in capsys.readouterr().out
    results = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert results["best_is_decided"] is is_decided
    lead, comparison = read_lead(tmp_path / "sweep"), compare_groups(read(tmp_path / "sweep"))
    assert (lead.is_decided, comparison.winner is not None) == (is_decided, is_decided)
    assert lead.pairs is not None
    # By hand: a variance of prompts of 82 / 3 (0 in the second case), by four of them. Seeds have 0.01 / 3.
    variance = float(np.var(gains, ddof=1)) / 4
    (pair,) = comparison.pairs
    for each in (lead.pairs[0], pair):
        assert each.prompt_share == pytest.approx(variance / (variance + 0.01 / 3))
    sentences = ["the noise of the held-out prompts counts, so that the verdicts hold for other prompts, too"]
    assert write_design_sentences(comparison.pairs) == sentences
    *_, document = make_comparison_files(comparison, {}, None)
    (entry,) = document.content["pairs"]  # type: ignore[union-attr]
    assert entry["design"] == "paired by seed, with the noise of prompts"
    # More seeds cannot show a difference that prompts hide.
    assert (lead.count_seeds(1) == math.inf) is not is_decided


def test_without_samples_seeds_alone_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_by_prompt(monkeypatch, ON_SOME, has_samples=False)
    sweep(tmp_path / "sweep", SETTINGS, SEEDS, SHORT)
    results = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    comparison = compare_groups(read(tmp_path / "sweep"))
    assert (results["best_is_decided"], read_lead(tmp_path / "sweep").is_decided) == (True, True)
    assert (comparison.winner, comparison.pairs[0].design_text) == ("0.02", "paired by seed")
    assert write_design_sentences(comparison.pairs) == []


def test_scores_are_read_of_the_compared_settings_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 trials the 30 that are compared; of trial 2, which ran on one seed, only the test seeds."""
    read: list[str] = []

    def note(run: Run, objective: ObjectiveConfig) -> Mapping[str, float]:
        read.append(str(run.folder))
        return {"a": float(len(read))}

    monkeypatch.setattr(trial_scores, "_read_scores", note)
    trials = [make(n, [40.0 - n], by_seed={0: [40.0 - n], 1: [40.0 - n]}) for n in range(40)]
    trials[2] = make(2, [38.0], by_seed={0: [38.0]}, tested={7: [38.0], 8: "diverged", 9: [38.5]})
    read_trial_scores(Sweep(Path("sweep")), trials, OBJECTIVE, ["maximize"])
    of_choice = [f"sweep/{n}/seed_{seed}" for n in range(30) if n != 2 for seed in (0, 1)]
    assert sorted(read) == sorted([*of_choice, "sweep/test/2_seed_7", "sweep/test/2_seed_9"])
    assert (set(trials[0].scores), set(trials[2].scores), set(trials[2].test_scores)) == ({0, 1}, set(), {7, 9})


@pytest.mark.parametrize(
    "changed",
    [{"metrics": ["eval/net_score"]}, {"metrics": ["eval/score", "eval/kl"]}, {"reduction": "frontier"}, {}],
)
def test_other_objectives_have_no_scores_by_prompt(changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_scores, "_read_scores", lambda run, objective: {"a": 1.0})
    trial = make(0, [1.0], by_seed={0: [1.0], 1: [1.0]})
    directions = ["maximize"] * len(changed.get("metrics", ["eval/score"])) if changed else ["minimize"]
    objective = ObjectiveConfig(**{**vars(OBJECTIVE), **changed})
    read_trial_scores(Sweep(Path("sweep")), [trial], objective, directions)
    assert trial.scores == {}
