"""From config to outcome: each key of the schema is followed to the number or the argument that it must change.

Here are the trainer's keys and those of the objective, in test_key_arguments those of the libraries' arguments; of each
other key a test elsewhere is named that follows it. A key without an entry fails, and so does an entry without its key
or its test.
"""

import ast
import dataclasses
import functools
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Compose
from helpers import toy
from helpers.followed_keys import ELSEWHERE, TRACKED, TRAINED
from hydra.plugins.sweeper import Sweeper as HydraSweeper

from rlhf_sweeps.cli import conf_dir
from rlhf_sweeps.config.reward_models import KINDS, CallableConfig
from rlhf_sweeps.config.schema import Config, ObjectiveConfig
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.reward_models.ensemble import aggregate
from rlhf_sweeps.sweep.settings import SweeperConfig
from rlhf_sweeps.verdicts import objective as worth

JUDGE = CallableConfig("callable", "grammar", None, "rlhf_sweeps.assets.judge.score", {}, 300.0)
# The values in conf/config.yaml and conf/tracking/wandb.yaml, as the README and the files' comments explain them.
DEFAULTS: dict[str, Any] = {
    "seed": 0, "device": "auto",
    "objective.metrics": ["eval/score"], "objective.directions": ["maximize"], "objective.reduction": "best",
    "objective.mean_over": 3, "objective.kl_budget": 5.0, "objective.kl_price": 0.1, "objective.constraints": [],
    "eval.every": 5, "eval.num_prompts": 128, "eval.num_confirming": 128, "eval.judges": [JUDGE],
    "eval.judge_each_other": True,
    "checkpoint.every": 5, "checkpoint.keep": True,
    "sweep.seeds": 1, "sweep.test_seeds": 0, "sweep.num_tested": 3, "sweep.budget_hours": None,
    "sweep.trial_hours": None, "sweep.update_timeout": 3600.0, "sweep.retries": 2, "sweep.kl_patience": 2,
    "sweep.cost_per_hour": None, "sweep.report": True,
    "tracking.mode": "auto", "tracking.project": None, "tracking.entity": None, "tracking.tags": [],
    "tracking.log_model": False, "tracking.init_timeout": 30.0, "tracking.finish_timeout": 60.0,
}  # fmt: skip


def keys_of(node: Any, prefix: str = "") -> Iterator[str]:
    for entry in dataclasses.fields(node):
        kind = entry.type if isinstance(entry.type, type) else None
        if kind is not None and dataclasses.is_dataclass(kind):
            yield from keys_of(kind, f"{prefix}{entry.name}.")
        elif prefix or entry.name != "reward_model":
            yield prefix + entry.name


KEYS = [
    *keys_of(Config),
    *(f"hydra.sweeper.{entry.name}" for entry in dataclasses.fields(SweeperConfig)),
    *dict.fromkeys(f"reward_model.{entry.name}" for kind in KINDS.values() for entry in dataclasses.fields(kind)),
]


@functools.cache
def trained(**changes: Any) -> dict[str, list[Any]]:
    """Metric -> its values in two updates of a toy."""
    trainer = toy.trainer(toy.settings(**changes))
    rows = [trainer.step() for _ in range(2)]
    return {name: [row.get(name) for row in rows] for row in rows for name in row}


@pytest.mark.parametrize("key", KEYS)
def test_each_key_has_an_outcome(key: str) -> None:
    group, _, name = key.rpartition(".")
    if group == "ppo" and name in TRAINED:
        base, odd, metric = TRAINED[name]
        before, after = trained(**base), trained(**{**base, name: odd})
        assert after.get(metric) != before.get(metric), f"{key}={odd} leaves {metric} as it is"
        return
    if group == "objective" and name in OBJECTIVES:
        return
    if group == "tracking":
        assert name in TRACKED or name in ("mode", "log_model")
        return
    assert key in ELSEWHERE, f"{key}: say in tests/helpers/followed_keys.py which test follows it"
    file, _, test = ELSEWHERE[key].partition("::")
    assert re.search(rf"\b{name}\b|\b{name}=", source_of(file, test)), f"{ELSEWHERE[key]} does not name {key}"


def test_no_entry_is_without_its_key() -> None:
    followed = {*(f"ppo.{name}" for name in TRAINED), *ELSEWHERE}
    assert followed - set(KEYS) == set()
    assert len(KEYS) > 130


@functools.cache
def parsed(file: str) -> tuple[str, list[ast.stmt]]:
    path = next(Path(__file__).parents[1].rglob(f"test_{file}.py"), None)
    assert path is not None, f"there is no test_{file}.py, which tests/helpers/followed_keys.py names"
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text).body


