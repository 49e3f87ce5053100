"""The W&B dashboard of a project, written with wandb-workspaces, or printed as JSON where W&B cannot be reached."""

import json
import sys
import unicodedata
import warnings
from typing import Any

from analysis.dashboard.sections import KL_NOW, OBJECTIVE, SCORE_NOW, make_sections
from analysis.reading.wandb_projects import connect, parse_project
from analysis.wording.errors import AnalysisError

_GROUPED_BY = "reward_model.name"
_MOST_RUNS = 50  # in one plot; W&B's default is 10


def write_workspace(project: str, *, sweep: str | None = None, name: str | None = None, dry_run: bool = False) -> str:
    """Save the dashboard as a new saved view of the project; the runs are those of trials, grouped by reward model.

    Args:
        project: entity/project.
        sweep: the name of its folder, to show only its runs.
        name: the dashboard's title.
        dry_run: save nothing.

    Returns:
        The dashboard's address; or what would have been saved as JSON, always the same, if that is all that is asked
        for or W&B refuses, and then stderr says why.

    Raises:
        AnalysisError: if wandb-workspaces is missing, or the project, sweep or name cannot be used.
    """
    try:
        place = parse_project(project := project.removeprefix("wandb:"))
    except AnalysisError as error:
        raise AnalysisError(f"{project}: names no project (allowed: entity/project)") from error
    if place.run or place.group:
        raise AnalysisError(f"{project}: must be entity/project; for one sweep add --sweep NAME")
    workspace = _build(place.entity, place.project, sweep, name or _make_title(sweep))
    spec = _make_spec(workspace, sweep)
    if dry_run:
        return spec
    try:
        with connect(project, place.entity):
            workspace.save()
            return str(workspace.url)
    except AnalysisError as error:
        print(f"not saved: {error}; the dashboard as JSON follows", file=sys.stderr)
        return spec


def _make_title(sweep: str | None) -> str:
    return "".join("-" if _is_symbol(letter) else letter for letter in f"Sweep {sweep}") if sweep else "PPO runs"


def _is_symbol(letter: str) -> bool:
    """Whether the package refuses a letter in a title: it refuses emoji, and with them + and =."""
    return unicodedata.category(letter).startswith(("S", "Cs"))


def _build(entity: str, project: str, sweep: str | None, title: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, about its use of pydantic
        try:
            from wandb_workspaces import expr
            from wandb_workspaces import workspaces as ws
        except ImportError as error:
            raise AnalysisError(
                f"workspace: needs {error.name}, the extra `workspaces` (python -m pip install wandb-workspaces)"
            ) from error
        wanted = [expr.Metric("JobType") == "train"]
        if sweep:
            wanted.append(expr.Metric("Group") == sweep)
        try:
            return ws.Workspace(
                entity=entity,
                project=project,
                name=title,
                sections=make_sections(f"{entity}/{project}"),
                settings=ws.WorkspaceSettings(x_axis="update", max_runs=_MOST_RUNS),
                runset_settings=ws.RunsetSettings(
                    filters=expr.And(*wanted),
                    groupby=[expr.Config(_GROUPED_BY)],
                    order=[expr.Ordering(expr.Summary(OBJECTIVE), ascending=False)],
                    pinned_columns=[f"summary:{key}" for key in (OBJECTIVE, SCORE_NOW, KL_NOW)],
                ),
            )
        except ValueError as error:
            symbols = "".join(letter for letter in title if _is_symbol(letter))
            reason = f"W&B takes no {symbols} in a title" if symbols else " ".join(str(error).split())[:200]
            raise AnalysisError(f"--name {title}: {reason}") from error


def _make_spec(workspace: Any, sweep: str | None) -> str:
    """The content that the server would get, as JSON; the package has no public function for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True)
        except (ValueError, SyntaxError):
            text = "{}"
    spec = json.loads(text)
    # The package turns filters into an expression and back, which does not bear every name.
    if sweep and f'"value": {json.dumps(sweep)}' not in json.dumps(spec):
        raise AnalysisError(
            f"--sweep {sweep}: W&B's filters cannot hold this name (avoid =, <, >, quotes, backslashes)"
        )
    _number_panels(spec)
    return json.dumps(spec, indent=2, ensure_ascii=False)


def _number_panels(spec: dict[str, Any]) -> None:
    """In place of the random names that panels are given, so that the same dashboard is the same text."""
    panels = [panel for section in spec["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]
    for number, panel in enumerate(panels, start=1):
        panel["__id__"] = f"panel{number}"
