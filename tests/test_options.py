"""The trainer's options, each for what it promises; test_trainer checks those of the loss, test_parity TRL's."""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
import transformers
from conftest import SMALL, Compose
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf_sweeps import models
from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.ppo import DivergedError
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.trainer import PPOTrainer
from rlhf_sweeps.runs import Run
from rlhf_sweeps.session import Session, load_session
from rlhf_sweeps.train import train


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(before: Sequence[Tensor], module: nn.Module) -> bool:
    return all(map(torch.equal, before, module.parameters()))


# --- KL


def test_the_kl_coefficient_adapts_and_is_part_of_the_state() -> None:
    settings = toy.settings(kl_target=12.0, kl_horizon=60)
    trainer = toy.trainer(settings)
    first = trainer.step()
    # The sequence's, not the token's: that one would be far below the target, and its error would count as a fifth.
    error = first["objective/kl"] / 12 - 1
    assert 0.02 < error < 0.18
    assert first["objective/kl_coef"] == pytest.approx(0.1)
    assert trainer.step()["objective/kl_coef"] == pytest.approx(0.1 * (1 + error * 6 / 60), rel=1e-5)
    again = toy.trainer(settings)
    again.state = trainer.state
    assert again.kl_coef == trainer.kl_coef != 0.1


def test_the_penalty_in_the_loss_leaves_the_rewards_alone() -> None:
    rows = [toy.trainer(toy.settings(kl_in=where)).step() for where in ("reward", "loss")]
    assert rows[0]["objective/kl"] == rows[1]["objective/kl"]
    assert rows[0]["objective/rewards_std"] != rows[1]["objective/rewards_std"]
    assert rows[1]["objective/rewards_std"] == pytest.approx(rows[1]["objective/scores_std"])


def test_the_loss_pays_the_coefficient_of_its_update() -> None:
    """Not that of the config, from which it is adapted."""
    norms = []
    for first, now in ((0.1, 0.5), (0.5, 0.5), (0.1, 0.1)):
        trainer = toy.trainer(toy.settings(kl_in="loss", kl_estimator="k3", kl_coef=first))
        trainer.kl_coef = now
        norms.append(trainer.step()["policy/grad_norm"])
    assert norms[0] == norms[1]
    assert abs(norms[2] / norms[1] - 1) > 0.01


def test_epochs_end_at_the_target_kl(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"lr": 0.03, "num_ppo_epochs": 6, "num_minibatches": 2}
    free = toy.trainer(toy.settings(**settings))
    assert free.step()["policy/epochs"] == 6.0
    held = toy.trainer(toy.settings(**settings, target_kl=0.01))
    taken: list[int] = []
    step = held.optimizer.step
    monkeypatch.setattr(held.optimizer, "step", lambda: (taken.append(1), step()))
    row = held.step()
    # The minibatch that is found too far is read, but not stepped on.
    assert 0 < len(taken) < 12
    assert row["policy/epochs"] == (len(taken) + 1) / 2
    assert row["policy/approxkl_avg"] > 0.01 / 12


def test_the_target_is_held_against_the_mean_of_a_token() -> None:
    settings = {"lr": 0.003, "response_length": 8}
    runs = [toy.trainer(toy.settings(**settings, num_ppo_epochs=number)).step() for number in (1, 2, 3, 4)]
    # Each epoch's own mean, out of the means over one, two, three and four of them.
    sums = [0.0, *(number * row["policy/approxkl_avg"] for number, row in enumerate(runs, start=1))]
    first, second, third, fourth = (after - before for before, after in itertools.pairwise(sums))
    assert first < second < third < fourth
    for target, num_epochs in ((third * 1.01, 4.0), (third * 0.99, 3.0), (second * 0.99, 2.0)):
        held = toy.trainer(toy.settings(**settings, num_ppo_epochs=4, target_kl=target))
        assert held.step()["policy/epochs"] == num_epochs


def test_no_step_at_all_is_not_an_error() -> None:
    trainer = toy.trainer(toy.settings(target_kl=1e-30))
    before = weights(trainer.policy.model)
    row = trainer.step()
    assert (row["policy/epochs"], row["policy/grad_norm"]) == (1.0, 0.0)
    assert same(before, trainer.policy.model)


# --- scores


