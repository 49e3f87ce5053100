"""Our names for the metrics of other trainers: one table for each trainer, wherever its record was read from.

A bare `reward`, `kl` or `entropy` has another meaning in TRL than in a table made for a figure. TRL's trainers log, by
their own code: PPO until 0.11 has `objective/kl` (a sum over the response), `ppo/...` and `tokens/...`; PPO and
RLOO after that have the names that are ours, too; GRPO, and RLOO since it has GRPO's form (1.16 looked into), have
`reward` (what the reward functions give, without any penalty), `kl` and `entropy` (means over tokens).
"""

from collections.abc import Iterable, Mapping

from analysis.records.runs import CUMULATIVE_REWARD, REWARD, SCORES, Floats

_HF_PREFIX = "train/"  # which Hugging Face's trainers put before what they send to W&B
# By plain names (see `_normalize_name`), without train/.
_OF_TRL = {
    "learning_rate": "lr",
    "ppo_learning_rate": "lr",
    "ppo_mean_scores": SCORES,
    "ppo_std_scores": "objective/scores_std",
    "ppo_mean_non_score_reward": "objective/non_score_reward",
    "ppo_loss_policy": "loss/policy_avg",
    "ppo_loss_value": "loss/value_avg",
    "ppo_policy_approxkl": "policy/approxkl_avg",
    "ppo_policy_clipfrac": "policy/clipfrac_avg",
    "ppo_policy_entropy": "policy/entropy_avg",
    "ppo_val_clipfrac": "val/clipfrac_avg",
    "ppo_val_var_explained": "val/explained_variance",
    "tokens_responses_len_mean": "objective/length",
    "reward": SCORES,
    "reward_std": "objective/scores_std",
    "kl": "objective/kl_per_token",
    "entropy": "policy/entropy_avg",
    "clip_ratio_region_mean": "policy/clipfrac_avg",
    "completions_mean_length": "objective/length",
    "completions_clipped_ratio": "objective/truncated_rate",
    "grad_norm": "policy/grad_norm",
}
# Other names of the five panels of the published figure.
_OF_PEOPLE = {
    "reward": REWARD,
    "step_reward": REWARD,
    "mean_reward": REWARD,
    "reward_mean": REWARD,
    "rlhf_reward": REWARD,
    "score": SCORES,
    "scores": SCORES,
    "cumulative_reward": CUMULATIVE_REWARD,
    "policy_loss": "loss/policy_avg",
    "value_loss": "loss/value_avg",
    "entropy": "objective/entropy",
    "kl": "objective/kl",
    "kl_divergence": "objective/kl",
    "learning_rate": "lr",
}
_TRLS_ALONE = (_HF_PREFIX, "ppo/", "completion", "clip_ratio", "rewards/", "frac_reward_zero_std", "sampling/")
_GROUPS = ("eval/", "judge/", "objective/", "loss/", "policy/", "value/", "val/", "perf/", "tokens/", "trl_compat/")
_SETTINGS = ("lr", "objective/kl_coef")  # recorded with the metrics, and set


def are_trls(columns: Iterable[str]) -> bool:
    """Whether metrics of these names are TRL's: some names occur nowhere else."""
    return any(column.startswith(_TRLS_ALONE) for column in columns)


def rename_metrics(metrics: Mapping[str, Floats], are_trls: bool) -> dict[str, Floats]:
    """The metrics under our names where these are known; a metric whose new name is taken keeps a name of its own.

    Args:
        are_trls: whether TRL has recorded them.
    """
    by_name: dict[str, Floats] = {}
    for name, values in metrics.items():
        short = name.removeprefix(_HF_PREFIX) if are_trls else name
        names = (_translate_name(short, are_trls), short, name)
        by_name[
            next(
                candidate
                for candidate in names
                if candidate == name or (candidate not in metrics and candidate not in by_name)
            )
        ] = values
    return by_name


def is_metric(column: str) -> bool:
    """Whether a column has the name of a metric, and not that of a setting."""
    names = {_translate_name(column.removeprefix(_HF_PREFIX), are_trls) for are_trls in (True, False)}
    our_names = {*_OF_TRL.values(), *_OF_PEOPLE.values()}
    return not names & {*_SETTINGS} and (bool(names & our_names) or any(name.startswith(_GROUPS) for name in names))


def _translate_name(name: str, are_trls: bool) -> str:
    plain = _normalize_name(name)
    if are_trls and plain in _OF_TRL:
        return _OF_TRL[plain]
    return _OF_PEOPLE.get(plain, name)


def _normalize_name(name: str) -> str:
    """In lower case, with _ for what is no letter."""
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_")
