"""The sentences about the policies by which runs are judged: one for all outputs."""

from collections.abc import Sequence

from rlhf_sweeps.figures import format_number
from rlhf_sweeps.verdicts.against_base import Gain, describe_gain, measure_gain
from rlhf_sweeps.verdicts.final_policies import (
    FinalPolicy,
    choose_measured,
    choose_widening,
    list_confirmed,
    measure_confirmation,
    measure_policies,
)
from rlhf_sweeps.verdicts.objective import describe_excess

NO_JUDGE = "no judge scored the answers, so over-optimization cannot be seen (eval.judges)"


def write_verdict(
    policies: Sequence[FinalPolicy | None],
    kl_budget: float | None,
    name: str = "",
    is_plural: bool = False,
    num_settings: int = 1,
) -> str:
    """Whether a setting is better than no training at all.

    Args:
        policies: one for each run of the setting.
        kl_budget: in nats; None if there is none, or if it is unknown.
        name: of the setting within a sentence, such as `trial 3`; empty for a run that speaks of itself.
        is_plural: whether the name stands for several trials.
        num_settings: the number of settings that this one was chosen from by these runs.
    """
    test = describe_test(measure_policies(policies, num_settings), num_settings, policies)
    beyond = [policy for policy in policies if policy is not None and not policy.is_within]
    verb, their = ("are", "their") if is_plural else ("is", "its")
    if beyond and len(beyond) == len(policies):
        start = f"{name}: " if name else ""
        latest = "the last one" if len(beyond) == 1 else "the last one of each run"
        latest += f"{_compare_kl(beyond, kl_budget)} is {test}"
        return f"{start}no policy within the KL budget; {latest}"
    if beyond:
        share = f"{len(beyond)} of {len(policies)} runs had no policy within the KL budget"
        return f"{name} {verb} not known to be better than the base policy: {share}"
    excess = _describe_excess_there(policies, kl_budget)
    if name:
        chosen_by = (
            "net score" if any(policy is not None and policy.kl_price for policy in policies) else "held-out score"
        )
        return f"at {their} best {chosen_by}, {name} {verb} {test}{excess}"
    updates = [policy.update for policy in policies if policy is not None]
    return f"the policy{f' of update {updates[0]}' if updates else ''} is {test}{excess}"


def write_judgement(
    policies: Sequence[FinalPolicy | None], name: str = "the policy", is_plural: bool = False, num_settings: int = 1
) -> str | None:
    """What the judges say of a setting, whose own reward model may have been over-optimized.

    The judges may read the answers by which the setting was chosen, and what is luck there may please them, too. So
    their intervals are adjusted for the number of settings as well as for their own. None if the verdict says nothing
    of a policy within the KL budget, or without samples.

    Args:
        policies: one for each run of the setting.
        name, is_plural, num_settings: see `write_verdict`.
    """
    chosen = choose_measured(policies)
    measured = [policy for policy in chosen if policy is not None and policy.is_within and policy.differences]
    if not measured or len(measured) < len(policies):
        return None
    judges = sorted(set(measured[0].judged).intersection(*(policy.judged for policy in measured[1:])))
    if not judges:
        return NO_JUDGE
    verb, num_means, widening = "are" if is_plural else "is", len(judges) * num_settings, choose_widening(policies)
    gains = {
        judge: measure_gain([policy.judged[judge] for policy in measured], num_means, widening) for judge in judges
    }
    return "; ".join(f"judged by {judge}, {name} {verb} {describe_gain(gain)}" for judge, gain in gains.items())


def describe_test(gain: Gain | None, num_settings: int = 1, policies: Sequence[FinalPolicy | None] = ()) -> str:
    """`better than the base policy by 1.75 [1.41, 2.09] (held-out score, 120 prompts, 1 seed)`; after `is`.

    Of confirmed policies: `... (score 1.23 and KL 1.84 on 72 confirming prompts, 1 seed)`.

    Args:
        num_settings: see `write_verdict`.
        policies: the gain is theirs.
    """
    if gain is None:
        return describe_gain(gain)
    text, basis, seeds = describe_gain(gain), f"held-out score, {_count(gain.num_prompts, 'prompt')}", gain.num_seeds
    if confirmed := measure_confirmation(policies):
        figures = f"score {format_number(confirmed['score'])} and KL {format_number(confirmed['kl'])}"
        basis = f"{figures} on {_count(gain.num_prompts, 'confirming prompt')}"
    basis += f", {_count(seeds, 'seed')}"
    basis += ", cross-fitted" if choose_widening(policies) > 1 else ""
    basis += f", best of {num_settings} settings" if num_settings > 1 else ""
    return f"{text.removesuffix(')')}; {basis})" if text.endswith(")") else f"{text} ({basis})"


def _describe_excess_there(policies: Sequence[FinalPolicy | None], kl_budget: float | None) -> str:
    """That a KL on the confirming prompts is beyond the budget, although it was not where the policy was chosen."""
    confirmed = list_confirmed(policies)
    excesses = [describe_excess([policy.kl], [policy.kl_bound], kl_budget) for policy in confirmed]
    beyond = [excess for excess in excesses if excess is not None]
    return f"; on the confirming prompts {', '.join(beyond)}" if beyond else ""


def _compare_kl(beyond: Sequence[FinalPolicy], kl_budget: float | None) -> str:
    """` (KL 40, 38 > 15)`; empty where that is unknown."""
    excess = describe_excess([p.kl for p in beyond], [p.kl_bound for p in beyond], kl_budget)
    return f" ({excess})" if excess else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