def source_of(file: str, test: str) -> str:
    """A test's own lines and what stands outside of tests, where its parameters may be."""
    text, body = parsed(file)
    (own,) = (node for node in body if isinstance(node, ast.FunctionDef) and node.name == test)
    lines = text.splitlines()
    kept = [node for node in body if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_")]
    first = min(node.lineno for node in (own, *own.decorator_list))
    parts = [(first, own.end_lineno), *((node.lineno, node.end_lineno) for node in kept)]
    return "\n".join("\n".join(lines[begin - 1 : end]) for begin, end in parts)


def test_defaults(compose_config: Compose) -> None:
    config: Any = compose_config()
    for key, value in DEFAULTS.items():
        assert functools.reduce(getattr, key.split("."), config) == value, key
    sections = ("objective", "eval", "checkpoint", "sweep", "tracking")
    assert {key for key in KEYS if key.startswith(tuple(f"{name}." for name in sections))} <= DEFAULTS.keys()
    assert compose_config("tracking=disabled").tracking.mode == "disabled"
    assert compose_config("tracking=offline").tracking.mode == "offline"


ROWS = [
    {"update": 5, "eval/score": 1.0, "eval/kl": 4.0, "objective/kl": 0.5, "eval/base_score": 0.25},
    {"update": 10, "eval/score": 3.0, "eval/kl": 9.0, "objective/kl": 0.5, "eval/base_score": 0.25},
    {"update": 15, "eval/score": 2.0, "eval/kl": 5.0, "objective/kl": 0.5, "eval/base_score": 0.25},
]
PLAIN = ObjectiveConfig(["eval/score"], ["maximize"], "best", 3, None, [], 0.1)
# Key -> another value, what the run is worth then (3 without), and by how much it breaks the constraints.
OBJECTIVES: dict[str, tuple[dict[str, Any], list[float], dict[str, float]]] = {
    "metrics": ({"metrics": ["eval/kl"]}, [9.0], {}),
    "directions": ({"directions": ["minimize"]}, [1.0], {}),
    "reduction": ({"reduction": "last"}, [2.0], {}),
    "mean_over": ({"reduction": "mean", "mean_over": 2}, [2.5], {}),
    "kl_budget": ({"kl_budget": 8.0}, [2.0], {}),
    "constraints": ({"constraints": ["eval/kl<=8.5"]}, [3.0], {"eval/kl<=8.5": 0.5}),
}


@pytest.mark.parametrize("key", OBJECTIVES)
def test_keys_of_the_objective(key: str) -> None:
    changes, value, excess = OBJECTIVES[key]
    assert worth.compute_objectives(ROWS, PLAIN) == [3.0]
    config = replace(PLAIN, **changes)
    assert worth.compute_objectives(ROWS, config) == value
    assert worth.compute_violations(ROWS, config) == excess


def test_names_and_suggestions_reach_what_they_are_for(compose_config: Compose) -> None:
    of_model = ("name=odd", "suggested_lr=7e-3", "suggested_kl_coef=0.3", "suggested_kl_budget=9")
    of_dataset = ("suggested_response_length=11", "suggested_judges=[length,grammar]")
    config = compose_config(*(f"model.{key}" for key in of_model), *(f"dataset.{key}" for key in of_dataset))
    assert (config.name, config.ppo.lr, config.ppo.kl_coef) == ("odd", 7e-3, 0.3)
    assert (config.objective.kl_budget, config.ppo.response_length) == (9.0, 11)
    assert [judge.name for judge in config.eval.judges] == ["length", "grammar"]


def test_adapters_have_their_rank_and_scale() -> None:
    adapted: Any = models.add_adapter(toy.policy(), toy.settings(lora_rank=3, lora_alpha=12), seed=7)
    (config,) = adapted.peft_config.values()
    assert (config.r, config.lora_alpha) == (3, 12)
    layers = [module for module in adapted.modules() if hasattr(module, "lora_A")]
    assert {layer.lora_A["default"].out_features for layer in layers} == {3}
    assert {layer.scaling["default"] for layer in layers} == {4.0}


def test_workers_go_by_two_names() -> None:
    def wanted(workers: int | None, n_jobs: int | None) -> int | None:
        return SweeperConfig(workers=workers, n_jobs=n_jobs).wanted_workers

    assert [wanted(3, None), wanted(None, 4), wanted(None, None), wanted(0, None)] == [3, 4, None, 0]


def test_the_plugin_is_found_by_its_target(compose_config: Compose) -> None:
    compose_config()  # which puts it on the path
    _target_ = yaml.safe_load((Path(conf_dir()) / "hydra" / "sweeper" / "rlhf_sweeps.yaml").read_text())["_target_"]
    found = pkgutil.resolve_name(_target_)
    assert issubclass(found, HydraSweeper)
    assert found.__module__ == "hydra_plugins.rlhf_sweeps"


def test_the_weight_of_disagreement(compose_config: Compose) -> None:
    """Two members at 0 and 2: their mean is 1, and so is their variance."""
    given = ("reward_model=ensemble", "reward_model.members=[length,vader]", "reward_model.uncertainty_weight=0.125")
    config = compose_config(*given, "reward_model.aggregation=uncertainty_weighted").reward_model
    scores = torch.tensor([[0.0], [2.0]])
    assert aggregate(scores, config.aggregation, config.uncertainty_weight).tolist() == [1 - 0.125 * 1]
