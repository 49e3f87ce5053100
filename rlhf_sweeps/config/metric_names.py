"""The names of the metrics that a run will record, and a check of the names in a config. Loads no torch.

ppo/metrics.py, ppo/trainer.py, training/evaluation.py and training/train.py record them; a test compares the names here
with those of real runs.
"""

from collections.abc import Iterator

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import CONSTRAINT, Config
from rlhf_sweeps.wording import suggest

_PROGRESS = ("update", "episode", "epoch", "lr", "eps")
_ROLLOUT = (
    "objective/kl", "objective/kl_per_token", "objective/kl_coef", "objective/entropy", "objective/scores",
    "objective/raw_scores", "objective/scores_std", "objective/rewards_std", "objective/non_score_reward",
    "objective/rlhf_reward", "objective/length", "objective/eos_rate", "objective/truncated_rate",
    "val/num_eos_tokens", "val/explained_variance",
)  # fmt: skip
# Means over tokens or states; TRL averages them in another way.
_AVERAGES = (
    "policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg", "loss/policy_avg", "val/ratio",
    "loss/value_avg", "val/clipfrac_avg",
)  # fmt: skip
_UPDATE = ("val/ratio_var", "val/ratio_max", "policy/epochs", "policy/grad_norm", "value/grad_norm")
_PHASES = ("sample", "score", "optimize")
_COST = (
    *(f"tokens/{phase}" for phase in _PHASES), *(f"perf/{phase}_seconds" for phase in (*_PHASES, "evaluate", "update")),
    "perf/peak_memory_mb", "perf/microbatch_size", "perf/rollout_batch_size",
)  # fmt: skip
_JUDGED = ("score", "base_score", "win_rate")
_EVALUATION = (
    *_JUDGED, "kl", "kl_bound", "net_score", "length", "eos_rate", "question_rate", "exclamation_rate", "emoji_rate",
)  # fmt: skip


def list_metric_names(config: Config) -> list[str]:
    """The names of all metrics in a run's metrics.jsonl; those of evaluations stand in some rows only."""
    names = [f"eval/{name}" for name in _EVALUATION]
    names += [f"judge/{judge.name}/{name}" for judge in config.eval.judges for name in _JUDGED]
    names += [*_PROGRESS, *_ROLLOUT, *_AVERAGES, *_UPDATE, *_COST]
    if config.ppo.trl_metrics:
        names += [f"trl_compat/{name}" for name in (*_AVERAGES, "val/num_eos_tokens")]
        if config.ppo.trl_slots > 1:
            names.append("trl_compat/val/ratio_var")
    return names


def check_metrics(config: Config) -> None:
    """Check that the run will record the metrics of its objective and constraints.

    Raises:
        ConfigError: with one line for each metric that it will not record.
    """
    recorded = list_metric_names(config)
    lines = [
        f"{given}: no run with these settings records {name}{_suggest(name, recorded, config)}"
        for given, name in _list_wanted(config)
        if name not in recorded
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _list_wanted(config: Config) -> Iterator[tuple[str, str]]:
    """The settings that name a metric, and the metric."""
    for name in config.objective.metrics:
        yield f"objective.metrics={name}", name
    for constraint in config.objective.constraints:
        parts = CONSTRAINT.fullmatch(constraint)
        assert parts is not None  # from_hydra has checked it
        yield f"objective.constraints={constraint}", parts["metric"]


def _suggest(name: str, recorded: list[str], config: Config) -> str:
    """The end of the message: similar names, and the recorded metrics of the same group."""
    namesakes = [other for other in recorded if other.rpartition("/")[2] == name]
    meant = f"; did you mean {' or '.join(namesakes[:3])}?" if namesakes else suggest(name, recorded)
    group = name.partition("/")[0] + "/"
    if group == "judge/":
        judges = ", ".join(judge.name for judge in config.eval.judges) or "none"
        return f"{meant} (judges of the run: {judges}; see eval.judges. Of each: {', '.join(_JUDGED)})"
    if group == "trl_compat/" and not config.ppo.trl_metrics:
        return f"{meant} (needs ppo.trl_metrics=true)"
    allowed = [other for other in recorded if other.startswith(group)]
    if allowed:
        return f"{meant} (allowed: {', '.join(allowed)})"
    groups = sorted({other.partition("/")[0] + "/..." for other in recorded if "/" in other})
    evaluation = [other for other in recorded if other.startswith("eval/")]
    return f"{meant} (allowed: {', '.join(evaluation)}; and {', '.join(groups)}, see rlhf_sweeps/record/README.md)"
