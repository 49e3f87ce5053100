"""The trainer against a plain PPO that handles one unpadded sequence at a time."""

import copy
import math
from collections import defaultdict
from typing import Any

import pytest
import torch
from helpers import toy
from helpers.plain_ppo import captured, logits, logprobs, plain_advantages, plain_kl, plain_policy_loss, plain_values
from torch import Tensor


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value_model": "policy"},
        {"loss_aggregation": "sequence_mean"},
        {"loss_aggregation": "sequence_mean", "value_model": "policy", "value_clip_range": None},
        {"kl_in": "loss", "kl_estimator": "k1"},
        {"kl_in": "loss", "kl_estimator": "k2"},
        {"kl_in": "loss", "kl_estimator": "k3"},
        {"entropy_coef": 0.3},
        {"dual_clip": 1.05, "clip_range": 0.01, "lr": 0.01},
        {"value_lr": 0.02, "adam_eps": 1e-3},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_packed", [True, False])
def test_one_update_equals_plain_ppo(changes: dict[str, Any], is_packed: bool) -> None:
    config = toy.settings(**({"num_ppo_epochs": 2, "microbatch_size": 4} | changes))
    trainer = toy.trainer(config, is_packed=is_packed)
    torch.nn.init.normal_(trainer.value_model.head.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    with trainer.ref_policy() as reference:
        policy, ref_policy, critic = map(copy.deepcopy, (trainer.policy.model, reference, trainer.value_model))
    seen = captured(trainer)
    metrics = trainer.step()
    ((indices, batch),) = seen

    pairs = list(zip(batch.prompt_lists(), batch.response_lists(), strict=True))
    old, ref, old_values, advantages, returns, kls = [], [], [], [], [], []
    with torch.no_grad():
        for (prompt, response), index in zip(pairs, indices, strict=True):
            old.append(logprobs(policy, prompt, response))
            ref.append(logprobs(ref_policy, prompt, response))
            old_values.append(plain_values(critic, policy, prompt, response))
            kls.append(plain_kl(old[-1], ref[-1], config.kl_estimator))
            rewards = (-0.1 * kls[-1] * (config.kl_in == "reward")).tolist()
            rewards[-1] += len(response) / 4 + index / 10 - (0.0 if response[-1] == toy.EOS else 2.0)
            advantage = plain_advantages(rewards, old_values[-1].tolist(), gamma=0.9, gae_lambda=0.8)
            advantages.append(torch.tensor(advantage))
            returns.append(advantages[-1] + old_values[-1])
    everything = torch.cat(advantages)
    whitened = [(a - everything.mean()) / (everything.var() + 1e-8).sqrt() for a in advantages]

    groups = [{"params": policy.parameters()}, {"params": critic.parameters(), "lr": config.highest_value_lr}]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, eps=config.adam_eps, weight_decay=0.0)
    logged: dict[str, list[Tensor]] = defaultdict(list)
    for _ in range(2):
        policy_losses, value_losses = [], []
        for i, (prompt, response) in enumerate(pairs):
            new = logprobs(policy, prompt, response)
            a, v, r = whitened[i], plain_values(critic, policy, prompt, response), returns[i]
            policy_losses.append(plain_policy_loss(new - old[i], a, config))
            ratio, reach = (new - old[i]).exp(), config.clip_range
            logged["loss/policy_avg"].append(policy_losses[-1])
            logged["policy/approxkl_avg"].append(ratio.log() ** 2 / 2)
            logged["policy/clipfrac_avg"].append(ratio.clamp(1 - reach, 1 + reach) * a < ratio * a)
            if config.kl_in == "loss":
                policy_losses[-1] = policy_losses[-1] + 0.1 * plain_kl(new, ref[i], config.kl_estimator)
            if config.entropy_coef:
                entropy = torch.distributions.Categorical(logits=logits(policy, prompt, response)).entropy()
                policy_losses[-1] = policy_losses[-1] - config.entropy_coef * entropy
            far = config.value_clip_range or math.inf
            near = torch.maximum(torch.minimum(v, old_values[i] + far), old_values[i] - far)
            value_losses.append(0.5 * torch.maximum((v - r) ** 2, (near - r) ** 2))
            logged["loss/value_avg"].append(value_losses[-1])
            logged["val/clipfrac_avg"].append((near - r) ** 2 > (v - r) ** 2)
        if config.loss_aggregation == "sequence_mean":
            policy_losses, value_losses = (
                [x.mean(0, keepdim=True) for x in xs] for xs in (policy_losses, value_losses)
            )
        loss = torch.cat(policy_losses).mean() + 0.5 * torch.cat(value_losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for trained, plain in ((trainer.policy.model, policy), (trainer.value_model, critic)):
        for (name, expected), actual in zip(plain.named_parameters(), trained.parameters(), strict=True):
            assert torch.allclose(actual, expected, atol=2e-5), name
    for name, each in logged.items():
        assert metrics[name] == pytest.approx(torch.cat(each).double().mean().item(), rel=1e-3, abs=1e-6), name
    assert metrics["objective/kl"] == pytest.approx(sum(kl.sum().item() for kl in kls) / 6, rel=1e-4)
    assert metrics["objective/entropy"] == pytest.approx(-sum(o.sum().item() for o in old) / 6, rel=1e-4)
    earned = [
        len(response) / 4 + index / 10 - (0.0 if response[-1] == toy.EOS else 2.0)
        for (_, response), index in zip(pairs, indices, strict=True)
    ]
    paid = [0.1 * kl.sum().item() for kl in kls]
    assert metrics["objective/scores"] == pytest.approx(sum(earned) / 6, rel=1e-5)
    assert metrics["objective/non_score_reward"] == pytest.approx(-sum(paid) / 6, rel=1e-4)
    assert metrics["objective/rlhf_reward"] == pytest.approx((sum(earned) - sum(paid)) / 6, rel=1e-4)


def test_first_metrics_by_definition() -> None:
    """With one step an update, the policy that is optimized is the one that sampled."""
    trainer = toy.trainer(toy.settings())
    policy = copy.deepcopy(trainer.policy.model)
    seen = captured(trainer)
    metrics = trainer.step()
    ((_, batch),) = seen
    with torch.no_grad():
        pairs = zip(batch.prompt_lists(), batch.response_lists(), strict=True)
        entropies = torch.cat(
            [torch.distributions.Categorical(logits=logits(policy, p, r)).entropy() for p, r in pairs]
        )
    num_tokens, num_prompt_tokens = (sum(map(len, part)) for part in (batch.response_lists(), batch.prompt_lists()))
    assert metrics["val/ratio"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["policy/approxkl_avg"] == pytest.approx(0.0, abs=1e-8)
    assert metrics["policy/clipfrac_avg"] == 0.0
    assert metrics["loss/policy_avg"] == pytest.approx(0.0, abs=1e-5)  # minus the mean of whitened advantages
    assert metrics["policy/entropy_avg"] == pytest.approx(entropies.mean().item(), rel=1e-4)
    assert metrics["val/num_eos_tokens"] == sum(response[-1] == toy.EOS for response in batch.response_lists())
    assert metrics["objective/length"] == pytest.approx(num_tokens / 6)
    assert (metrics["update"], metrics["episode"], metrics["epoch"], metrics["lr"]) == (1, 6, 2 / 6, 1e-3)
    num_read = num_prompt_tokens + num_tokens
    tokens = [metrics[f"tokens/{phase}"] for phase in ("sample", "score", "optimize")]
    assert tokens == [num_tokens, num_read, num_read]


def test_microbatches_do_not_change_the_numbers() -> None:
    """A microbatch of short responses must not weigh as much as one of long ones."""
    trainers = [toy.trainer(toy.settings(microbatch_size=size, num_minibatches=2)) for size in (3, 2, 1)]
    rows = [trainer.step() for trainer in trainers]
    for trainer, row in zip(trainers[1:], rows[1:], strict=True):
        for name in ("loss/policy_avg", "loss/value_avg", "policy/approxkl_avg", "policy/grad_norm"):
            assert row[name] == pytest.approx(rows[0][name], rel=1e-3, abs=1e-6)
        for actual, expected in zip(
            trainer.policy.model.parameters(), trainers[0].policy.model.parameters(), strict=True
        ):
            assert torch.allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize("value_model", ["shared", "policy"])
def test_gradients_are_clipped_to_the_norm(value_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of policy and value model each for themselves."""

    def change(limit: float | None) -> dict[str, float]:
        trainer = toy.trainer(toy.settings(lr=1.0, max_grad_norm=limit, value_model=value_model))
        parameters = {name: list(model.parameters()) for name, model in trainer.models.items()}
        plain = torch.optim.SGD([parameter for each in parameters.values() for parameter in each], lr=1.0)
        monkeypatch.setattr(trainer.optimizer, "step", plain.step)
        before = {name: [parameter.clone() for parameter in each] for name, each in parameters.items()}
        row = trainer.step()
        norms = {name: row[f"{name}/grad_norm"] for name in parameters}
        for name, norm in norms.items():
            moved = [after - b for after, b in zip(parameters[name], before[name], strict=True)]
            length = math.sqrt(sum(m.square().sum().item() for m in moved))
            assert norm > 0.02
            assert length == pytest.approx(limit or norm, rel=1e-3), name
        return norms

    assert change(None) == pytest.approx(change(0.01), rel=1e-5)


def test_a_pad_that_is_the_end_token_changes_nothing() -> None:
    rows = [toy.trainer(toy.settings(num_ppo_epochs=2), pad_id=pad).step() for pad in (0, toy.EOS)]
    for name in ("objective/kl", "objective/scores", "loss/policy_avg", "loss/value_avg", "val/num_eos_tokens"):
        assert rows[0][name] == rows[1][name]
