"""Causes of drift: settings by which a policy moves too far or nowhere in particular, each with its evidence."""

from collections.abc import Collection

import numpy as np

from analysis.health import hacking, learning, optimizer, policy
from analysis.health.signals import Finding, read_config_value, read_series, read_together
from analysis.health.thresholds import (
    HIGH_ENTROPY_GROWTH,
    HIGH_LR_TIMES,
    LOOSE_PER_MOVE,
    LORA_LR_TIMES,
    MANY_PASSES,
    MANY_STEPS,
    MOVES_FAR,
    NO_PRICE,
    NOISE_ENTROPY,
    STILL_LARGE,
    STRONG_BONUS,
    USUAL_NORM,
    USUAL_PASSES,
    WARM,
    WIDE_RANGE,
    WIDE_SCORES,
)
from analysis.records.runs import DIVERGED, RunRecord
from analysis.wording.endings import format_ending
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.verdicts.series import Series

WIDE_CLIP = "clip range too wide"
MANY_EPOCHS = "too many epochs"
MANY_MINIBATCHES = "too many minibatches"
HIGH_LR = "learning rate too high"
NO_DECAY = "learning rate does not fall"
ENTROPY_BONUS = "entropy bonus too strong"
HOT = "temperature too high"
VAIN_PENALTY = "KL penalty without effect"
WEAK_PENALTY = "KL penalty too weak"

# What runs have whose policy moves too far.
TOO_FAR = {
    DIVERGED,
    policy.KL_BLOW_UP,
    policy.ENTROPY_COLLAPSE,
    policy.ENTROPY_RISE,
    policy.NEVER_WITHIN,
    policy.OVER_BUDGET,
    optimizer.UPDATES_TOO_LARGE,
    learning.SCORE_FALLS,
    learning.NO_GAIN,
}


