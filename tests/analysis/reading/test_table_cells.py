"""What the cells of a table are: numbers, errors, texts, seeds. Expectations by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.written_cells import source_of

from analysis.reading.sources import read
from analysis.records.runs import RunRecord
from analysis.wording.errors import AnalysisError

NAN = float("nan")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_cells_that_are_no_numbers_are_left_out_and_told(tmp_path: Path, kind: str) -> None:
    kls = ["0.5", "OOM", "0.7", "#DIV/0!", "", "NaN", "-", "null", "inf", "0.9"]
    frame = pd.DataFrame({"update": range(10), "kl": kls, "stage": ["warm"] * 10})
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind in ("csv", "tsv"):
        frame.to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    else:
        rows = frame.to_dict("records")
        text = json.dumps({"log_history": rows}) if kind == "json" else "\n".join(map(json.dumps, rows))
        path.write_text(text, encoding="utf-8")
    source = read(path)
    (run,) = source.runs
    kl = "objective/kl_per_token" if kind == "json" else "objective/kl"  # as TRL's trainers log it
    assert [values.tolist() for values in run.select_points(kl)] == [[0, 2, 9], [0.5, 0.7, 0.9]]
    assert run.updates.tolist() == list(range(10))
    assert source.problems == ("column kl: 2 of 10 cells are no numbers (OOM, #DIV/0!), left out",)


def test_an_export_of_a_chart_tells_its_bad_cells(tmp_path: Path) -> None:
    source = source_of(tmp_path, '"Step","a - kl","b - kl"\n"1,000",0.5,0.6\n"1,001",OOM,0.7\n"1,002",0.9,0.8\n')
    assert [run.updates.tolist() for run in source.runs] == [[1000, 1002], [1000, 1001, 1002]]
    assert source.problems == ("column a - kl: 1 of 3 cells is no number (OOM), left out",)


def test_texts_stay_texts(tmp_path: Path) -> None:
    """Names are texts whatever they look like; choices that are numbers and words are those of a setting."""
    text = "run,update,kl,target,model\n" + "".join(
        f"{run},{update},{update}.5,{target},{model}\n"
        for run, target, model in (("001", "6", "gpt2"), ("1", "auto", "NA"), ("1e3", "6", "gpt2"))
        for update in (1, 2)
    )
    source = source_of(tmp_path, text)
    assert [run.name for run in source.runs] == ["001", "1", "1e3"]
    assert [run.look_up("target") for run in source.runs] == ["6", "auto", "6"]
    assert [run.look_up("model") for run in source.runs] == ["gpt2", None, "gpt2"]
    assert source.problems == ()


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_a_run_may_be_called_as_what_is_missing_elsewhere(tmp_path: Path, kind: str) -> None:
    names = ["NA", "None", "a", "nan", "null"]
    frame = pd.DataFrame([{"run": name, "update": u, "kl": "NA"} for name in names for u in "12"])
    frame.loc[[0, 2, 4, 6, 8], "kl"] = ["1", "2", "3", "4", "5"]
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    source = read(path)
    assert [run.name for run in source.runs] == names
    assert [run.select_points("objective/kl")[1].tolist() for run in source.runs] == [[1], [2], [3], [4], [5]]
    assert source.problems == ()


def test_a_run_without_a_name_is_not_the_one_called_none(tmp_path: Path) -> None:
    source = source_of(tmp_path, "run,update,kl\n,1,5\n,2,6\nNone,1,7\nNone,2,8\n")
    assert [run.name for run in source.runs] == ["None", "unnamed"]


def test_a_known_metric_keeps_its_numbers_however_few_they_are(tmp_path: Path) -> None:
    cells = ["1", "2", *(f"err {n}" for n in range(8))]
    rows = "".join(f"a,{update},{cell},{cell}\n" for update, cell in enumerate(cells))
    source = source_of(tmp_path, f"run,update,reward,x\n{rows}")
    assert source.runs[0].select_points("objective/rlhf_reward")[1].tolist() == [1, 2]
    assert source.runs[0].select_points("x")[1].tolist() == []
    assert source.problems == (
        "column reward: 8 of 10 cells are no numbers (err 0, err 1, err 2, ...), left out",
        "column x: 2 of 10 cells are numbers, the others are not (err 0, err 1, err 2, ...): read as text",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("update,kl\n1,000,5\n1,001,6\n", "row 1 has 3 cells, the header 2; a number with commas must be in quotes"),
        ("update\tkl\n1\t5\n2\t6\t7\n", "row 2 has 3 cells, the header 2"),
        ("update,kl\nOOM,5\n", r"column update: must hold the updates' numbers \(there are: OOM\)"),
        ("update,kl\n,5\n", r"column update: must hold the updates' numbers \(there are none\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        source_of(tmp_path, text)


def test_rows_with_an_end_or_a_name_of_their_own(tmp_path: Path) -> None:
    assert source_of(tmp_path, "update,kl\n1,5,\n2,6,,\n").runs[0].select_points("objective/kl")[1].tolist() == [5, 6]
    (run,) = source_of(tmp_path, "update\tkl\n1\t10\t5\n2\t20\t6\n", "t.tsv").runs  # as R's write.table
    assert (run.updates.tolist(), run.select_points("objective/kl")[1].tolist()) == ([10, 20], [5, 6])


def test_a_damaged_line_costs_itself_alone(tmp_path: Path) -> None:
    source = source_of(tmp_path, '{"step": 1, "kl": 2}\n{"step": 2, "kl"\n{"step": 3, "kl": 4}\n{"step": 4', "t.jsonl")
    assert source.runs[0].updates.tolist() == [1, 3]
    assert source.problems == (
        "t.jsonl: its last line is cut off and left out",
        "t.jsonl: 1 line is damaged and left out (line 2)",
    )


@pytest.mark.parametrize(
    ("value", "seed"),
    [
        (3, 3), (1.0, 1), ("1", 1), ("1.0", 1), (" 20240101 ", 20240101), ("-7", -7), (0.0, 0),
        ("20240101123456789012", 20240101123456789012), (20240101123456789012, 20240101123456789012),
        (True, None), (False, None), (1.5, None), ("1.5", None), ("a", None), (None, None), (NAN, None),
        (float("inf"), None), (1e300, None), ("", None), ("1e3", None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_seeds_however_they_are_written(value: object, seed: int | None) -> None:
    run = RunRecord("made", {"update": np.empty(0)}, {"seed": value})
    assert run.seed == seed
    assert seed is None or run.look_up("seed") == seed


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_seeds_of_a_table(tmp_path: Path, kind: str) -> None:
    """A blank one makes floats of the others in other readers."""
    seeds = ["20240101123456789012", "20240101123456789013", "1.0", "1", ""]
    rows = [{"seed": seed, "update": 2 * n + i, "kl": i} for n, seed in enumerate(seeds) for i in (0, 1)]
    if kind == "csv":
        pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    else:
        (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    runs = read(tmp_path / f"t.{kind}").runs
    assert [run.seed for run in runs] == [20240101123456789012, 20240101123456789013, 1, None]
    assert [run.name for run in runs] == [
        "seed 20240101123456789012",
        "seed 20240101123456789013",
        "seed 1",
        "seed none",
    ]


@pytest.mark.parametrize(
    ("cells", "told", "kept"),
    [
        (["0", "0", "OOM", "OOM"], "column x: 2 of 4 cells are no numbers (OOM), left out", [0, 0]),
        (
            ["5", "OOM", "#DIV/0!", "#NAME?"],
            "column x: 3 of 4 cells are no numbers (OOM, #DIV/0!, #NAME?), left out",
            [5],
        ),
        (["5", "a", "b", "c"], "column x: 1 of 4 cells is a number, the others are not (a, b, c): read as text", []),
        (["a", "b", "c", ""], None, []),
        (["-", "NA", "nan", "null"], None, []),
    ],
)
def test_what_a_column_of_numbers_and_texts_is(
    tmp_path: Path, cells: list[str], told: str | None, kept: list[float]
) -> None:
    rows = "".join(f"{update},0.5,{cell}\n" for update, cell in enumerate(cells))
    source = source_of(tmp_path, f"update,kl,x\n{rows}")
    assert source.runs[0].select_points("x")[1].tolist() == kept
    assert source.problems == ((told,) if told else ())


def test_a_choice_of_numbers_and_words_is_a_setting_where_the_updates_start_again(tmp_path: Path) -> None:
    text = "".join(f"0,{lr},{update},{update}.5\n" for lr in ("0.1", "0.2", "auto") for update in (1, 2))
    source = source_of(tmp_path, f"seed,lr,update,kl\n{text}")
    assert [run.look_up("lr") for run in source.runs] == ["0.1", "0.2", "auto"]
    assert source.problems == ()