def test_scores_are_scaled_by_all_that_came_before() -> None:
    trainer = toy.trainer(toy.settings(score_scaling="normalize", missing_eos_penalty=None))
    seen: list[Tensor] = []
    score = trainer.score
    trainer.score = lambda indices, batch: seen.append(score(indices, batch)) or seen[-1]  # type: ignore[func-returns-value]
    for _ in range(2):
        row = trainer.step()
    everything = torch.cat(seen)
    expected = ((seen[1] - everything.mean()) / everything.std()).mean().item()
    assert row["objective/scores"] == pytest.approx(expected, rel=1e-5)
    assert row["objective/raw_scores"] == pytest.approx(seen[1].mean().item())
    assert trainer.state["score_statistics"]["count"] == 12


def test_scores_are_clipped_before_the_penalty() -> None:
    row = toy.trainer(toy.settings(score_clip=0.25, missing_eos_penalty=2.0)).step()
    assert row["objective/raw_scores"] > 0.25
    assert row["objective/scores"] == pytest.approx(0.25 - 2.0 * row["objective/truncated_rate"])


# --- rollouts


def test_several_rollouts_of_each_prompt() -> None:
    trainer = toy.trainer(toy.settings())
    seen: list[tuple[Sequence[int], Responses]] = []
    trainer.score = lambda indices, batch: (seen.append((indices, batch)), toy.score_by_length(indices, batch))[1]
    row = trainer.step()
    ((indices, batch),) = seen
    assert len(indices) == 6
    assert indices[0] == indices[1] == indices[2] != indices[3] == indices[4] == indices[5]
    responses = batch.response_lists()
    assert responses[0] != responses[1]
    assert row["epoch"] == 2 / 6


@pytest.mark.parametrize(("num_minibatches", "ratio"), [(1, 1.0), (2, 4 / 6)])
def test_trls_metrics_however_the_batch_is_cut(num_minibatches: int, ratio: float) -> None:
    """Of 2 x 3 slots for microbatches of 2 out of 6, two minibatches of 3 fill 2 x 2, by hand."""
    settings = toy.settings(trl_metrics=True, microbatch_size=2, num_minibatches=num_minibatches, lr=1e-9)
    assert toy.trainer(settings).step()["trl_compat/val/ratio"] == pytest.approx(ratio, rel=1e-4)


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
    value_model = models.value_model(toy.policy(), is_shared=True)
    assert value_model(torch.ones(3, 16, dtype=torch.bfloat16)).dtype == torch.float32


def test_bfloat16_is_the_default_on_a_gpu_alone() -> None:
    class OnGpu:
        device = torch.device("cuda")

        def __getattr__(self, name: str) -> Any:
            return getattr(toy.policy(), name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "has_plain_head", lambda _: True)
        on_gpu: Any = OnGpu()
        assert models.language_model(on_gpu, toy.settings()).autocast == torch.bfloat16
        assert models.language_model(on_gpu, toy.settings(precision="float32")).autocast is None
    assert models.language_model(toy.policy(), toy.settings()).autocast is None


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("ppo.top_p=0.8",), {"top_p": 0.8}),
        (("ppo.stop_strings=['!','. ']",), {"stop_strings": ("!", ". ")}),
        (("ppo.static_decoding=true",), {"is_static": True, "autocast": None}),
        (("ppo.precision=bfloat16",), {"autocast": torch.bfloat16}),
        (("ppo.temperature=0.5", "ppo.response_length=7"), {"temperature": 0.5, "response_length": 7}),
    ],
)
def test_the_sampler_gets_what_is_configured(
    overrides: tuple[str, ...], expected: dict[str, Any], compose_config: Compose
) -> None:
    config = compose_config(*SMALL, *overrides)
    policy, tokenizer = models.load_policy(config.model, torch.device("cpu")), models.load_tokenizer(config.model)
    sampler = models.make_sampler(policy, tokenizer, config.ppo, Halving("", 4))
    assert {name: getattr(sampler, name) for name in expected} == expected


def test_a_stop_string_ends_a_response(compose_config: Compose, tmp_path: Path) -> None:
    session = load_session(compose_config(*SMALL, "ppo.stop_strings=['!']", "ppo.response_length=32"), Run(tmp_path))
    prompts = session.trainer.prompts[:16]
    batch = session.trainer.sampler.sample(session.policy, prompts, torch.Generator().manual_seed(0))
    texts = session.tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
    assert any("!" in text for text in texts)
    assert all("!" not in text[:-1] for text in texts)
    assert batch.ended.all()


# --- health


