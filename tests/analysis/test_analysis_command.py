"""The analysis's command line: what it writes and prints, and errors in one line."""

import json
from pathlib import Path

import pytest
from conftest import CommandLine
from helpers.records import rows, write_run, write_sweep

from analysis.command import main

POINTS = [{"ppo.kl_coef": kl_coef} for kl_coef in (0.01, 0.02)]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    write_sweep(tmp_path / "outputs" / "grid", POINTS, updates=12, heights=[1.0, 2.0])
    return tmp_path / "outputs" / "grid"


def test_every_command_writes_into_the_sweeps_folder(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("curves", "compare", "sweep", "health", "report"):
        assert main([command, str(sweep)]) == 0, command
        assert "written: " in capsys.readouterr().out
    names = {path.name for path in (sweep / "analysis").iterdir()}
    assert {"curves.png", "curves.svg", "curves.csv", "phases.json", "comparison.csv", "health.json"} <= names
    assert (sweep / "report.html").stat().st_size > 1_000_000  # it carries its plotting library
    assert main(["watch", "--once", str(sweep)]) == 0
    assert "2 trials done: 2 complete" in capsys.readouterr().out


def test_what_is_written_changes_nothing_that_is_read(sweep: Path, tmp_path: Path) -> None:
    for _ in range(2):
        for command in ("curves", "compare", "sweep", "health", "report"):
            main([command, str(sweep)])
        written = {path: path.read_bytes() for path in [*(sweep / "analysis").iterdir(), sweep / "report.html"]}
    main(["report", str(sweep), "--out", str(tmp_path / "again.html")])
    assert (tmp_path / "again.html").read_bytes() == (sweep / "report.html").read_bytes()
    for command in ("curves", "compare", "sweep", "health"):
        main([command, str(sweep), "--out", str(tmp_path / "again")])
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == {
        path.name: content for path, content in written.items() if path.parent.name == "analysis"
    }


def test_a_table_goes_to_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("update,reward,kl\n" + "\n".join(f"{n},{n / 9},0.1" for n in range(9)), encoding="utf-8")
    assert main(["curves", "t.csv"]) == 0
    assert Path("outputs/t_analysis/curves.svg").exists()


def test_options_of_curves_that_are_wrong(tmp_path: Path, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main(["curves", str(sweep), "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err == f"error: --out {tmp_path / 'file'}: is a file, must be a folder\n"
    for value in ("0", "-3", "x", "1.5"):
        with pytest.raises(SystemExit, match="2"):
            main(["curves", str(sweep), f"--smooth={value}"])
        assert f"{value}: must be a whole number, 1 or more" in capsys.readouterr().err


def test_what_could_not_be_read_is_noted_and_the_rest_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "run", rows(9), end=None)
    with (tmp_path / "run" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"update": 10, "objec')
    assert main(["curves", str(tmp_path / "run"), "--metrics", "eval/score", "--format", "svg"]) == 0
    assert capsys.readouterr().err == "note: run: metrics.jsonl: its last line is cut off and left out\n"
    assert [path.name for path in (tmp_path / "run" / "analysis").glob("curves.*g")] == ["curves.svg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["curves", "nowhere"], "nowhere: there is no such file or folder"),
        (["report", "."], "holds no run and no sweep"),
        (
            ["compare", "{sweep}", "--by", "ppo.beta"],
            "ppo.beta: no run has such a key (the runs differ in: ppo.kl_coef)",
        ),
        (["curves", "{sweep}", "--by", "beta"], "beta: no run has such a key (the runs differ in: ppo.kl_coef)"),
        (["curves", "{sweep}", "--metrics", "evil/score"], "evil/score"),
        (["compare", "{sweep}", "--metric", "evil/score"], "evil/score"),
        (["watch", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    arguments: list[str], message: str, sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (sweep.parents[1] / "empty").mkdir()
    monkeypatch.chdir(sweep.parents[1] / "empty")
    assert main([argument.format(sweep=sweep) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    "arguments", [[], ["curves"], ["curves", "x", "--format", "gif"], ["watch", "x", "--interval", "-1"]]
)
def test_wrong_options_are_told_by_the_parser(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (refusal,) = capsys.readouterr().err.splitlines()
    assert refusal.startswith("error: ")


def test_as_a_command_it_answers_at_once_and_ends_with_its_reader(sweep: Path, command_line: CommandLine) -> None:
    done = command_line("compare", str(sweep), "--by", "kl_coef", module="analysis")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    content = json.loads((sweep / "analysis" / "comparison.json").read_text(encoding="utf-8"))
    assert content["by"] == "ppo.kl_coef"
    assert command_line("--help", module="analysis").stdout.startswith("usage: python -m analysis")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("cruves x", "cruves: there is no such command; did you mean curves? (allowed: curves, compare, sweep, "),
        ("zebra", "zebra: there is no such command (allowed: curves, "),
        ("curves output/grid", "output/grid: there is no such file or folder; did you mean outputs/grid?"),
        ("watch outputs/gird --once", "outputs/gird: there is no such folder; did you mean outputs/grid?"),
        (
            "curves outputs/grid --beside outputs/grid/0/metric.json",
            "no such file; did you mean outputs/grid/0/metrics",
        ),
        (
            "curves outputs/grid --smoth 3",
            "--smoth: there is no such option; did you mean --smooth? (allowed: ",
        ),
        ("compare outputs/grid --by ppo.klcoef", "ppo.klcoef: no run has such a key; did you mean ppo.kl_coef? ("),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest_right_one(
    words: str, line: str, sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(sweep.parents[1])
    try:
        status = main(words.split())
    except SystemExit as end:
        status = end.code
    assert status == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert line in told
