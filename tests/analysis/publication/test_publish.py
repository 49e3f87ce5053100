"""The copy of a record: it says what the original says, is small, and tells nothing of the machine."""

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.publishable import set_key
from helpers.publishable import sweep as sweep
from helpers.records import rows, write_run

from analysis.command import main
from analysis.output.charts import Chart
from analysis.output.parts import Part, Rows
from analysis.publication import publish as publishing
from analysis.publication.copying import thin_samples
from analysis.publication.publish import publish
from analysis.reading.folders import read_folder
from analysis.results.results import Results
from analysis.views.compare import compare_view
from analysis.views.config import config_view
from analysis.views.curves import curves_view
from analysis.views.health import health_view
from analysis.views.samples import samples_view
from analysis.views.sweep import sweep_view
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Run, Sweep, salvage

View = Callable[[Results], Sequence[Part]]
VIEWS: list[View] = [
    lambda results: curves_view(results, None, None, None, None),
    lambda results: compare_view(results, None, None),
    sweep_view,
    health_view,
    config_view,
    samples_view,
]


def write(part: Part) -> object:
    """A part as plain data; charts are drawn from the same results as their tables."""
    return list(part.rows) if isinstance(part, Rows) else None if isinstance(part, Chart) else part


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_copy_says_what_the_original_says(sweep: Path) -> None:
    publish(sweep, "grid")
    original, copy = (Results(read_folder(Sweep(place))) for place in (sweep, Path("outputs/showcase/grid")))
    for view in VIEWS:
        texts = [repr([write(part) for part in view(results)]) for results in (original, copy)]
        assert texts[0] == texts[1].replace("outputs/showcase/grid", "outputs/grid")
        assert len(texts[0]) > 100


def test_the_copy_is_whole_and_without_problems(sweep: Path) -> None:
    publish(sweep, "copy")
    source = read_folder(Sweep(Path("outputs/showcase/copy")))
    assert (source.problems, [run.problems for run in source.runs]) == ((), [()] * 4)
    assert source.study.best_value == read_folder(Sweep(sweep)).study.best_value


def test_nothing_is_copied_that_the_analysis_does_not_read(sweep: Path) -> None:
    publish(sweep, "copy")
    of_run = {"run.json", "summary.json", "metrics.jsonl", ".hydra/overrides.yaml"}
    expected = {"sweep.json", "study.db", "0/samples.jsonl", "test/1_seed_7/samples.jsonl"}
    expected |= {f"{run}/{name}" for run in ("0", "1", "2", "test/1_seed_7") for name in of_run}
    assert list_files(Path("outputs/showcase/copy")) == expected


def test_a_single_run_is_published_too_and_its_rows_are_the_same_bytes(sweep: Path) -> None:
    publish(sweep / "1", "one_run")
    copy = Path("outputs/showcase/one_run")
    assert (copy / "metrics.jsonl").read_bytes() == (sweep / "1" / "metrics.jsonl").read_bytes()
    assert salvage(Run(copy)).problems == ()


def test_paths_in_the_working_folder_become_relative(sweep: Path) -> None:
    here = Path.cwd()
    set_key(sweep / "1", "reward_model.path", f"{here}/outputs/reward_models/mine")
    hydra = {"hydra": {"runtime": {"cwd": str(here), "output_dir": f"{here}/outputs/grid/1"}}}
    Run(sweep / "1").hydra_file.write_text(yaml.safe_dump(hydra), encoding="utf-8")
    with sqlite3.connect(sweep / "study.db") as study:
        note = json.dumps(f"{here}/outputs/grid/1/x: in /usr/lib/python3/site-packages/torch/nn.py")
        study.execute("INSERT INTO trial_user_attributes VALUES (99, 1, 'message', ?)", [note])
    publish(sweep, "copy")
    copy = Run(Path("outputs/showcase/copy/1"))
    assert (copy.start() or {})["config"]["reward_model"]["path"] == "outputs/reward_models/mine"
    assert yaml.safe_load(copy.overrides_file.read_text("utf-8")) == ["reward_model.path=outputs/reward_models/mine"]
    runtime = yaml.safe_load(copy.hydra_file.read_text("utf-8"))["hydra"]["runtime"]
    assert runtime == {"cwd": ".", "output_dir": "outputs/showcase/copy/1"}
    notes = read_folder(Sweep(Path("outputs/showcase/copy"))).study.trials[0].user_attrs
    assert notes["message"] == "outputs/showcase/copy/1/x: in nn.py"