def broken_after(num: int, value: float) -> Callable[[PPOTrainer], None]:
    def spoil(trainer: PPOTrainer) -> None:
        policy: PreTrainedModel = trainer.policy.model
        for _ in range(num):
            trainer.step()
        policy.lm_head.weight.data[3] = value

    return spoil


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_stop_the_run(value: float) -> None:
    trainer = toy.trainer(toy.settings())
    broken_after(1, value)(trainer)
    with pytest.raises(DivergedError, match=r"^update 1: .*logits"):
        trainer.check()
    with pytest.raises(DivergedError, match=r"^update 2: .*logits are not finite"):
        trainer.step()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_stop_the_run(value: float) -> None:
    trainer = toy.trainer(toy.settings(), score=lambda indices, _: torch.tensor([value] + [0.0] * (len(indices) - 1)))
    before = weights(trainer.policy.model)
    with pytest.raises(DivergedError, match=r"^update 1: the reward model's scores are not finite"):
        trainer.step()
    assert same(before, trainer.policy.model)


def test_gradients_that_are_not_finite_stop_the_run() -> None:
    trainer = toy.trainer(toy.settings())
    next(trainer.policy.model.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(DivergedError, match=r"^update 1: policy/grad_norm is nan"):
        trainer.step()


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(compose_config: Compose, tmp_path: Path) -> None:
    config = compose_config(*SMALL, "checkpoint.every=1", "eval.every=6")
    step = PPOTrainer.step

    def step_and_break(self: PPOTrainer) -> dict[str, float]:
        row = step(self)
        if self.update == 4:
            self.policy.model.get_input_embeddings().weight.data.fill_(math.inf)
        return row

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PPOTrainer, "step", step_and_break)
        with pytest.raises(DivergedError, match=r"^update 4: "):
            train(config, tmp_path)
    run = Run(tmp_path)
    summary = run.summary()
    assert summary is not None
    assert (summary["status"], summary["update"], summary["objective"]) == ("diverged", 4, None)
    assert sorted(path.name for path in run.checkpoint.iterdir()) == ["0000002", "0000003"]
    assert train(config, tmp_path)["status"] == "complete"


def test_the_health_metrics_by_definition() -> None:
    trainer = toy.trainer(toy.settings(num_ppo_epochs=2, lr=0.01))
    torch.nn.init.normal_(trainer.value_model.head.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    head = copy.deepcopy(trainer.value_model.head.state_dict())
    kept: list[Any] = []
    run = trainer.optimization.run
    object.__setattr__(trainer, "optimization", copy.copy(trainer.optimization))
    object.__setattr__(trainer.optimization, "run", lambda *args: kept.append(run(*args)) or kept[-1])
    old = copy.deepcopy(trainer.policy.model)
    row = trainer.step()
    rollout = kept[0].rollout
    mask = rollout.response_mask
    assert row["objective/scores_std"] == pytest.approx(rollout.scores.std().item(), rel=1e-5)
    assert row["objective/rewards_std"] == pytest.approx(rollout.rewards.sum(-1).std().item(), rel=1e-5)
    assert row["objective/kl_per_token"] == pytest.approx((rollout.kl.sum() / mask.sum()).item(), rel=1e-5)
    assert row["objective/truncated_rate"] == pytest.approx(1 - rollout.ended.float().mean().item())
    assert rollout.values[mask].std() > 0.1  # of values that are all 0 any formula would make 0
    left = (rollout.returns - rollout.values)[mask].var() / rollout.returns[mask].var()
    assert row["val/explained_variance"] == pytest.approx(1 - left.item(), rel=1e-4, abs=1e-5)
    # The second epoch's ratios, from the policy after one step; the first one's are 1.
    first = toy.trainer(toy.settings(num_ppo_epochs=1, lr=0.01))
    first.value_model.head.load_state_dict(head)
    first.step()
    with torch.no_grad():
        new = LanguageModel(first.policy.model, 0.8, has_plain_head=True).logprobs(rollout)
        before = LanguageModel(old, 0.8, has_plain_head=True).logprobs(rollout)
    ratios = torch.cat([torch.ones_like(new[mask]), (new - before)[mask].exp()])
    assert row["val/ratio_max"] == pytest.approx(ratios.max().item(), rel=1e-4)
    assert row["val/ratio_var"] == pytest.approx(ratios.var().item(), rel=1e-3)
    assert row["val/ratio"] == pytest.approx(ratios.mean().item(), rel=1e-4)
