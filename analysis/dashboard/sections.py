"""The sections of the W&B dashboard, each a list of panels."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.records.runs import UPDATE
from rlhf_sweeps.record import write_command

# Values in W&B's summary of a run: the objective, and the KL and the score now.
OBJECTIVE, KL_NOW, SCORE_NOW = "objective", "eval/kl.last", "eval/score.last"
# Keys of the config that searches vary most, and whether they are looked at on a log scale.
SWEPT = (("ppo.lr", True), ("ppo.kl_coef", True), ("ppo.clip_range", False), ("reward_model.name", False))

_CUMULATIVE = """**Cumulative reward**: W&B cannot add up over updates.
`{command}` draws it from the same runs."""


@dataclass(frozen=True)
class Lines:
    """A line plot over the updates.

    Attributes:
        metrics: what is drawn; or `pattern`, a regular expression for their names.
    """

    title: str
    metrics: Sequence[str] = ()
    pattern: str | None = None
    log: bool = False


CURVES = (
    Lines("Step reward", ["objective/rlhf_reward"]),
    Lines("Score", ["objective/scores"]),
    Lines("Policy loss", ["loss/policy_avg"]),
    Lines("Entropy", ["objective/entropy"]),
    Lines("KL divergence", ["objective/kl"]),
)
EVALUATION = (
    Lines("Held-out score, and the base policy's", ["eval/score", "eval/base_score"]),
    Lines("Win rate against the base policy", ["eval/win_rate"]),
    Lines("Held-out KL", ["eval/kl"]),
    Lines("Scores by other judges", pattern=r"judge/.*/score"),
    Lines("Win rates by other judges", pattern=r"judge/.*/win_rate"),
)
HEALTH = (
    Lines("Variance that the values explain", ["val/explained_variance"]),
    Lines("Share of tokens that are clipped", ["policy/clipfrac_avg"]),
    Lines("KL of one update", ["policy/approxkl_avg"], log=True),
    Lines("Responses cut at the length limit", ["objective/truncated_rate"]),
    Lines("Response length", ["objective/length", "eval/length"]),
    Lines("Surface markers", ["eval/question_rate", "eval/exclamation_rate", "eval/emoji_rate"]),
    Lines("Largest ratio of new to old policy", ["val/ratio_max"], log=True),
    Lines("Gradient norms", ["policy/grad_norm", "value/grad_norm"], log=True),
    Lines("Value loss", ["loss/value_avg"]),
)


def make_sections(project: str) -> list[Any]:
    """The dashboard's sections, the five published curves first; needs wandb-workspaces, but no network.

    Args:
        project: entity/project, for the command that a text panel names.
    """
    import wandb_workspaces.workspaces as ws

    wr = _import_reports()
    curves = [_make_plot(lines) for lines in CURVES]
    elsewhere = _CUMULATIVE.format(command=write_command("python", "-m", "analysis", "curves", f"wandb:{project}"))
    return [
        ws.Section(
            name="Curves",
            panels=[*curves, wr.MarkdownPanel(markdown=elsewhere)],
            is_open=True,
        ),
        ws.Section(name="Evaluation", panels=[_make_plot(lines) for lines in EVALUATION], is_open=True),
        ws.Section(name="Health", panels=[_make_plot(lines) for lines in HEALTH], is_open=False),
        ws.Section(name="Sweep", panels=_make_sweep_panels(), is_open=True),
    ]


def _import_reports() -> Any:
    """The package's panels; it names what it exports when it is imported, out of a type checker's sight."""
    return importlib.import_module("wandb_workspaces.reports.v2")


def _make_plot(lines: Lines) -> Any:
    wr = _import_reports()
    return wr.LinePlot(
        title=lines.title,
        x=UPDATE,
        y=list(lines.metrics),
        metric_regex=lines.pattern,
        log_y=lines.log or None,
        title_x="update",
    )


def _make_sweep_panels() -> list[Any]:
    wr = _import_reports()
    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key), log=log or None) for key, log in SWEPT]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(OBJECTIVE)))
    return [
        wr.ParallelCoordinatesPlot(title="Settings and objective", columns=columns),
        wr.ParameterImportancePlot(with_respect_to=OBJECTIVE),
        wr.ScatterPlot(title="Objective against KL now", x=wr.SummaryMetric(KL_NOW), y=wr.SummaryMetric(OBJECTIVE)),
        wr.BarPlot(
            title="Objective by reward model",
            metrics=[OBJECTIVE],
            groupby=wr.Config("reward_model.name"),
            groupby_aggfunc="mean",
            groupby_rangefunc="minmax",
        ),
    ]
