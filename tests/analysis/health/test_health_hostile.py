"""Health of records that are short, have holes, or hold nonsense; what every advice names."""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.health_runs import sound
from helpers.health_sicknesses import SICKNESSES
from omegaconf import DictConfig, OmegaConf

from analysis.health.findings import diagnose_run
from analysis.records.runs import FAILED, RunRecord


@pytest.mark.parametrize("num", [0, 1, 2, 3, 5])
def test_short_records(num: int) -> None:
    made = sound(1, 10)
    metrics = {name: values[:num] for name, values in made.metrics.items()}
    assert diagnose_run(RunRecord("0", metrics, made.config)) == []


def test_nonsense_among_the_numbers() -> None:
    nonsense = [np.nan, np.inf, -np.inf, 1e308, -1e308, 0.0, -1.0, 1e-308]
    made_of_it = []
    for seed in range(30):
        made, rng = sound(seed, 40), np.random.default_rng(seed)
        metrics = {"update": made.metrics["update"]}
        for name, values in made.metrics.items():
            if name != "update":
                metrics[name] = np.where(rng.random(40) < rng.random(), rng.choice(nonsense, 40), values)
        made_of_it += diagnose_run(RunRecord("0", metrics, made.config))
    # Zeros and ones below zero are no nonsense: what many of them make has something to say.
    assert len({finding.kind for finding in made_of_it}) >= 8
    for finding in made_of_it:
        assert all(np.isfinite(number) for number in finding.evidence.values()), finding
        assert not re.search(r"\b(nan|inf)\b|e\+30", finding.text), finding


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (np.nan, []),
        (np.inf, []),
        (1e308, []),
        (-1e308, []),
        (0.0, ["constant scores"]),
        (1.0, ["KL before training", "updates too large", "truncated answers"]),
        (-1.0, ["KL before training", "constant scores", "negative KL"]),
    ],
)
def test_hostile_values(value: float, kinds: list[str]) -> None:
    made = sound(2, 60)
    config = {"objective.kl_budget": "much", "ppo.lr": None, "ppo.clip_range": [0.2], "eval.num_prompts": True}
    metrics = {name: values if name == "update" else np.full(60, value) for name, values in made.metrics.items()}
    summary = {"update": "x", "cause": 3, "message": ["y"]}
    failed, *others = diagnose_run(RunRecord("0", metrics, config, FAILED, summary))
    assert (failed.kind, failed.update, failed.text) == ("failed: 3", 60, "the run ended in update 60: ['y']")
    assert [finding.kind for finding in others] == kinds
    for finding in others:
        assert all(isinstance(number, float) for number in finding.evidence.values()), finding


def test_holes_in_a_record_change_nothing_much() -> None:
    made = sound(20_003, 200)
    SICKNESSES["KL blow-up"][0](made, 0.5, 0.5)
    rng = np.random.default_rng(0)
    metrics = {n: v if n == "update" else np.where(rng.random(200) < 0.3, np.nan, v) for n, v in made.metrics.items()}
    finding = next(one for one in diagnose_run(RunRecord("0", metrics, made.config)) if one.kind == "KL blow-up")
    assert finding.update == pytest.approx(103, abs=3)  # without holes: 103


def test_every_key_in_an_advice_exists() -> None:
    conf = Path(__file__).parents[3] / "conf"
    keys = set()
    for group in ("ppo", "reward_model"):
        for path in (conf / group).glob("*.yaml"):
            content = OmegaConf.load(path)
            assert isinstance(content, DictConfig)
            keys |= {f"{group}.{key}" for key in content}
    content = OmegaConf.load(conf / "config.yaml")
    keys |= {f"{group}.{key}" for group in ("objective", "eval", "sweep", "checkpoint") for key in content[group]}
    sources = Path(__file__).parents[3].glob("analysis/health/*.py")
    named = {
        key
        for path in sources
        for key in re.findall(
            r"\b((?:ppo|reward_model|objective|eval|sweep)\.[a-z_]+)", path.read_text(encoding="utf-8")
        )
    }
    assert named - keys == set()
    assert len(named) > 20
