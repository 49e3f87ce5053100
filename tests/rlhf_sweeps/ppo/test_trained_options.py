"""The options of what is trained and in which numbers: adapters, value models, recomputed layers, bfloat16."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from conftest import SMALL, Compose
from helpers import toy
from helpers.parameters import same, weights
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.session import Session, load_session
from rlhf_sweeps.training.train import train

# --- what is trained


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_value_warmup_trains_the_value_model_alone(value_model: str) -> None:
    trainer = toy.trainer(toy.settings(value_warmup_updates=2, value_model=value_model))
    policy, value = weights(trainer.policy.model), weights(trainer.value_model)
    rows = [trainer.step(), trainer.step()]
    assert same(policy, trainer.policy.model)
    assert not same(value, trainer.value_model)
    assert rows[1]["policy/grad_norm"] == 0.0
    assert rows[1]["val/ratio"] == pytest.approx(1.0, abs=1e-5)
    trainer.step()
    assert not same(policy, trainer.policy.model)


def lora_session(compose_config: Compose, folder: Path, *overrides: str) -> Session:
    return load_session(compose_config(*SMALL, "ppo.lora_rank=4", "ppo.lr=1e-2", *overrides), Run(folder))


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_adapters_train_and_the_weights_stay(value_model: str, compose_config: Compose, tmp_path: Path) -> None:
    session = lora_session(compose_config, tmp_path, f"ppo.value_model={value_model}")
    named = dict(session.policy.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    trainable = {name for name, parameter in named.items() if parameter.requires_grad}
    assert trainable == {name for name in named if "lora_" in name}
    base = models.load_policy(session.config.model, torch.device("cpu"))
    rows = [session.trainer.step() for _ in range(2)]
    assert rows[0]["objective/kl"] == pytest.approx(0.0, abs=1e-4)
    assert abs(rows[1]["objective/kl"]) > 1e-3
    assert {name for name in named if not torch.equal(named[name], before[name])} == trainable
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad(), session.trainer.ref_policy() as reference:
        assert torch.allclose(reference(ids).logits, base(ids).logits, atol=1e-5)
        assert reference is session.policy
    with torch.no_grad():
        assert not torch.allclose(session.policy(ids).logits, base(ids).logits, atol=1e-2)


def test_a_run_with_adapters_resumes_exactly_and_exports_plain_weights(compose_config: Compose, tmp_path: Path) -> None:
    """What a trainer knows beside its weights, the KL coefficient and the scores so far, is resumed, too."""
    overrides = [*SMALL, "ppo.lora_rank=4", "ppo.lr=1e-2", "ppo.total_episodes=32", "eval.every=4"]
    overrides += ["ppo.kl_target=1", "ppo.kl_horizon=100", "ppo.score_scaling=normalize"]
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    train(compose_config(*overrides), whole.folder)
    append = Run.append_metrics

    def append_and_die(self: Run, row: dict[str, Any]) -> None:
        if row["update"] == 3:
            raise KeyboardInterrupt
        append(self, row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "append_metrics", append_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(compose_config(*overrides), parts.folder)
    train(compose_config(*overrides), parts.folder)
    for name in ("objective/scores", "objective/kl_coef"):
        found = [row[name] for row in whole.metrics()]
        assert len(set(found)) == 4
        assert [row[name] for row in parts.metrics()] == found
    files = [run.model / "model.safetensors" for run in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()
    exported = AutoModelForCausalLM.from_pretrained(whole.model)
    assert not any("lora" in name for name, _ in exported.named_parameters())
    best = max(whole.samples(), key=lambda sample: sample["update"])
    assert best["response"]


def test_the_value_model_starts_from_a_path_of_its_own(compose_config: Compose, tmp_path: Path) -> None:
    path = ("ppo.value_model=path", "ppo.value_path=embedded:tiny_reward_model")
    sessions = [
        load_session(compose_config(*SMALL, *overrides), Run(tmp_path))
        for overrides in (path, ("ppo.value_model=reward_model",))
    ]
    assert same(weights(sessions[0].trainer.value_model), sessions[1].trainer.value_model)
    with pytest.raises(ConfigError, match=r"^ppo.value_path=embedded:tiny_policy: not a trained reward model"):
        load_session(compose_config(*SMALL, path[0], "ppo.value_path=embedded:tiny_policy"), Run(tmp_path))


# --- the machine


def gradients(trainer: PPOTrainer) -> list[Tensor]:
    trainer.step()
    return [parameter.grad.clone() for parameter in trainer.policy.model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_recomputed_activations_give_the_same_gradients(value_model: str) -> None:
    plain = gradients(toy.trainer(toy.settings(value_model=value_model)))
    trainer = toy.trainer(toy.settings(value_model=value_model, gradient_checkpointing=True))
    calls: list[bool] = []
    for trunk in filter(None, (trainer.policy.model, trainer.value_model.trunk)):
        layer = next(m for m in trunk.modules() if isinstance(m, GradientCheckpointingLayer))
        layer.self_attn.register_forward_pre_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    recomputed = gradients(trainer)
    # Forward, and again in the backward pass.
    assert calls.count(True) == (2 if value_model == "shared" else 4)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(plain, recomputed, strict=True))
    assert not any(module.training for module in trainer.policy.model.modules())


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("OPTConfig", {"ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}),
        ("XGLMConfig", {"ffn_dim": 24, "num_layers": 2, "attention_heads": 2, "d_model": 16}),
        (
            "BioGptConfig",
            {"intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16},
        ),
        ("FalconConfig", {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "hidden_dropout": 0.5}),
    ],
)
def test_layers_that_drop_out_by_themselves_do_not_when_they_are_recomputed(name: str, values: dict[str, Any]) -> None:
    policy = AutoModelForCausalLM.from_config(
        getattr(transformers, name)(vocab_size=20, pad_token_id=0, **values)
    ).eval()
    written = policy.config.to_json_string()
    batch = toy.sampler().sample(policy, toy.PROMPTS, torch.Generator().manual_seed(0))
    plain = LanguageModel(policy, 0.8, has_plain_head=True).features(batch).values
    models.recompute_activations(policy)
    recomputed = LanguageModel(policy, 0.8, recomputes=True, has_plain_head=True).features(batch).values
    assert recomputed.requires_grad
    assert torch.allclose(recomputed, plain, rtol=0, atol=2e-5)
    assert policy.config.to_json_string() == written


def test_bfloat16_autocast_keeps_weights_and_logprobs_in_float32() -> None:
    trainer = toy.trainer(toy.settings(precision="bfloat16"))
    assert trainer.policy.autocast == torch.bfloat16
    plain = toy.trainer(toy.settings())
    batch = toy.sampler().sample(plain.policy.model, toy.PROMPTS, torch.Generator().manual_seed(0))
    assert trainer.policy.logits(trainer.policy.features(batch).values).dtype == torch.float32
    low, high = trainer.policy.logprobs(batch), plain.policy.logprobs(batch)
    assert low.dtype == torch.float32
    assert 0 < (low - high).abs().max() < 0.2
    assert math.isfinite(trainer.step()["loss/policy_avg"])
    assert {parameter.dtype for parameter in trainer.policy.model.parameters()} == {torch.float32}


def test_values_of_bfloat16_features_are_float32() -> None:
    value_model = models.make_value_model(toy.policy(), is_shared=True)
    assert value_model(torch.ones(3, 16, dtype=torch.bfloat16)).dtype == torch.float32


def test_bfloat16_is_the_default_on_a_gpu_alone() -> None:
    class OnGpu:
        device = torch.device("cuda")

        def __getattr__(self, name: str) -> Any:
            return getattr(toy.policy(), name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "has_plain_head", lambda _: True)
        on_gpu: Any = OnGpu()
        assert models.make_language_model(on_gpu, toy.settings()).autocast == torch.bfloat16
        assert models.make_language_model(on_gpu, toy.settings(precision="float32")).autocast is None
    assert models.make_language_model(toy.policy(), toy.settings()).autocast is None
