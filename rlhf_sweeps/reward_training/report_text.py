"""The report as text: the printed tables, and the model card in the reward model's folder."""

import dataclasses
from collections.abc import Mapping

from rlhf_sweeps.config.references import redact_config
from rlhf_sweeps.figures import format_number, format_percent, format_share
from rlhf_sweeps.files.sources import locate
from rlhf_sweeps.models.card import write_markdown_table
from rlhf_sweeps.reward_training.config import RewardTrainingConfig
from rlhf_sweeps.reward_training.report import PairShare, Report
from rlhf_sweeps.wording import align_columns

Rows = list[tuple[str, ...]]


def format_report(report: Report) -> str:
    """The report as lines of text."""
    calibration = report.calibration
    lines = [
        *align_columns(
            [("ranked right", "share", "95 % interval", "pairs"), *_list_accuracies(report)], are_numbers=True
        ),
        "",
        f"calibration: expected error {format_share(calibration.expected_error)}, "
        f"Brier score {format_number(calibration.brier)}, log loss {format_number(calibration.log_loss)}",
        *align_columns([("confidence", "mean", "right", "pairs"), *_list_bins(report)], are_numbers=True),
    ]
    if report.warning:
        lines += ["", f"warning: {report.warning}"]
    return "\n".join(lines)


def write_reward_model_card(config: RewardTrainingConfig, report: Report, figures: Mapping[str, object]) -> str:
    """The model card: Markdown with the metadata block for model hubs. Whoever publishes the model adds its licence.

    Args:
        figures: figures of the training, such as pairs, steps and seconds.
    """
    config = redact_config(config)
    settings = {**dataclasses.asdict(config.reward_model), "lr": config.highest_lr, "seed": config.seed}
    del settings["base"]
    eval_data = config.dataset.eval_path or config.dataset.eval_split
    calibration = report.calibration
    parts = [
        ("base", f"`{config.base.path}`"),
        ("data", _name_data(config)),
        ("held out", eval_data or "a tenth of the prompts, by hash"),
        *((name, str(value)) for name, value in figures.items()),
    ]
    sections = [
        _write_metadata(config),
        f"# {config.name}",
        "A reward model, trained on preference pairs by rlhf_sweeps. Its scores compare responses to one prompt: "
        "sigmoid of a difference stands for the probability that the first of two is preferred.",
        write_markdown_table(("part", "used"), parts),
        "## Held-out pairs",
        *([f"**Warning: {report.warning}.**"] if report.warning else []),
        write_markdown_table(("ranked right", "share", "95 % interval", "pairs"), _list_accuracies(report)),
        "The rules use surface features of an answer only; the direction of each was chosen on the training pairs. "
        "Ties count half.",
        f"Calibration: expected error {format_share(calibration.expected_error)} (over bins of the confidence), "
        f"Brier score {format_number(calibration.brier)}, log loss {format_number(calibration.log_loss)}.",
        write_markdown_table(("confidence", "mean", "right", "pairs"), _list_bins(report)),
        "## Settings",
        write_markdown_table(("key", "value"), [(name, str(value)) for name, value in settings.items()]),
        "## Use",
        "    python -m rlhf_sweeps reward_model=local reward_model.path=FOLDER",
        "## Licence",
        "To be chosen by whoever publishes the model; the licences of the base model and the data apply.",
    ]
    return "\n\n".join(sections) + "\n"


def _list_accuracies(report: Report) -> Rows:
    rows: list[tuple[str, PairShare | None]] = [
        ("reward model", report.accuracy),
        ("  where the chosen is longer", report.longer),
        ("  where the chosen is shorter", report.shorter),
        *((f"rule: {share.rule}", share.accuracy) for share in report.comparisons),
    ]
    return [
        (
            name,
            format_share(share.value),
            f"{format_percent(share.low)} to {format_percent(share.high)} %",
            str(share.num_pairs),
        )
        for name, share in rows
        if share
    ]


def _list_bins(report: Report) -> Rows:
    return [
        (
            f"{format_percent(group.low)} to {format_percent(group.high)} %",
            format_share(group.confidence),
            format_share(group.accuracy),
            str(group.num_pairs),
        )
        for group in report.calibration.bins
    ]


def _name_data(config: RewardTrainingConfig) -> str:
    dataset = config.dataset
    return ", ".join(f"`{source.path}`" for source in (dataset.sources or [dataset]))


def _write_metadata(config: RewardTrainingConfig) -> str:
    lines = ["library_name: transformers", "pipeline_tag: text-classification", "tags: [reward-model, rlhf_sweeps]"]
    if not config.base.pypi_wheel and locate(config.base.path, config.base_key) is None:
        lines.append(f"base_model: {config.base.path}")
    return "\n".join(["---", *lines, "---"])