def test_a_project_that_has_moved_since_has_no_other_paths_than_before(sweep: Path) -> None:
    hydra = {"hydra": {"runtime": {"cwd": "/old/place", "output_dir": "/old/place/outputs/grid/1"}}}
    Run(sweep / "1").hydra_file.write_text(yaml.safe_dump(hydra), encoding="utf-8")
    set_key(sweep / "1", "dataset.path", "/old/place/pairs.jsonl")
    publish(sweep, "copy")
    start = Run(Path("outputs/showcase/copy/1")).start() or {}
    assert start["config"]["dataset"]["path"] == "pairs.jsonl"


def test_a_path_outside_of_the_project_is_refused(sweep: Path) -> None:
    set_key(sweep / "2", "reward_model.path", "/data/models/mine")
    with pytest.raises(
        AnalysisError, match=r"^2/\.hydra/overrides\.yaml: .*/data/models/mine.*outputs/reward_models/NAME"
    ):
        publish(sweep, "copy")
    assert list_files(Path("outputs")) & {"showcase", "showcase/copy/sweep.json"} == set()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("see {home}/notes", "0/samples.jsonl, line 2: contains the home folder of "),
        ("done on machine-7", ""),  # in an answer that is any word
    ],
)
def test_a_home_folder_is_refused_with_file_and_line(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "machine-7")
    Run(sweep / "0").append_samples([{"update": 12, "prompt": "p", "response": text.format(home="/home/ada")}])
    if not named:
        publish(sweep, "copy")
        return
    with pytest.raises(AnalysisError, match=f"^{named}"):
        publish(sweep, "copy")


def test_the_name_of_the_host_is_refused(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "machine-7")
    set_key(sweep / "2", "dataset.path", "machine-7:data/mine")
    with pytest.raises(AnalysisError, match=r"^2/\.hydra/overrides.yaml, line 1: contains the name of this host"):
        publish(sweep, "copy")


def test_a_database_elsewhere_and_fingerprints_are_left_out(sweep: Path) -> None:
    url = "postgresql://ada@database.example/studies"
    start = {**(Sweep(sweep).start() or {}), "references": {"${oc.env:X}": "abc"}}
    Sweep(sweep).write_start({**start, "arguments": ["-m", f"hydra.sweeper.storage={url}", "ppo.lr=1e-4,1e-5"]})
    overrides = {"hydra": ["hydra.mode=MULTIRUN", f"hydra.sweeper.storage={url}"], "task": ["ppo.lr=1e-4"]}
    hydra = {"hydra": {"overrides": overrides, "sweeper": {"storage": url}}}
    Sweep(sweep).hydra_file.write_text(yaml.safe_dump(hydra), encoding="utf-8")
    publish(sweep, "copy")
    copy = Sweep(Path("outputs/showcase/copy"))
    written = copy.start() or {}
    assert (written["arguments"], "references" in written) == (["-m", "ppo.lr=1e-4,1e-5"], False)
    hydra = yaml.safe_load(copy.hydra_file.read_text("utf-8"))["hydra"]
    assert hydra == {
        "overrides": {"hydra": ["hydra.mode=MULTIRUN"], "task": ["ppo.lr=1e-4"]},
        "sweeper": {"storage": None},
    }


def test_a_copy_is_brought_up_to_date_and_no_other_record_takes_its_place(sweep: Path) -> None:
    publish(sweep / "1", "copy")
    Run(sweep / "1").append_metrics({"update": 13, "eval/score": 9.0})
    publish(sweep / "1", "copy")
    assert Run(Path("outputs/showcase/copy")).metrics()[-1]["eval/score"] == 9.0
    with pytest.raises(AnalysisError, match=r"^outputs/showcase/copy: holds another record"):
        publish(sweep / "2", "copy")
    with pytest.raises(AnalysisError, match=r"^outputs/showcase/copy: holds another record"):
        publish(sweep, "copy")


