"""What is not published, and why: names, files and texts that are refused before anything is written."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from helpers.publishable import set_key
from helpers.publishable import sweep as sweep

from analysis.publication.publish import publish
from analysis.reading.folders import read_folder
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Run, Sweep

STORED = """reward_model:
  arguments:
    storage: disk
hydra:
  sweeper:
    # a comment
    sampler: tpe
    storage: postgresql://database.example/x
    other: 1
  sweep:
    storage: mine
"""


def test_only_the_sweepers_storage_is_left_out(sweep: Path) -> None:
    run = Run(sweep / "1")
    setting = "reward_model:\n  arguments:\n    storage: disk\n"
    run.config_file.write_text(setting, encoding="utf-8")
    run.hydra_file.write_text(STORED, encoding="utf-8")
    publish(sweep, "copy")
    copy = Run(Path("outputs/showcase/copy/1"))
    assert copy.config_file.read_text("utf-8") == setting
    expected = STORED.replace("storage: postgresql://database.example/x", "storage: null")
    assert copy.hydra_file.read_text("utf-8") == expected


GARBAGE = b"SQLite format 3\0" + b"\xff" * 2000


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("study.db", GARBAGE),
        ("study.db", b"\xff" * 99),
        ("1/.hydra/config.yaml", b"a: [1"),
        ("1/.hydra/config.yaml", b"a: \xff"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(sweep: Path, file: str, content: bytes) -> None:
    (sweep / file).parent.mkdir(exist_ok=True)
    (sweep / file).write_bytes(content)
    with pytest.raises(AnalysisError, match=rf"^(outputs/grid/)?{file}: cannot be read \(.+\)$"):
        publish(sweep, "copy")
    assert not Path("outputs/showcase").exists()


def test_problems_of_the_record_become_notes(sweep: Path) -> None:
    with Run(sweep / "1").metrics_file.open("ab") as metrics:
        metrics.write(b"\xff garbage\n")
    _, notes = publish(sweep, "copy")
    (run,) = [run for run in read_folder(Sweep(Path("outputs/showcase/copy"))).runs if run.name == "1"]
    assert run.problems != ()
    assert notes == [f"1: {problem}" for problem in run.problems]


def test_a_copy_loses_what_the_record_has_no_longer(sweep: Path) -> None:
    publish(sweep, "copy")
    copy = Path("outputs/showcase/copy")
    assert (copy / "test").is_dir()
    shutil.rmtree(sweep / "test")
    publish(sweep, "copy")
    assert sorted(path.name for path in copy.iterdir() if path.is_dir()) == ["0", "1", "2"]
    assert sorted(path.name for path in Path("outputs").iterdir()) == ["grid", "showcase"]


def test_nothing_is_written_where_the_page_has_no_place_for_the_table(sweep: Path) -> None:
    Path("conf/experiment/README.md").write_text("# Tuned settings\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^conf/experiment/README\.md: has no lines <!-- table"):
        publish(sweep, "copy")
    assert not Path("outputs/showcase").exists()


def test_what_the_analysis_left_beside_a_record_is_no_record(sweep: Path) -> None:
    """After a change of branch, git leaves what it ignores."""
    left = Path("outputs/showcase/left/analysis/curves.csv")
    left.parent.mkdir(parents=True)
    left.write_text("update\n", encoding="utf-8")
    publish(sweep / "1", "copy")
    assert "[left]" not in Path("conf/experiment/README.md").read_text("utf-8")
    publish(sweep / "2", "left")
    assert Run(Path("outputs/showcase/left")).metrics()


@pytest.mark.parametrize(
    "name", ["base", "model", "wandb", "build", "dist", "analysis", "checkpoint", "report.html", "x.log"]
)
@pytest.mark.parametrize("has_git", [True, False])
def test_a_name_that_git_ignores_is_refused(sweep: Path, name: str, has_git: bool) -> None:
    if has_git:
        shutil.copy(ROOT / ".gitignore", ".")
        subprocess.run(["git", "init", "-q"], check=True)
    with pytest.raises(
        AnalysisError, match=rf"^NAME {name}: git would ignore outputs/showcase/{name}/[\w./]+ \(\.giti"
    ):
        publish(sweep / "1", name)
    assert not Path("outputs/showcase").exists()


def test_git_may_ignore_more_names_than_ours(sweep: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    Path(".gitignore").write_text("mine/\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match=r"^NAME mine: git would ignore"):
        publish(sweep / "1", "mine")
    publish(sweep / "1", "model")


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("file:///data/alice/conf", "/data/alice/conf"),
        ("file:/data/alice/conf", "/data/alice/conf"),
        ("file:///C:/data/conf", "C:/data/conf"),
        ("sqlite:////data/alice/x.db", "/data/alice/x.db"),
    ],
)
def test_a_path_in_a_url_is_a_path(sweep: Path, value: str, named: str) -> None:
    set_key(sweep / "2", "dataset.path", value)
    with pytest.raises(AnalysisError, match=rf"contains {named}, a path of this machine"):
        publish(sweep, "copy")


def test_other_urls_are_no_paths_and_those_of_the_project_become_relative(sweep: Path) -> None:
    urls = [
        "https://a.example/b/c/d",
        "sqlite:///data/alice/x.db",
        "pkg://rlhf_sweeps/conf/x",
        f"file://{Path.cwd()}/data/x",
    ]
    set_key(sweep / "2", "dataset.path", " ".join(urls))
    publish(sweep, "copy")
    path = (Run(Path("outputs/showcase/copy/2")).start() or {})["config"]["dataset"]["path"]
    assert path.split() == [*urls[:3], "file://data/x"]


@pytest.mark.parametrize("url", ["file:///someone/conf", "sqlite:////someone/x.db"])
def test_the_home_folder_in_a_url_is_refused(sweep: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOME", "/someone")
    set_key(sweep / "2", "dataset.path", url)
    with pytest.raises(AnalysisError, match=r"^2/\.hydra/overrides.yaml, line 1: contains the home folder of"):
        publish(sweep, "copy")


def test_a_text_may_name_the_home_folder(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/someone")
    Run(sweep / "0").append_samples(
        [{"update": 12, "prompt": "p", "response": "look in /someone for it, or in /someone/."}]
    )
    publish(sweep, "copy")
    Run(sweep / "0").append_samples([{"update": 12, "prompt": "p", "response": "look in /someone/it"}])
    with pytest.raises(AnalysisError, match=r"^0/samples\.jsonl, line 3: contains the home folder of"):
        publish(sweep, "copy")
