"""From config to outcome: each key of the schema is followed to the number or the argument that it must change.

Here are the trainer's keys, those of the libraries' arguments and of the objective; of each other key a test elsewhere
is named that follows it. A key without an entry fails, and so does an entry without its key or its test.
"""

import ast
import dataclasses
import functools
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toy
import yaml
from conftest import Compose
from hydra.plugins.sweeper import Sweeper as HydraSweeper

from rlhf_sweeps import models, preflight, tracking
from rlhf_sweeps import objective as worth
from rlhf_sweeps.cli import conf_dir
from rlhf_sweeps.config import Config, ObjectiveConfig, TrackingConfig
from rlhf_sweeps.data.places import held_out_place, training_place
from rlhf_sweeps.data.tables import load_by_name
from rlhf_sweeps.reward_model_config import KINDS
from rlhf_sweeps.reward_models.ensemble import aggregate
from rlhf_sweeps.sweep.settings import SweeperConfig

# Of the trainer: what else is set, an odd value, and a metric of two updates that is another one then.
FAR: dict[str, Any] = {"lr": 0.03, "num_ppo_epochs": 3}  # steps far enough to be clipped
TRAINED: dict[str, tuple[dict[str, Any], Any, str]] = {
    "lr": ({}, 3e-3, "lr"),
    "value_lr": ({}, 3e-2, "loss/value_avg"),
    "lr_schedule": ({}, "cosine", "lr"),
    "lr_warmup_updates": ({}, 3, "lr"),
    "adam_eps": ({}, 1e-2, "objective/kl"),
    "max_grad_norm": ({}, 1e-6, "objective/kl"),
    "kl_coef": ({}, 0.3, "objective/non_score_reward"),
    "kl_estimator": ({}, "k3", "objective/kl"),
    "kl_in": ({}, "loss", "objective/rewards_std"),
    "kl_target": ({}, 3.0, "objective/kl_coef"),
    "kl_horizon": ({"kl_target": 3.0}, 60, "objective/kl_coef"),
    "clip_range": (FAR, 0.01, "loss/policy_avg"),
    "dual_clip": (FAR | {"rollouts_per_prompt": 1}, 1.01, "loss/policy_avg"),
    "value_clip_range": (FAR, 0.01, "val/clipfrac_avg"),
    "vf_coef": ({}, 3.0, "value/grad_norm"),
    "entropy_coef": ({}, 0.7, "policy/grad_norm"),
    "loss_aggregation": ({}, "sequence_mean", "policy/grad_norm"),
    "gamma": ({}, 0.7, "loss/value_avg"),
    "gae_lambda": ({}, 0.3, "loss/policy_avg"),
    "score_at": ({}, "after_end", "loss/value_avg"),
    "score_scaling": ({}, "normalize", "objective/scores"),
    "score_clip": ({}, 0.3, "objective/scores"),
    "missing_eos_penalty": ({}, 7.0, "objective/scores"),
    "whiten_rewards": ({}, True, "objective/rewards_std"),
    "bootstrap_truncated": ({"response_length": 2}, True, "objective/rewards_std"),
    "num_ppo_epochs": ({}, 3, "policy/epochs"),
    "target_kl": (FAR, 1e-6, "policy/epochs"),
    "num_minibatches": ({}, 3, "val/ratio_max"),
    "accumulation_steps": ({"loss_aggregation": "microbatch_mean", "microbatch_size": 2}, 1, "policy/approxkl_avg"),
    "batch_size": ({}, 3, "episode"),
    "rollouts_per_prompt": ({"rollouts_per_prompt": 1}, 3, "epoch"),
    "microbatch_size": ({}, 4, "perf/microbatch_size"),
    "total_episodes": ({}, 12, "lr"),
    "response_length": ({}, 5, "objective/length"),
    "temperature": ({}, 1.7, "objective/entropy"),
    "value_model": ({}, "policy", "loss/value_avg"),
    "value_warmup_updates": ({}, 1, "policy/grad_norm"),
    "precision": ({}, "bfloat16", "objective/kl"),
    "trl_metrics": ({}, True, "trl_compat/policy/approxkl_avg"),
}
# Where another key is followed: file::test, in which the key's last part is named.
ELSEWHERE = {
    "name": "hydra_part::test_all_runs_of_a_grid_have_answers_of_their_own_and_one_time",
    "seed": "odd_sweeps::test_each_run_has_its_seed",
    "device": "executors::test_each_worker_has_its_device",
    "model.name": "key_outcomes::test_names_and_suggestions_reach_what_they_are_for",
    "model.path": "models::test_locating",
    "model.revision": "key_outcomes::test_revisions_reach_the_hub",
    "model.pypi_wheel": "sources::test_messages_name_the_section",
    "model.sha256": "sources::test_the_digest_is_compared_before_anything_is_unpacked",
    "model.dtype": "assets::test_models_load_without_a_word",
    "model.suggested_lr": "key_outcomes::test_names_and_suggestions_reach_what_they_are_for",
    "dataset.name": "preference_head::test_the_config_says_whose_pairs",
    "dataset.path": "data_readers::test_the_held_out_part_can_be_a_split_of_another_folder",
    "dataset.subset": "key_outcomes::test_what_load_dataset_is_asked_for",
    "dataset.split": "key_outcomes::test_what_load_dataset_is_asked_for",
    "dataset.revision": "key_outcomes::test_what_load_dataset_is_asked_for",
    "dataset.eval_path": "key_outcomes::test_what_load_dataset_is_asked_for",
    "dataset.eval_split": "key_outcomes::test_what_load_dataset_is_asked_for",
    "dataset.prompt_column": "data_faults::test_faults_of_a_row_are_refused_or_skipped",
    "dataset.chosen_column": "key_outcomes::test_the_columns_of_pairs",
    "dataset.rejected_column": "key_outcomes::test_the_columns_of_pairs",
    "dataset.bad_rows": "data_held_out::test_prompts_and_pairs_are_split_alike",
    "dataset.min_prompt_length": "choices::test_what_cannot_be_is_named_by_its_key",
    "dataset.max_prompt_length": "prompt_record::test_held_out_prompts_that_do_not_fit_are_named_as_such",
    "dataset.suggested_response_length": "key_outcomes::test_names_and_suggestions_reach_what_they_are_for",
    "dataset.sources": "choices::test_sources_and_pairs_are_data_sets",
    "dataset.weight": "choices::test_sources_and_pairs_are_data_sets",
    "ppo.rollout_batch_size": "memory::test_batches_are_halved_and_the_numbers_stay",
    "ppo.top_p": "options::test_the_sampler_gets_what_is_configured",
    "ppo.stop_strings": "options::test_the_sampler_gets_what_is_configured",
    "ppo.complete_turn": "session::test_how_turns_end_reaches_the_reward_model",
    "ppo.value_path": "options::test_the_value_model_starts_from_a_path_of_its_own",
    "ppo.value_start": "value_start::test_values_that_start_as_the_reward_model_are_on_its_scale",
    "ppo.lora_rank": "key_outcomes::test_adapters_have_their_rank_and_scale",
    "ppo.lora_alpha": "key_outcomes::test_adapters_have_their_rank_and_scale",
    "ppo.gradient_checkpointing": "options::test_recomputed_activations_give_the_same_gradients",
    "ppo.static_decoding": "options::test_the_sampler_gets_what_is_configured",
    "eval.every": "search_space::test_what_is_not_swept_is_forwarded",
    "eval.num_prompts": "exit_status::test_runs_end_as_their_wandb_runs",
    "eval.judges": "choices::test_judges_by_name_and_with_keys_changed",
    "eval.judge_each_other": "contenders::test_what_is_asked_for_stands",
    "checkpoint.every": "options::test_a_run_that_diverges_keeps_its_last_good_checkpoint",
    "checkpoint.keep": "train::test_beyond_the_kl_budget_the_objective_is_the_base_score",
    "sweep.seeds": "odd_sweeps::test_each_run_has_its_seed",
    "sweep.test_seeds": "odd_sweeps::test_each_run_has_its_seed",
    "sweep.num_tested": "odd_sweeps::test_each_run_has_its_seed",
    "sweep.budget_hours": "odd_sweeps::test_earlier_starts_are_taken_off_the_budget",
    "sweep.trial_hours": "engine::test_a_trial_has_a_time_limit",
    "sweep.update_timeout": "sweep_kills::test_updates_that_are_done_again_are_a_sign_of_life",
    "sweep.retries": "engine::test_failures_cost_themselves_alone_and_have_causes",
    "sweep.kl_patience": "odd_sweeps::test_patience_beyond_the_kl_budget",
    "sweep.cost_per_hour": "dry_run::test_it_says_what_would_run_and_leaves_nothing",
    "sweep.report": "sweep_report::test_it_can_be_switched_off_and_on_when_a_sweep_goes_on",
    "hydra.sweeper._target_": "key_outcomes::test_the_plugin_is_found_by_its_target",
    "hydra.sweeper.direction": "engine::test_direction_of_hydras_plugin_is_kept",
    "hydra.sweeper.storage": "engine::test_a_journal_file_or_another_study_name_on_request",
    "hydra.sweeper.study_name": "record_fields::test_sweep_json_is_kept_from_start_to_start",
    "hydra.sweeper.n_trials": "engine::test_the_same_command_again_runs_nothing_and_a_larger_n_trials_extends",
    "hydra.sweeper.n_jobs": "key_outcomes::test_workers_go_by_two_names",
    "hydra.sweeper.workers": "key_outcomes::test_workers_go_by_two_names",
    "hydra.sweeper.workers_per_device": "devices::test_cores_are_divided",
    "hydra.sweeper.max_failure_rate": "engine::test_the_sweep_ends_at_the_maximum_failure_rate",
    "hydra.sweeper.params": "record_fields::test_a_later_start_knows_all_of_a_trial_that_has_ended",
    "hydra.sweeper.conditions": "configurations::test_trials_are_not_compared_where_other_keys_are_swept",
    "hydra.sweeper.ties": "configurations::test_trials_are_not_compared_where_other_keys_are_swept",
    "hydra.sweeper.sampler": "unasked::test_twelve_trials_of_sixteen_points_are_twelve_settings",
    "hydra.sweeper.sampler_args": "samplers::test_what_cannot_work_is_said_in_one_line",
    "hydra.sweeper.pruner": "engine::test_a_setting_can_be_pruned_between_seeds",
    "hydra.sweeper.pruner_args": "engine::test_optunas_pruners_see_the_metric_as_it_is",
    "hydra.sweeper.prune_on": "odd_sweeps::test_the_objective_that_prunes_may_be_the_second",
    "hydra.sweeper.seed": "unasked::test_twelve_trials_of_sixteen_points_are_twelve_settings",
    "hydra.sweeper.start_method": "executors::test_how_trials_end",
    "hydra.sweeper.accept_changes": "engine::test_another_space_or_config_is_refused_with_the_difference_or_accepted",
    "hydra.sweeper.retry_failed": "retries::test_those_that_are_named_are_run_again",
    "hydra.sweeper.dry_run": "dry_run::test_it_says_what_would_run_and_leaves_nothing",
    "hydra.sweeper.trial": "metric_names::test_a_trial_function_of_ones_own_records_what_it_likes",
    "reward_model.kind": "choices::test_what_cannot_be_is_named_by_its_key",
    "reward_model.name": "contenders::test_each_reward_model_judges_all_on_a_common_scale",
    "reward_model.normalize": "contenders::test_what_is_asked_for_stands",
    "reward_model.path": "models::test_locating",
    "reward_model.revision": "key_outcomes::test_revisions_reach_the_hub",
    "reward_model.dtype": "assets::test_models_load_without_a_word",
    "reward_model.label": "classifier_refusals::test_which_output_is_the_score_must_be_said",
    "reward_model.template": "classifier::test_another_template_means_another_text",
    "reward_model.max_length": "classifier_refusals::test_no_more_tokens_than_the_model_can_read",
    "reward_model.function": "callables::test_what_cannot_be_loaded_is_refused_in_one_line",
    "reward_model.arguments": "callables::test_a_class_that_cannot_be_made_is_refused_with_its_arguments",
    "reward_model.timeout": "callable_time_limits::test_what_hangs_is_ended_and_named",
    "reward_model.unit": "choices::test_judges_by_name_and_with_keys_changed",
    "reward_model.target": "rules::test_nearness_to_a_target_by_hand",
    "reward_model.weight": "choices::test_judges_by_name_and_with_keys_changed",
    "reward_model.patterns": "rules::test_a_pattern_that_is_too_slow_is_named_with_the_text",
    "reward_model.max_matches": "rules::test_matches_of_each_pattern_are_limited",
    "reward_model.pypi_wheel": "sources::test_messages_name_the_section",
    "reward_model.sha256": "sources::test_the_digest_is_compared_before_anything_is_unpacked",
    "reward_model.num_pairs": "preference_head::test_whatever_it_depends_on_makes_another_head",
    "reward_model.pairs": "choices::test_sources_and_pairs_are_data_sets",
    "reward_model.members": "ensemble::test_members_are_brought_to_one_scale_first",
    "reward_model.aggregation": "ensemble::test_the_members_are_taken_together",
    "reward_model.uncertainty_weight": "key_outcomes::test_the_weight_of_disagreement",
}