def check_clip_range(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A clip range that lets nearly everything pass, in a run that is sick or whose updates are large."""
    clip_range, ratios = read_config_value(run, "ppo.clip_range"), read_series(run, "val/ratio_max")
    updates, (moves, shares) = read_together(run, "policy/approxkl_avg", "policy/clipfrac_avg")
    if clip_range is None or clip_range < WIDE_RANGE or not len(moves):
        return None
    move, share = float(np.median(moves)), float(np.median(shares))
    per_move = float(np.median(shares / np.sqrt(np.maximum(moves, 1e-30))))
    is_loose = move > MOVES_FAR and per_move < LOOSE_PER_MOVE
    if not is_loose and not {optimizer.NEVER_CLIPS, *TOO_FAR} & set(kinds):
        return None
    text = f"ppo.clip_range={format_number(clip_range)} holds back {format_share(share)} of the tokens in the median "
    text += f"update, although updates move the policy by {format_number(move)} nats a token"
    evidence = {"ppo.clip_range": clip_range, "median share clipped": share, "median approxkl": move}
    if len(ratios):
        evidence["largest ratio"] = float(ratios.values.max())
        text += f", and single tokens become up to {format_number(evidence['largest ratio'])} times as probable"
    return Finding(WIDE_CLIP, int(updates[0]), text, evidence, "lower ppo.clip_range (0.2 is usual)")


def check_epochs(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """So many passes over each rollout that the policy moves far away from what it sampled."""
    epochs = read_config_value(run, "ppo.num_ppo_epochs")
    moves = read_series(run, "policy/approxkl_avg")
    if epochs is None or epochs < MANY_PASSES or not len(moves) or not TOO_FAR & set(kinds):
        return None
    largest = float(moves.values.max())
    text = f"each rollout is used for {format_number(epochs)} passes (ppo.num_ppo_epochs), which move the policy by up "
    text += f"to {format_number(largest)} nats a token in one update"
    advice = f"lower ppo.num_ppo_epochs (1 to {USUAL_PASSES} are usual), or end updates early by ppo.target_kl=0.02"
    evidence = {"ppo.num_ppo_epochs": epochs, "largest approxkl": largest}
    return Finding(MANY_EPOCHS, int(moves.updates[0]), text, evidence, advice)


def check_minibatches(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """So many steps of the optimizer in an update, each for a few answers, that the policy moves too far."""
    epochs, count = read_config_value(run, "ppo.num_ppo_epochs"), read_config_value(run, "ppo.num_minibatches")
    moves = read_series(run, "policy/approxkl_avg")
    # Where gradients are accumulated, minibatches are no steps.
    is_plain = not read_config_value(run, "ppo.accumulation_steps")
    if not epochs or not count or epochs * count < MANY_STEPS or not is_plain:
        return None
    if not len(moves) or not TOO_FAR & set(kinds):
        return None
    largest = float(moves.values.max())
    text = (
        f"an update makes {format_number(epochs * count)} steps (ppo.num_minibatches={format_number(count)} in each of "
    )
    text += f"{format_number(epochs)} passes), which move the policy by up to {format_number(largest)} nats a token in "
    text += "one update"
    evidence = {"steps of an update": epochs * count, "largest approxkl": largest}
    advice = "lower ppo.num_minibatches (1 to 4 are usual), or end updates early by ppo.target_kl=0.02"
    return Finding(MANY_MINIBATCHES, int(moves.updates[0]), text, evidence, advice)


def check_high_lr(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """A learning rate far above what suits the model, where the policy moves too far."""
    lr, usual = read_config_value(run, "ppo.lr"), find_usual_lr(run)
    if not lr or not usual or lr < HIGH_LR_TIMES * usual or not TOO_FAR & set(kinds):
        return None
    moves = read_series(run, "policy/approxkl_avg")
    text = f"ppo.lr={format_number(lr)} is {format_number(lr / usual)} times the rate that suits the model "
    text += f"({format_number(usual)}, by model.suggested_lr)"
    evidence = {"ppo.lr": lr, "usual rate": usual}
    if len(moves):
        evidence["largest approxkl"] = float(moves.values.max())
        text += f", and single updates move the policy by up to {format_number(evidence['largest approxkl'])} nats a "
        text += "token"
    advice = f"lower ppo.lr to {format_number(usual)}"
    if run.config.get("ppo.max_grad_norm", USUAL_NORM) is None:
        text += "; no gradient is clipped (ppo.max_grad_norm=null)"
        advice += f", and set ppo.max_grad_norm={USUAL_NORM} again"
    return Finding(HIGH_LR, _find_first(run), text, evidence, advice)


def check_schedule(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The learning rate stays the same, and so do the updates, until the policy has moved too far."""
    lr, moves = read_config_value(run, "ppo.lr"), read_series(run, "policy/approxkl_avg")
    if run.config.get("ppo.lr_schedule") != "constant" or not lr or not len(moves) or not TOO_FAR & set(kinds):
        return None
    if moves.end < STILL_LARGE:
        return None
    text = f"ppo.lr_schedule=constant keeps ppo.lr={format_number(lr)} to the end, where updates still move the policy "
    text += f"by {format_ending(moves.ending, 'nats a token')}"
    advice = "let it fall (ppo.lr_schedule=linear), or lower ppo.lr"
    return Finding(NO_DECAY, _find_first(run), text, {"ppo.lr": lr, "approxkl at the end": moves.ending.mean}, advice)


def find_usual_lr(run: RunRecord) -> float | None:
    """The learning rate that suits the run's model; adapters need more; None where the config does not say."""
    usual = read_config_value(run, "model.suggested_lr")
    return None if not usual else usual * (LORA_LR_TIMES if read_config_value(run, "ppo.lora_rank") else 1.0)


def check_entropy_bonus(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The entropy rises, and the bonus for it outweighs the policy's own loss."""
    weight = read_config_value(run, "ppo.entropy_coef")
    entropy, losses = read_series(run, "policy/entropy_avg"), read_series(run, "loss/policy_avg")
    if not weight or not len(entropy) or not len(losses) or entropy.end < HIGH_ENTROPY_GROWTH * entropy.start:
        return None
    bonus, loss = weight * float(np.median(entropy.values)), float(np.median(np.abs(losses.values)))
    if bonus < STRONG_BONUS * loss:
        return None
    ending = entropy.ending
    text = f"the bonus for entropy (ppo.entropy_coef={format_number(weight)}) is {format_number(bonus)} where the "
    text += f"policy's loss is {format_number(loss)}, and the entropy of a token rises from "
    text += f"{format_number(entropy.start)} to {format_number(ending.mean)}"
    evidence = {"bonus": bonus, "loss of the policy": loss, "entropy at the start": entropy.start}
    evidence["entropy at the end"] = ending.mean
    advice = "lower ppo.entropy_coef (0 to 0.01 is usual)"
    return Finding(ENTROPY_BONUS, int(entropy.updates[0]), text, evidence, advice)


def check_high_temperature(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """Answers are sampled at a temperature at which they are mostly noise, or the run is sick."""
    temperature = read_config_value(run, "ppo.temperature")
    entropy = read_series(run, "policy/entropy_avg")
    if temperature is None or temperature < WARM or not len(entropy):
        return None
    if entropy.start < NOISE_ENTROPY and not kinds:
        return None
    text, evidence = describe_temperature(temperature, entropy, "most of what the policy learns from is noise")
    return Finding(HOT, int(entropy.updates[0]), text, evidence, "lower ppo.temperature (0.7 to 1 is usual)")


def describe_temperature(temperature: float, entropy: Series, why: str) -> tuple[str, dict[str, float]]:
    """Text and evidence of a finding on the temperature of sampling.

    Args:
        entropy: of a token, in nats.
        why: what such an entropy means.
    """
    text = f"answers are sampled at ppo.temperature={format_number(temperature)}, where a token has an entropy of "
    text += f"{format_number(entropy.start)} nats: {why}"
    return text, {"ppo.temperature": temperature, "entropy at the start": entropy.start}


def check_weak_penalty(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The policy moves too far at a price that is small beside the differences between scores."""
    coefficient, kl = read_penalty(run), read_series(run, "objective/kl")
    spread = read_series(run, "objective/scores_std")
    signs = {policy.KL_BLOW_UP, policy.NEVER_WITHIN, policy.OVER_BUDGET, hacking.HACKING}
    if coefficient is None or not len(kl) or not len(spread) or not signs & set(kinds):
        return None
    price = coefficient * kl.ending.mean
    if price > NO_PRICE * spread.start:
        return None
    text = f"the policy ends {format_number(kl.ending.mean)} nats from the reference policy and pays "
    text += f"{format_number(price)} for it (ppo.kl_coef={format_number(coefficient)}), while scores differ by "
    text += f"{format_number(spread.start)} (standard deviation)"
    evidence = {"KL at the end": kl.ending.mean, "price of the KL": price, "deviation of scores": spread.start}
    advice = "raise ppo.kl_coef, or let ppo.kl_target hold the KL"
    if spread.start > WIDE_SCORES:
        advice = f"bring scores to a common scale (ppo.score_scaling=scale, reward_model.normalize=true); {advice}"
    return Finding(WEAK_PENALTY, _find_first(run), text, evidence, advice)


def check_vain_penalty(run: RunRecord, kinds: Collection[str]) -> Finding | None:
    """The policy moves too far under a penalty whose estimate has no gradient on average."""
    coefficient, kl = read_penalty(run), read_series(run, "objective/kl")
    is_vain = run.config.get("ppo.kl_in") == "loss" and run.config.get("ppo.kl_estimator") == "k1"
    if not is_vain or not coefficient or not len(kl) or not TOO_FAR & set(kinds):
        return None
    text = f"the KL penalty (ppo.kl_coef={format_number(coefficient)}) is a part of the loss (ppo.kl_in=loss), where "
    text += f"ppo.kl_estimator=k1 has no gradient on average; the KL ends at {format_ending(kl.ending, 'nats')}"
    advice = "set ppo.kl_estimator=k3 (or k2), or ppo.kl_in=reward"
    return Finding(VAIN_PENALTY, _find_first(run), text, {"KL at the end": kl.ending.mean}, advice)


def read_penalty(run: RunRecord) -> float | None:
    """The KL coefficient: as recorded in the last updates, else the config's."""
    recorded = read_series(run, "objective/kl_coef")
    return recorded.end if len(recorded) else read_config_value(run, "ppo.kl_coef")


def _find_first(run: RunRecord) -> int | None:
    return int(run.updates[0]) if len(run.updates) else None