def make_samples(updates: Sequence[int]) -> list[dict[str, Any]]:
    return [{"update": update, "prompt": prompt, "score": 1.0} for update in updates for prompt in ("a", "b")]


def test_thinning_keeps_the_first_the_best_and_the_last_evaluation_whole() -> None:
    samples = make_samples([2, 4, 6, 8, 10])
    assert [row["update"] for row in thin_samples(samples, 6.0)] == [2, 2, 6, 6, 10, 10]
    assert [row["update"] for row in thin_samples(samples, None)] == [2, 2, 10, 10]
    assert thin_samples([], 6.0) == []


def test_a_record_that_is_too_large_loses_samples_first_and_says_so(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = Run(sweep / "2").summary() or {}
    assert best["best_update"] == 12
    Run(sweep / "2").append_samples(make_samples(range(1, 13)))
    Run(sweep / "2").write_summary(best)  # with the digest of all samples
    size = sum(path.stat().st_size for path in (sweep / "2").glob("*.json*"))
    monkeypatch.setattr(
        publishing, "LARGEST_SHOWCASE", size - 500
    )  # 10 of 12 evaluations, which are left out, have more
    _, notes = publish(sweep / "2", "thin")
    copy = Run(Path("outputs/showcase/thin"))
    assert notes == ["samples.jsonl has the first, the best and the last evaluation only, to keep to the limit"]
    assert (copy.folder / "README.md").read_text("utf-8") == f"{notes[0]}.\n"
    assert [row["update"] for row in copy.samples()] == [1, 1, 12, 12]
    assert copy.find_changed_files(copy.summary() or {}, copy.samples_file) == []
    with pytest.raises(
        AnalysisError, match=r"others have 0\.01 MB; largest: metrics\.jsonl \(0\.01 MB\), .*eval\.num_prompts"
    ):
        publish(sweep / "1", "second")
    assert list_files(Path("outputs/showcase")) & {"second/run.json"} == set()


def test_an_unfinished_record_is_published_with_how_far_it_came(sweep: Path) -> None:
    write_run(Path("outputs/stopped"), rows(5), end=None)
    paths, notes = publish(Path("outputs/stopped"), "stopped")
    assert notes == ["unfinished: update 5 of 30"]
    row = paths[-1].read_text("utf-8")
    assert "[stopped](../../outputs/showcase/stopped), unfinished: update 5 of 30 |" in row
    start = Sweep(sweep).start() or {}
    Sweep(sweep).write_start({**start, "num_trials": 8})
    assert publish(sweep, "grid")[1] == ["unfinished: 3 of 8 trials ended"]


def test_wrong_places_and_names_are_refused_in_one_line(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sweep, "outputs/again")
    for words, line in {
        ("outputs/none", "x"): "outputs/none: must be the folder of a run or a sweep",
        ("outputs", "x"): "outputs: must be the folder of one run or one sweep (it holds outputs/again, outputs/grid)",
        ("outputs/grid", "../x"): "NAME ../x: must match [A-Za-z0-9][A-Za-z0-9_.-]*",
        ("outputs/grid", "x", "--experiment", "My"): "--experiment My: must match [a-z0-9_]+",
        ("outputs/grid", "x", "--experiment", "smollm2_human_like"): "conf/experiment/smollm2_human_like.yaml: is not "
        "the setting of this record; choose another --experiment",
        ("outputs/grid",): "publish: must be given a FOLDER and a NAME, or --table alone",
        ("outputs/grid", "x", "--table"): "publish: must be given a FOLDER and a NAME, or --table alone",
        (): "publish: must be given a FOLDER and a NAME, or --table alone",
    }.items():
        assert main(["publish", *words]) == 2
        assert capsys.readouterr().err == f"error: {line}\n"
    monkeypatch.chdir(tmp_path)
    assert main(["publish", "--table"]) == 2
    assert "is no checkout of the project (it has no pyproject.toml beside conf/experiment)" in capsys.readouterr().err