# The values in conf/config.yaml and conf/tracking/wandb.yaml, as the README and the files' comments explain them.
DEFAULTS: dict[str, Any] = {
    "seed": 0, "device": "auto",
    "objective.metrics": ["eval/score"], "objective.directions": ["maximize"], "objective.reduction": "best",
    "objective.mean_over": 3, "objective.kl_budget": 15.0, "objective.constraints": [],
    "eval.every": 5, "eval.num_prompts": 128, "eval.judges": [], "eval.judge_each_other": True,
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
    if group == "objective":
        assert name in OBJECTIVES
        return
    if group == "tracking":
        assert name in TRACKED or name in ("mode", "log_model")
        return
    file, _, test = ELSEWHERE[key].partition("::")
    assert re.search(rf"\b{name}\b|\b{name}=", source_of(file, test)), f"{ELSEWHERE[key]} does not name {key}"


def test_no_entry_is_without_its_key() -> None:
    followed = {*(f"ppo.{name}" for name in TRAINED), *ELSEWHERE}
    assert followed - set(KEYS) == set()
    assert len(KEYS) > 130


@functools.cache
def parsed(file: str) -> tuple[str, list[ast.stmt]]:
    text = (Path(__file__).parent / f"test_{file}.py").read_text(encoding="utf-8")
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
PLAIN = ObjectiveConfig(["eval/score"], ["maximize"], "best", 3, None, [])
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
    assert worth.objectives(ROWS, PLAIN) == [3.0]
    config = replace(PLAIN, **changes)
    assert worth.objectives(ROWS, config) == value
    assert worth.violations(ROWS, config) == excess


# Key -> an odd value, and how W&B hears of it.
TRACKED: dict[str, tuple[Any, Any]] = {
    "project": ("odd project", lambda asked: asked["project"]),
    "entity": ("odd entity", lambda asked: asked["entity"]),
    "tags": (["odd", "tags"], lambda asked: asked["tags"]),
    "init_timeout": (7.5, lambda asked: asked["settings"].init_timeout),
    "finish_timeout": (8.5, lambda asked: asked["settings"].finish_timeout),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What wandb.init is called with, in place of a real one."""
    found: dict[str, Any] = {}

    def init(**named: Any) -> Any:
        found.update(named)
        return SimpleNamespace(define_metric=lambda *a, **n: None, summary={}, offline=False)

    def setup(settings: Any) -> Any:
        return SimpleNamespace(settings=SimpleNamespace(mode="online" if settings is None else settings.mode))

    fake = SimpleNamespace(init=init, setup=setup, login=lambda **n: True, Settings=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return found


def started(config: TrackingConfig) -> Any:
    return tracking.start(
        config, run_dir=Path("run"), run_id="7", name="n", group="g", job_type="train", settings={"odd": 7}
    )


@pytest.mark.parametrize("key", TRACKED)
def test_keys_of_tracking(key: str, asked: dict[str, Any]) -> None:
    plain = TrackingConfig("online", "p", None, [], False, 30.0, 60.0)
    odd, heard = TRACKED[key]
    started(plain)
    assert heard(asked) != odd
    assert (asked["id"], asked["name"], asked["group"], asked["job_type"]) == ("7", "n", "g", "train")
    assert (asked["config"], asked["dir"], asked["tags"], asked["mode"]) == ({"odd": 7}, "run", None, "online")
    started(replace(plain, **{key: odd}))
    assert heard(asked) == odd


def test_modes_and_models_of_tracking(asked: dict[str, Any]) -> None:
    plain = TrackingConfig("offline", "p", None, [], False, 30.0, 60.0)
    assert not started(plain)._log_model
    assert asked["mode"] == "offline"
    assert started(replace(plain, log_model=True))._log_model
    asked.clear()
    started(replace(plain, mode="disabled"))
    assert asked == {}


def test_revisions_reach_the_hub(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config("model=smollm2_135m", "model.revision=odd", "reward_model=ligaydima",
                            "reward_model.revision=odder")  # fmt: skip
    asked: list[Any] = []

    def download(path: str, name: str, revision: str | None) -> str:
        asked.append((path, name, revision))
        return __file__

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    for model in (config.model, config.reward_model):
        preflight._download_config(model, "given")
    assert asked == [(config.model.path, "config.json", "odd"), (config.reward_model.path, "config.json", "odder")]
    loaded: list[Any] = []
    auto = SimpleNamespace(__name__="Auto", from_pretrained=lambda path, **named: loaded.append((path, named)))
    models.load(auto, config.model, "model.path")
    assert loaded == [(config.model.path, {"revision": "odd", "trust_remote_code": False})]


def test_what_load_dataset_is_asked_for(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("dataset=human_like_dpo", "dataset.subset=odd", "dataset.split=part", "dataset.revision=7")
    asked: list[Any] = []
    monkeypatch.setattr("datasets.load_dataset", lambda *path, **named: asked.append((*path, named)) or "rows")  # type: ignore[func-returns-value]
    config = compose_config(*given)
    path = config.dataset.path
    assert load_by_name(training_place(config.dataset, "dataset")) == "rows"
    for more in ((), ("dataset.eval_split=held",), ("dataset.eval_path=other/data", "dataset.eval_split=held")):
        place = held_out_place(compose_config(*given, *more).dataset, "dataset")
        if place is not None:
            load_by_name(place)
    assert asked == [
        (path, "odd", {"split": "part", "revision": "7"}),
        (path, "odd", {"split": "held", "revision": "7"}),
        ("other/data", "odd", {"split": "held", "revision": "7"}),
    ]


def test_the_columns_of_pairs(compose_config: Compose, tmp_path: Path) -> None:
    from rlhf_sweeps.data import load_pairs

    lines = "".join(f'{{"q": "Question {n}?", "yes": "good {n}", "no": "bad {n}"}}\n' for n in range(30))
    (tmp_path / "x.jsonl").write_text(lines, encoding="utf-8")
    given = ("prompt_column=q", "chosen_column=yes", "rejected_column=no")
    config = compose_config(
        "dataset=local", f"dataset.path={tmp_path / 'x.jsonl'}", *(f"dataset.{one}" for one in given)
    )
    pairs = load_pairs(config.dataset)
    texts = repr(pairs)
    assert "'good 3'" in texts
    assert "'bad 3'" in texts
    assert texts.index("'good 3'") < texts.index("'bad 3'")


def test_names_and_suggestions_reach_what_they_are_for(compose_config: Compose) -> None:
    config = compose_config("model.name=odd", "model.suggested_lr=7e-3", "dataset.suggested_response_length=11")
    assert (config.name, config.ppo.lr, config.ppo.response_length) == ("odd", 7e-3, 11)


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
