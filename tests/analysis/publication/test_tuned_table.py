"""The table of tuned settings: its numbers are those of the results, and the page holds what is published."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from helpers.checkouts import make_checkout
from helpers.records import rows, summary, write_run, write_sweep

from analysis.publication.publish import LARGEST_SHOWCASE, publish, publish_table
from analysis.publication.tuned_table import BEGIN, END, PAGE, SHOWCASE, make_table
from analysis.reading.folders import read_folder
from analysis.results.results import Results
from analysis.views.intervals import make_estimate_cell
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Run, Sweep


@pytest.fixture(autouse=True)
def _in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_checkout(tmp_path / "project"))


def read_cells() -> dict[str, str]:
    """Head -> cell, of the only row of the page."""
    table = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    head, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines())
    return dict(zip(head, row, strict=True))


def write_tests(values: list[float]) -> None:
    """Runs of trial 1 on test seeds, worth these values."""
    for seed, value in enumerate(values, start=7):
        metrics = [{"update": 30, "eval/score": value, "eval/kl": 2.0 * seed}]
        end = summary(metrics, base_score=-0.5, updates=30)
        write_run(Path(f"outputs/grid/test/1_seed_{seed}"), metrics, end=end)


def test_the_row_of_a_sweep_with_test_seeds() -> None:
    """By hand: the mean of 1.0, 1.5 and 2.6 is 1.7, and that of KLs of 14, 16 and 18 nats is 16."""
    write_sweep(Path("outputs/grid"), [{"ppo.kl_coef": 0.01}, {"ppo.kl_coef": 0.02}], heights=[1.0, 2.0])
    write_tests([1.0, 1.5, 2.6])
    for run in (Path("outputs/grid/1"), *Path("outputs/grid/test").iterdir()):
        start = Run(run).start() or {}
        start["config"]["objective"] = {"kl_budget": None, "metrics": ["eval/score"], "directions": ["maximize"]}
        Run(run).start_file.unlink()
        Run(run).begin(start["config"])
    publish(Path("outputs/grid"), "grid")
    cells = read_cells()
    interval = make_estimate_cell(
        next(
            group.estimate
            for group in Results(read_folder(Sweep(Path("outputs/grid")))).compare_by("ppo.kl_coef").groups
            if group.label == "0.02"
        )
    ).text
    assert cells["held-out score [95 %]"] == f"-0.5 -> {interval}, 3 test seeds"
    assert interval.startswith("1.7 [")
    assert (cells["KL"], cells["tuned"], cells["experiment"]) == ("16", "`ppo.kl_coef=0.02`", "-")
    assert (cells["updates x responses"], cells["time, device"]) == ("30 x 32", "60 s, cpu")
    assert cells["record"] == "[grid](../../outputs/showcase/grid)"


def test_the_row_of_a_single_run_has_no_interval_and_nothing_tuned() -> None:
    write_run(Path("outputs/run"), rows(30))
    publish(Path("outputs/run"), "run")
    cells = read_cells()
    value = (Run(Path("outputs/run")).summary() or {})["objective"]
    assert cells["held-out score [95 %]"] == f"-0.1 -> {value:.3g}, 1 seed"
    assert (cells["tuned"], cells["time, device"]) == ("-", "15 s, cpu")


def test_a_page_without_the_lines_of_the_table_is_refused() -> None:
    PAGE.write_text("# Tuned settings\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^conf/experiment/README\.md: has no lines <!-- table"):
        publish_table()


def test_a_stroke_stands_in_a_cell_as_github_reads_it() -> None:
    """In a table, GitHub ends a cell at each stroke without a backslash, and shows entities in backticks literally."""
    write_sweep(Path("outputs/grid"), [{"reward_model.path": "a|b"}, {"reward_model.path": "c|d"}], heights=[2.0, 1.0])
    publish(Path("outputs/grid"), "grid")
    assert r"| `reward_model.path=a\|b` |" in PAGE.read_text("utf-8")


def test_an_empty_showcase_reads_well() -> None:
    publish_table()
    assert f"{BEGIN}\nNo record has been published yet.\n{END}" in PAGE.read_text("utf-8")


def test_the_page_of_this_repository_has_what_its_records_say() -> None:
    text = (ROOT / PAGE).read_text("utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == f"\n{make_table(ROOT)}"


def test_the_records_of_this_repository_are_small_and_on_the_page_of_outputs() -> None:
    listed = subprocess.run(["git", "ls-files", SHOWCASE], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in listed.stdout.splitlines()]
    assert sum(file.stat().st_size for file in files) <= LARGEST_SHOWCASE
    page = (ROOT / "outputs" / "README.md").read_text("utf-8")
    assert [
        name for name in {file.relative_to(ROOT / SHOWCASE).parts[0] for file in files} if f"`{name}`" not in page
    ] == []


def test_git_keeps_published_records_and_nothing_else_of_outputs(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    kept = [".gitkeep", "README.md", "showcase/a/0/metrics.jsonl", "showcase/a/0/.hydra/config.yaml"]
    kept += ["showcase/a/sweep.json", "showcase/a/study.db", "showcase/a/test/0_seed_7/samples.jsonl"]
    ignored = ["a/metrics.jsonl", "a/README.md", "reward_models/a/config.json", "showcase/a/0/model/config.json"]
    ignored += ["showcase/a/0/model.safetensors", "showcase/a/report.html", "showcase/a/analysis/curves.csv"]
    ignored += ["showcase/a/0/checkpoint/0000002/state.json", "showcase/a/0/rlhf_sweeps.log", "showcase/a/sweeper.json"]
    for name in (*kept, *ignored):
        (tmp_path / "outputs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "outputs" / name).touch()
    names = [f"outputs/{name}" for name in (*kept, *ignored)]
    told = subprocess.run(
        ["git", "check-ignore", "--no-index", *names], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert told.stdout.splitlines() == [f"outputs/{name}" for name in ignored]
