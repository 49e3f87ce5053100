"""The model card of the exported model, made from the record."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_sweeps.config.references import redact_config
from rlhf_sweeps.config.reward_models import EnsembleConfig, RewardModelConfig
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.figures import format_number

CURVES = (
    "objective/scores",
    "objective/rlhf_reward",
    "objective/kl",
    "objective/entropy",
    "loss/policy_avg",
    "loss/value_avg",
)


def write_model_card(config: Config, summary: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    """Markdown with the metadata block for model hubs; metrics that were not recorded are left out."""
    config = redact_config(config)
    update = summary["best_update"] or summary["updates"]
    evaluated = next((row for row in metrics if row["update"] == update), {})
    evaluation = [(name, format_number(value)) for name, value in evaluated.items() if name.startswith("eval/")]
    ends = (metrics[0], metrics[-1]) if metrics else ({}, {})
    curves = [
        (name, *(format_number(row[name]) for row in ends)) for name in CURVES if all(name in row for row in ends)
    ]
    hyperparameters = [(f"ppo.{key}", value) for key, value in dataclasses.asdict(config.ppo).items()]
    parts = [
        ("base model", config.model.path),
        ("reward model", _describe_reward_model(config.reward_model)),
        ("data", f"{config.dataset.path}, split {config.dataset.split}, column {config.dataset.prompt_column}"),
        ("seed", config.seed),
        ("KL budget", config.objective.kl_budget),
    ]
    cost = (
        f"{summary['episodes']} episodes, {summary['tokens']} tokens, {summary['seconds']:.0f} s on {summary['device']}"
    )
    versions = ", ".join(f"{package} {number}" for package, number in summary["versions"].items())
    sections = [
        _write_metadata(config),
        f"# {config.name}",
        f"`{config.model.path}` after {update} of {summary['updates']} PPO updates by rlhf_sweeps.",
        write_markdown_table(("part", "used"), parts),
        "## Held-out evaluation",
        "Compared with the base model on the same prompts, scored by the reward model.",
        write_markdown_table(("metric", "value"), evaluation),
        *_describe_confirmation(summary.get("confirmed")),
        "## Training",
        write_markdown_table(("metric", "first update", "last update"), curves),
        "## Hyperparameters",
        write_markdown_table(("key", "value"), hyperparameters),
        f"{cost}; {versions}.",
    ]
    return "\n\n".join(sections) + "\n"


def _describe_confirmation(confirmed: Mapping[str, Any] | None) -> Iterator[str]:
    """The score, the KL and what else was measured on the confirming prompts; nothing without them."""
    if confirmed is not None:
        yield f"On {confirmed['num_prompts']} confirming prompts, which had no part in choosing this policy:"
        rows = [(name, format_number(value)) for name, value in confirmed.items() if "/" in name]
        yield write_markdown_table(("metric", "value"), rows)


def _describe_reward_model(config: RewardModelConfig) -> str:
    """The reward model's name and source."""
    source = getattr(config, "path", None) or getattr(config, "function", None) or config.kind
    if isinstance(config, EnsembleConfig):
        source = f"{config.aggregation} of {', '.join(member.name for member in config.members)}"
    return f"{config.name} ({source})"


def _write_metadata(config: Config) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-generation", "tags: [ppo, rlhf, rlhf_sweeps]"]
    if not config.model.pypi_wheel and config.model.path.count("/") == 1 and ":" not in config.model.path:
        lines.append(f"base_model: {config.model.path}")
    return "\n".join(["---", *lines, "---"])


def write_markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table whose cells hold no vertical bar."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).strip() for cell in line) + " |" for line in lines)
