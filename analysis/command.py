"""The command line of the analysis: what is read, what is written, errors in one line.

Figures, tables and optuna are loaded by the command that needs them.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.arguments import add_curve_options, add_formats, check_command
from analysis.output.files import write_files
from analysis.output.formats import DEFAULT_FORMATS
from analysis.output.parts import Part
from analysis.output.places import choose_folder, choose_report_file
from analysis.output.terminal import print_parts
from analysis.records.runs import Source
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.platforms.output import tolerate
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.closed_output import tolerate_closed_output
from rlhf_sweeps.process.option_parser import OptionParser, parse_positive
from rlhf_sweeps.process.printed_commands import adapt_commands
from rlhf_sweeps.record import STORAGE
from rlhf_sweeps.versions import describe_versions
from rlhf_sweeps.wording import display_path, drop_controls

if TYPE_CHECKING:
    from analysis.results.results import Results

_FEW = 10  # problems that are still printed

_PLACES = """
PLACE: a folder of a run or a sweep (outputs/<sweep>) or with several of them (outputs), a table with a row for each
update (.csv, .tsv, .parquet, .jsonl, TRL's trainer_state.json), W&B's own files (.wandb, or a folder with them), or
wandb:entity/project.
Files are written to PLACE/analysis, and for a table or a W&B project to outputs/<its name>_analysis; --out names
another folder.
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status, 2 where the input was wrong."""
    tolerate()
    parser = _make_parser()
    try:
        with tolerate_closed_output():
            check_command(arguments, parser.get_default("commands"))
            options = parser.parse_args(arguments)
            return int(options.run(options))
        return 0
    except AnalysisError as error:
        print(f"error: {adapt_commands(drop_controls(str(error)))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # a shell's exit status for Ctrl-C
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _make_parser() -> argparse.ArgumentParser:
    parser = OptionParser(
        prog=adapt_commands("python -m analysis"),
        description="Analyse records: training curves, the best settings and their lead, health, a report.",
        epilog=_PLACES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=describe_versions())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    curves = _add_command(commands, "curves", "training curves: figures, CSV, and in words what they do", _run_curves)
    add_curve_options(curves)
    add_formats(curves)
    compare = _add_command(
        commands, "compare", "groups of runs: intervals, pairwise comparisons, reward against KL", _run_compare
    )
    compare.add_argument(
        "--by", metavar="KEY", help="a config key or group (default: the swept key, if only one was swept)"
    )
    compare.add_argument("--metric", metavar="NAME", help="the metric to compare by (default: the objective)")
    add_formats(compare)
    _add_command(
        commands, "sweep", "which keys mattered, how flat the optimum is, what to try next, what it cost", _run_sweep
    )
    _add_command(
        commands, "health", "faults such as reward hacking, KL blow-up and entropy collapse, with advice", _run_health
    )
    report = _add_command(
        commands, "report", "all of these in one HTML file that opens offline", _run_report, out=False
    )
    report.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default: PLACE/report.html)")
    text = "how good the best of n answers is that reward models choose: the picture of a screen"
    screen = commands.add_parser("screen", help=text, description=f"Draw {text}.")
    screen.add_argument("folder", type=Path, metavar="FOLDER", help="of `python -m rlhf_sweeps.reward_models screen`")
    screen.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: FOLDER/analysis)")
    add_formats(screen)
    screen.set_defaults(run=_run_screen)
    watch = commands.add_parser("watch", help="a live table of a running sweep", description="Show a live table.")
    watch.add_argument("folder", type=Path, metavar="FOLDER")
    watch.add_argument("--once", action="store_true", help="print the table once and stop")
    watch.add_argument(
        "--interval", type=parse_positive, default=2.0, metavar="SECONDS", help="time between updates (default: 2)"
    )
    watch.set_defaults(run=_run_watch)
    _add_publish(commands)
    workspace = commands.add_parser(
        "workspace", help="write the dashboard into a W&B project", description="Write the W&B dashboard."
    )
    workspace.add_argument("project", metavar="ENTITY/PROJECT")
    workspace.add_argument("--sweep", metavar="NAME", help="show this sweep's runs only (its folder's name)")
    workspace.add_argument("--name", metavar="TITLE", help="title of the dashboard")
    workspace.add_argument("--dry-run", action="store_true", help="print the dashboard as JSON, and write nothing")
    workspace.set_defaults(run=_run_workspace)
    parser.set_defaults(commands=list(commands.choices))
    return parser


def _add_command(
    commands: "argparse._SubParsersAction[OptionParser]",
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    out: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_PLACES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("places", nargs="+", metavar="PLACE")
    parser.add_argument(
        "--storage",
        metavar="URL",
        default=os.environ.get(STORAGE),
        help=f"URL of the study, if it is not in the sweep's folder (hydra.sweeper.storage; default: ${STORAGE})",
    )
    if out:
        parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: see below)")
    parser.set_defaults(run=run)
    return parser


def _add_publish(commands: "argparse._SubParsersAction[OptionParser]") -> None:
    text = "copy a record to outputs/showcase, for everybody to check, and write the table of tuned settings"
    publish = commands.add_parser("publish", help=text, description=f"{text[0].upper()}{text[1:]}.")
    publish.add_argument("place", nargs="?", type=Path, metavar="FOLDER", help="of a run or a sweep")
    publish.add_argument("name", nargs="?", metavar="NAME", help="of the copy: outputs/showcase/NAME")
    publish.add_argument(
        "--experiment", metavar="NAME", help="write the best setting to conf/experiment/NAME.yaml as well"
    )
    publish.add_argument("--table", action="store_true", help="write the table alone, of what is published")
    publish.set_defaults(run=_run_publish)


def _read_source(options: argparse.Namespace) -> Source:
    from analysis.reading.sources import read_all

    with report_activity("reading"):
        source = read_all(options.places, options.storage)
    problems = [*source.problems, *(f"{run.name}: {text}" for run in source.runs for text in run.problems)]
    for text in problems[:_FEW]:
        print(f"note: {adapt_commands(drop_controls(text))}", file=sys.stderr)
    if len(problems) > _FEW:
        print(f"note: {len(problems) - _FEW} more problems; the report has them all", file=sys.stderr)
    return source


def _present_view(options: argparse.Namespace, view: "Callable[[Results], Sequence[Part]]") -> int:
    """Write a view's files, print the rest, and say which files there are."""
    from analysis.results.results import Results

    source = _read_source(options)
    folder = choose_folder(source, options.out)
    with report_activity("computing"):
        parts = view(Results(source))
    with report_activity("writing files"):
        paths = write_files(parts, folder, getattr(options, "format", DEFAULT_FORMATS))
    print_parts(parts)
    return _print_paths(paths)


def _print_paths(paths: Sequence[Path]) -> int:
    if paths:
        print(f"written: {', '.join(map(_shorten_path, paths))}")
    return 0


def _shorten_path(path: Path) -> str:
    """A path as a user types it: from here, if it lies below."""
    here = Path.cwd()
    return str(path.absolute().relative_to(here) if path.absolute().is_relative_to(here) else path)


def _run_curves(options: argparse.Namespace) -> int:
    from analysis.reading.beside import read_beside
    from analysis.views.curves import curves_view

    other_runs = read_beside(options.beside)

    def make_view(results: "Results") -> Sequence[Part]:
        return curves_view(
            results,
            options.metrics.split(",") if options.metrics else None,
            results.source.find_key(options.by) if options.by else None,
            options.smooth,
            options.x and options.x.removesuffix("s"),
            other_runs,
        )

    return _present_view(options, make_view)


def _run_compare(options: argparse.Namespace) -> int:
    from analysis.views.compare import compare_view

    return _present_view(options, lambda results: compare_view(results, options.by, options.metric))


def _run_sweep(options: argparse.Namespace) -> int:
    from analysis.views.sweep import sweep_view

    return _present_view(options, sweep_view)


def _run_health(options: argparse.Namespace) -> int:
    from analysis.views.health import health_view

    return _present_view(options, health_view)


def _run_report(options: argparse.Namespace) -> int:
    from analysis.views.report import write_report

    source = _read_source(options)
    file = choose_report_file(source, options.out)
    with report_activity("writing the report"):
        return _print_paths([write_report(source, file)])


def _run_screen(options: argparse.Namespace) -> int:
    from analysis.reading.screens import read_screen
    from analysis.views.screen import screen_view

    parts = screen_view(read_screen(options.folder))
    source = Source(options.folder.name, "folder", (), folder=options.folder)
    paths = write_files(parts, choose_folder(source, options.out), options.format)
    print_parts(parts)
    return _print_paths(paths)


def _run_watch(options: argparse.Namespace) -> int:
    from analysis.watch.watch import watch

    return watch(Path(display_path(options.folder.absolute())), once=options.once, interval=options.interval)


def _run_publish(options: argparse.Namespace) -> int:
    from analysis.publication.publish import publish, publish_table

    if {options.place is None, options.name is None} != {options.table} or (options.table and options.experiment):
        raise AnalysisError("publish: must be given a FOLDER and a NAME, or --table alone")
    if options.table:
        return _print_paths([publish_table()])
    paths, notes = publish(options.place, options.name, options.experiment)
    for note in notes:
        print(f"note: {drop_controls(note)}", file=sys.stderr)
    return _print_paths(paths)


def _run_workspace(options: argparse.Namespace) -> int:
    from analysis.dashboard.workspace import write_workspace

    print(write_workspace(options.project, sweep=options.sweep, name=options.name, dry_run=options.dry_run))
    return 0
