"""What a sweep prints at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf_sweeps.process.printed_commands import print_adapted
from rlhf_sweeps.record import Sweep, read_plan, salvage_hydra
from rlhf_sweeps.sweep.active import BUDGET, INTERRUPTED
from rlhf_sweeps.sweep.comparison_table import write_table
from rlhf_sweeps.sweep.engine import Engine
from rlhf_sweeps.sweep.gains import list_choosing_runs
from rlhf_sweeps.sweep.last_lines import write_answer, write_last_lines
from rlhf_sweeps.sweep.plan import Plan
from rlhf_sweeps.sweep.report import write_report
from rlhf_sweeps.sweep.results import find_best
from rlhf_sweeps.tracking.uploads import describe_upload
from rlhf_sweeps.verdicts.final_policies import FinalPolicy
from rlhf_sweeps.verdicts.left_out_seeds import LeftOut


@dataclass(frozen=True)
class Conclusion:
    """What was measured at a sweep's end, once for the record and for the terminal.

    Attributes:
        comparison: of reward models, the result of `compare`; None without a comparison.
        policies: of the best setting, one for each run.
        left_out: the figures to report, as from `measure_left_out_seeds`.
    """

    comparison: dict[str, Any] | None = None
    policies: Sequence[FinalPolicy | None] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)


def print_answer(sweep: Sweep, plan: Plan, engine: Engine, conclusion: Conclusion, hydra: Mapping[str, Any]) -> None:
    """Print the last lines, the place of the report, and the answer as the very last line.

    Args:
        engine: of the sweep, after its last trial.
        conclusion: what was measured then.
        hydra: Hydra's own part of the sweep's config, as plain values.
    """
    if conclusion.comparison is not None:
        print(write_table(conclusion.comparison), end="\n\n")
    trials, recorded = engine.schedule.trials, read_plan(sweep.start() or {})
    if winners := find_best(trials, plan.directions):
        hydra = salvage_hydra(list_choosing_runs(sweep, winners[0], plan.seeds)[0], []) or hydra
    if (upload := describe_upload(sweep.folder)) is not None:
        print_adapted(upload)
    print_adapted(
        write_last_lines(
            trials,
            metrics=plan.config.objective.metrics,
            directions=plan.directions,
            fixed=plan.fixed,
            hydra=hydra,
            folder=sweep.folder,
            is_grid=plan.points is not None,
            num_test_seeds=len(plan.test_seeds),
            is_comparison=plan.has_own_scales,
            left_out=conclusion.left_out,
            test_command=recorded.changed_command("sweep.test_seeds=3", folder=sweep.folder),
        )
    )
    if engine.stopping == BUDGET:
        print("the time is over; the same command with a larger sweep.budget_hours and this hydra.sweep.dir continues")
    if plan.config.sweep.report and engine.stopping != INTERRUPTED:
        print_adapted(write_report(sweep.folder, plan.settings.storage))
    if winners and not plan.has_own_scales:
        print(write_answer(trials, plan.directions, conclusion.policies, plan.config.objective.kl_budget))
