"""One run of another trainer reads the same, whatever it is read from. Names by TRL's own code, values by hand."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.reading.metric_names import is_metric, rename_metrics
from analysis.reading.sources import read
from analysis.reading.wandb_runs import make_run

# As TRL 1.16's GRPOTrainer and RLOOTrainer log them, and what they are with us: rewards without any penalty, means over
# the tokens.
GRPO = {
    "reward": "objective/scores",
    "reward_std": "objective/scores_std",
    "kl": "objective/kl_per_token",
    "entropy": "policy/entropy_avg",
    "completions/mean_length": "objective/length",
    "completions/clipped_ratio": "objective/truncated_rate",
    "clip_ratio/region_mean": "policy/clipfrac_avg",
    "grad_norm": "policy/grad_norm",
    "learning_rate": "lr",
    "loss": "loss",
}
# As its PPOTrainer did until 0.11; the KL is a sum over the response, the entropy of `ppo/policy` a mean over tokens.
OLD_PPO = {
    "objective/kl": "objective/kl",
    "objective/entropy": "objective/entropy",
    "ppo/mean_scores": "objective/scores",
    "ppo/policy/entropy": "policy/entropy_avg",
    "ppo/loss/value": "loss/value_avg",
    "tokens/responses_len_mean": "objective/length",
}
STEPS = (1, 2, 3)


def rows_of(names: Mapping[str, str]) -> list[dict[str, float]]:
    return [{name: step + place / 8 for place, name in enumerate(names)} for step in STEPS]


def values(metrics: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in metrics.items() if name != "update"}


def expected(names: Mapping[str, str]) -> dict[str, list[float]]:
    return {ours: [step + place / 8 for step in STEPS] for place, ours in enumerate(names.values())}


def read_table(path: Path, rows: list[dict[str, float]]) -> dict[str, list[float]]:
    pd.DataFrame(rows).to_csv(path, index=False)
    return values(read(path).runs[0].metrics)


@pytest.mark.parametrize("names", [GRPO, {"reward": GRPO["reward"], "kl": GRPO["kl"]}])
def test_a_run_of_trls_reads_the_same_from_its_folder_from_wandb_and_from_an_export(
    tmp_path: Path, names: dict[str, str]
) -> None:
    rows = rows_of(names)
    state = {"log_history": [{"step": step, **row} for step, row in zip(STEPS, rows, strict=True)]}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    assert values(read(tmp_path / "trainer_state.json").runs[0].metrics) == expected(names)

    # What Hugging Face's callback makes of the names for W&B.
    sent = [
        {"train/global_step": step, **{f"train/{name}": value for name, value in row.items()}}
        for step, row in zip(STEPS, rows, strict=True)
    ]
    logged = make_run({}, [{"_step": place, **row} for place, row in enumerate(sent)], {}, "finished")
    assert values(logged.metrics) == expected(names)
    assert read_table(tmp_path / "history.csv", sent) == expected(names)

    chart = [
        {"Step": step, **{f"a run - train/{name}": value for name, value in row.items()}}
        for step, row in zip(STEPS, rows, strict=True)
    ]
    assert read_table(tmp_path / "chart.csv", chart) == expected(names)


def test_trls_names_of_old_are_the_same_in_a_table_and_in_wandb(tmp_path: Path) -> None:
    rows = [{"step": step, **row} for step, row in zip(STEPS, rows_of(OLD_PPO), strict=True)]
    assert read_table(tmp_path / "old.csv", rows) == expected(OLD_PPO)
    logged = make_run({}, [{"_step": row.pop("step"), **row} for row in rows], {}, "finished")
    assert values(logged.metrics) == expected(OLD_PPO)


@pytest.mark.parametrize("mark", ["completions/mean_length", "clip_ratio/region_mean", "frac_reward_zero_std"])
def test_a_table_is_trls_where_it_has_a_name_that_nobody_else_gives(tmp_path: Path, mark: str) -> None:
    """Without one, its reward and its KL are those of a figure: with the penalty, and of a response."""
    table = [{"step": step, "reward": 2.0, "kl": 0.5} for step in STEPS]
    assert set(read_table(tmp_path / "a.csv", table)) == {"objective/rlhf_reward", "objective/kl"}
    marked = read_table(tmp_path / "b.csv", [{**row, mark: 0.5} for row in table])
    assert {"objective/scores", "objective/kl_per_token"} < set(marked)


def test_a_new_name_hides_no_metric() -> None:
    one, two = np.array([1.0]), np.array([2.0])
    assert set(rename_metrics({"train/kl": one, "objective/kl_per_token": two}, True)) == {
        "kl",
        "objective/kl_per_token",
    }
    assert set(rename_metrics({"reward": one, "mean_reward": two}, False)) == {"objective/rlhf_reward", "mean_reward"}


def test_what_is_recorded_and_what_is_set() -> None:
    assert all(map(is_metric, ("reward", "train/reward", "KL", "completions/mean_length", "eval/score")))
    assert not any(map(is_metric, ("lr", "learning_rate", "objective/kl_coef", "ppo.lr", "note")))
