"""Every option composes; the ranges and rules hold."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Compose

from rlhf_sweeps.cli import conf_dir
from rlhf_sweeps.config.fields import ConfigError

OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in Path(conf_dir()).glob("*/*.yaml"))
NEEDS_PATH = {
    "model=local": "model.path=x",
    "reward_model=local": "reward_model.path=x",
    "dataset=jsonl": "dataset.path=x",
    "dataset=local": "dataset.path=x",
    "reward_model=callable": "reward_model.function=a.b",
    "reward_model=regex": "reward_model.patterns=[{pattern: a, weight: 1}]",
    "reward_model=ensemble": "reward_model.members=[tiny,length]",
}
NEEDS_SOURCES = {"dataset=mixture": "dataset.sources=[human_like_mini]"}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes(option: str, compose_config: Compose) -> None:
    """What the file says is what the run has, interpolations and lists of choices apart."""
    needed = NEEDS_PATH | NEEDS_SOURCES
    config: Any = compose_config(option, *([needed[option]] if option in needed else []))
    group, _, name = option.partition("=")
    content = yaml.safe_load((Path(conf_dir()) / group / f"{name}.yaml").read_text(encoding="utf-8"))
    section = getattr(config, group, None)
    for key, value in content.items() if section is not None else ():
        if key != "defaults" and not isinstance(value, list) and "${" not in str(value) and value != "???":
            assert getattr(section, key) == value, key


@pytest.mark.parametrize(("option", "override"), NEEDS_PATH.items())
def test_a_required_value_is_asked_for_by_its_key(option: str, override: str, compose_config: Compose) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{key}: no value given"):
        compose_config(option)


def test_the_published_recipe(compose_config: Compose) -> None:
    config = compose_config("experiment=smollm2_human_like")
    ppo = config.ppo
    assert (config.model.path, config.dataset.path, config.reward_model.path) == (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "HumanLLMs/Human-Like-DPO-Dataset",
        "ligaydima/ppo-reward-model",
    )
    assert (ppo.lr, ppo.num_ppo_epochs, ppo.num_minibatches, ppo.microbatch_size) == (2e-6, 4, 2, 16)
    assert (ppo.batch_size, ppo.total_episodes, ppo.num_updates) == (16 * 2, 3000, 94)
    assert (ppo.clip_range, ppo.kl_coef, ppo.missing_eos_penalty) == (0.2, 0.02, 1.0)


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("ppo.lr=0", "must be > 0"),
        ("ppo.lr=nan", "must be > 0"),
        ("ppo.lr=inf", "must be finite and > 0"),
        ("ppo.clip_range=0", "must be > 0 and < 1"),
        ("ppo.clip_range=1", "must be > 0 and < 1"),
        ("ppo.kl_coef=-0.01", "must be >= 0"),
        ("ppo.gamma=1.01", "must be >= 0 and <= 1"),
        ("ppo.gae_lambda=-0.1", "must be >= 0 and <= 1"),
        ("ppo.num_minibatches=5", r"must divide ppo.batch_size=32 \(allowed: 1, 2, 4, 8, 16, 32\)"),
        ("ppo.total_episodes=0", "must be >= 1"),
        ("ppo.temperature=0", "must be >= 1e-06"),
        ("ppo.missing_eos_penalty=-1", "must be >= 0"),
        ("ppo.max_grad_norm=0", "must be > 0"),
        ("ppo.kl_estimator=k4", "must be one of k1, k2, k3"),
        ("ppo.rollouts_per_prompt=5", r"must divide ppo.batch_size=32"),
        ("ppo.lr_schedule=step", "must be one of linear, cosine, constant"),
        ("ppo.lr_warmup_updates=30", "must be less than the run's 30 updates"),
        ("ppo.value_warmup_updates=30", "must be less than the run's 30 updates"),
        ("ppo.dual_clip=1", "must be > 1"),
        ("ppo.entropy_coef=-1", "must be >= 0"),
        ("ppo.top_p=0", "must be > 0 and <= 1"),
        ("ppo.top_p=1.1", "must be > 0 and <= 1"),
        ("ppo.target_kl=0", "must be > 0"),
        ("ppo.kl_in=both", "must be one of reward, loss"),
        ("ppo.score_at=start", "must be one of end, after_end"),
        ("ppo.score_scaling=max", "must be one of none, scale, normalize"),
        ("ppo.score_clip=0", "must be > 0"),
        ("ppo.loss_aggregation=mean", "must be one of token_mean, sequence_mean, microbatch_mean"),
        ("ppo.value_model=reward", "must be one of shared, policy, reward_model, path"),
        ("ppo.lora_rank=0", "must be >= 1"),
        ("ppo.precision=float16", "must be one of auto, float32, bfloat16"),
        ("ppo.adam_eps=0", "must be > 0"),
        ("ppo.value_lr=0", "must be > 0"),
        ("ppo.kl_horizon=0", "must be >= 1"),
        ("tracking.mode=on", "must be one of auto, online, offline, disabled"),
        ("model.dtype=float64", "must be one of float32, bfloat16, float16"),
        ("device=cuda:x", "must be auto, cpu, cuda, cuda:<number> or mps"),
        ("device=tpu", "must be auto, cpu, cuda, cuda:<number> or mps"),
        ("seed=-1", "must be >= 0"),
        ("seed=2147483648", r"must be >= 0 and < 2.14748e\+09"),
        ("objective.kl_budget=0", "must be > 0"),
        ("name=''", "must be a text without / and control characters, of 1 to 220 bytes"),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(override: str, allowed: str, compose_config: Compose) -> None:
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"^{key}=.*{allowed}"):
        compose_config(override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("ppo.stop_strings=[a,'']",), "ppo.stop_strings: an empty string would end every response at once"),
        (
            ("model.dtype=bfloat16",),
            "model.dtype=bfloat16: must be float32 where all weights are trained.*ppo.precision",
        ),
        (("ppo.value_model=path",), "ppo.value_path=None: must be given with ppo.value_model=path, and only then"),
        (("ppo.value_path=x",), "ppo.value_path=x: must be given with ppo.value_model=path, and only then"),
        (("ppo.kl_target=6", "ppo.kl_coef=0"), "ppo.kl_target=6.0: .* must be > 0, is 0"),
        (("ppo.value_warmup_updates=2", "ppo.vf_coef=0"), "ppo.value_warmup_updates=2: with ppo.vf_coef=0 nothing"),
        (("ppo.accumulation_steps=2",), "ppo.accumulation_steps=2: needs ppo.loss_aggregation=microbatch_mean"),
        (
            ("ppo=trl", "ppo.accumulation_steps=3"),
            "ppo.accumulation_steps=3: must divide the 1 microbatches of an epoch",
        ),
        (("ppo=trl", "ppo.target_kl=0.1"), "ppo.accumulation_steps=1: .* ppo.target_kl must be null, is 0.1"),
        (
            ("dataset.path=x", "dataset.eval_path=null"),
            "dataset.path=x: the judge grammar scores prompts of embedded:human_like_mini only; for other data, "
            r"set eval.judges=\[\]$",
        ),
        (("dataset.eval_path=y",), "dataset.eval_path=y: the judge grammar scores prompts of embedded"),
        (
            ("reward_model=grammar", "dataset.path=x"),
            "dataset.path=x: the reward model grammar scores .*, set another reward_model$",
        ),
        (
            ("reward_model=ensemble", "reward_model.members=[length,grammar]", "dataset=local", "dataset.path=x"),
            "dataset.path=x: the reward model grammar scores",
        ),
        (
            ("dataset=mixture", "dataset.sources=[human_like_mini,hh_helpful]", "eval.judges=[grammar]"),
            r"dataset.sources\[1\].confirm_path=embedded:hh_helpful/confirm.jsonl: the judge grammar scores",
        ),
    ],
)
def test_values_that_contradict_each_other(overrides: tuple[str, ...], message: str, compose_config: Compose) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        compose_config(*overrides)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("ppo.lr=1e-4",), 1e-3),  # of a head alone: ten times the policy's
        (("ppo.lr=1e-4", "ppo.value_lr=3e-5"), 3e-5),
        (("ppo.lr=1e-4", "ppo.value_model=policy"), 1e-4),
        (("ppo=trl", "ppo.lr=1e-4"), 1e-4),
    ],
)
def test_the_value_models_learning_rate(overrides: tuple[str, ...], expected: float, compose_config: Compose) -> None:
    assert compose_config(*overrides).ppo.highest_value_lr == pytest.approx(expected)


@pytest.mark.parametrize(
    "override", ["ppo.missing_eos_penalty=null", "ppo.max_grad_norm=null", "objective.kl_budget=null"]
)
def test_what_may_be_switched_off(override: str, compose_config: Compose) -> None:
    config: Any = compose_config(override)
    section, key = override.removesuffix("=null").split(".")
    assert getattr(getattr(config, section), key) is None
    assert getattr(getattr(compose_config(), section), key) is not None


def test_the_grammar_scores_prompts_of_its_own_data(compose_config: Compose) -> None:
    mixture = ("dataset=mixture", "dataset.sources=[human_like_mini]")
    assert compose_config(*mixture, "reward_model=grammar").reward_model.name == "grammar"
    # A judge scores held-out prompts only.
    assert compose_config("dataset.path=x").eval.judges[0].name == "grammar"


def test_all_problems_are_reported_at_once(compose_config: Compose) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config("ppo.lr=-1", "ppo.gamma=2")
    assert [line.partition("=")[0] for line in str(caught.value).splitlines()] == ["ppo.lr", "ppo.gamma"]


def test_parts_of_microbatches_and_batches_count(compose_config: Compose) -> None:
    """33 episodes by 32 are two updates; minibatches of 16 by 6 are three microbatches each, a batch of 32 six."""
    ppo = compose_config(
        "ppo.num_minibatches=2", "ppo.microbatch_size=6", "ppo.total_episodes=33", "ppo.num_ppo_epochs=3"
    ).ppo
    assert (ppo.num_updates, ppo.microbatches_per_epoch, ppo.trl_slots) == (2, 6, 3 * 2 * 6)
