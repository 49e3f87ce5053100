"""Numbers in any country's writing: which sign is decimal, and what is whole. Expectations by hand."""

from pathlib import Path

import numpy as np
import pytest
from helpers.written_cells import source_of

from analysis.reading.cells import parse_cell


@pytest.mark.parametrize(
    ("name", "text", "updates", "kls"),
    [  # English, German, Swiss, French; the update's thousands alone, and where a decimal sign stands elsewhere
        ("t.tsv", "update\tkl\n1,000\t0.5\n1,001\t1.5\n999\t0.25\n", [999, 1000, 1001], [0.25, 0.5, 1.5]),
        ("t.csv", 'update,kl\n"1,000",0.5\n"1,001",1.5\n999,"1,234.5"\n', [999, 1000, 1001], [1234.5, 0.5, 1.5]),
        ("t.csv", "update;kl\n1.000;0,5\n1.001;1.234,5\n999;1,125\n", [999, 1000, 1001], [1.125, 0.5, 1234.5]),
        ("t.tsv", "update\tkl\n1'000\t0.5\n1'001\t1.5\n", [1000, 1001], [0.5, 1.5]),
        ("t.csv", "update;kl\n1 000;1,5e-4\n1\u202f001;1,5\n", [1000, 1001], [1.5e-4, 1.5]),
        ("t.tsv", "update\tkl\n1,000\t3\n1,001\t4\n", [1000, 1001], [3, 4]),
        ("t.csv", "update;kl\n1.000;3\n1.001;4\n", [1000, 1001], [3, 4]),
        ("t.csv", "update;kl\n1,000;3\n1,001;4\n", [1000, 1001], [3, 4]),
        ("t.csv", "update;kl\n1.000;3\n2.000;4\n", [1, 2], [3, 4]),  # whole numbers as floats
        ("t.csv", "update;kl\n1;1.234\n2;2.345\n", [1, 2], [1.234, 2.345]),
        ("t.csv", "update,kl\n1,1.234\n2,-2.345\n", [1, 2], [1.234, -2.345]),
        ("t.csv", "update,kl\n1,\u22120.5\n2,$1.25\n", [1, 2], [-0.5, 1.25]),
        ("t.csv", 'update,kl\n1,"0,5"\n2,"1,125"\n', [1, 2], [0.5, 1.125]),
        ("t.jsonl", '{"update": "1,000", "kl": "0.5"}\n{"update": 1001, "kl": 1}\n', [1000, 1001], [0.5, 1]),
    ],
)
def test_the_decimal_sign_is_that_of_the_whole_file(
    tmp_path: Path, name: str, text: str, updates: list[float], kls: list[float]
) -> None:
    source = source_of(tmp_path, text, name)
    (run,) = source.runs
    assert run.updates.tolist() == updates
    assert run.select_points("objective/kl")[1].tolist() == kls
    assert source.problems == ()


@pytest.mark.parametrize(
    ("name", "text", "kls", "told"),
    [
        ("t.csv", "update;kl\n1;1,500\n2;1,250\n", [1.5, 1.25], ["1,500 in column kl is read as 1.5"]),
        ("t.tsv", "update\tkl\n1\t1,500\n2\t1,250\n", [1500, 1250], ["1,500 in column kl is read as 1500"]),
        (
            "t.csv",
            "update;kl\n1;0,5\n2;0,7\n3;0.5\n4;1.250\n",
            [0.5, 0.7, 0.5, 1250],
            ["1.250 in column kl is read as"],
        ),
    ],
)
def test_what_can_be_two_numbers_is_decided_by_a_rule_and_told(
    tmp_path: Path, name: str, text: str, kls: list[float], told: list[str]
) -> None:
    source = source_of(tmp_path, text, name)
    assert source.runs[0].select_points("objective/kl")[1].tolist() == kls
    (problem,) = source.problems
    assert told[0] in problem


@pytest.mark.parametrize(
    ("name", "text", "updates", "kls", "told"),
    [
        (  # decimals elsewhere, thousands in what counts
            "t.tsv",
            "update\tkl\n998\t1.2870\n999\t1.2883\n1.000\t1.3000\n1.001\t1.3013\n",
            [998, 999, 1000, 1001],
            [1.287, 1.2883, 1.3, 1.3013],
            "points are decimal, but not in update: 1.001 in column update is read as 1001",
        ),
        (
            "t.csv",
            "step;kl\n999;0,5\n1,000;0,75\n1,001;1,125\n",
            [999, 1000, 1001],
            [0.5, 0.75, 1.125],
            "commas are decimal, but not in step: 1,001 in column step is read as 1001",
        ),
        ("t.csv", "update;kl\n0.500;1.25\n1.000;1.5\n1.500;1.75\n", [0.5, 1, 1.5], [1.25, 1.5, 1.75], None),
        (  # one sign in what counts, the other elsewhere
            "t.csv",
            "update;kl\n1,000;1.000\n2,000;2.000\n3,000;3.000\n",
            [1000, 2000, 3000],
            [1, 2, 3],
            "nothing says whether commas are decimal: 1,000 in column update is read as 1000, "
            "1.000 in column kl is read as 1",
        ),
        (
            "t.csv",
            "update;kl\n1.000;1,000\n2.000;2,000\n",
            [1000, 2000],
            [1, 2],
            "nothing says whether commas are decimal: 1.000 in column update is read as 1000, "
            "1,000 in column kl is read as 1",
        ),
    ],
)
def test_what_counts_is_whole(
    tmp_path: Path, name: str, text: str, updates: list[float], kls: list[float], told: str | None
) -> None:
    source = source_of(tmp_path, text, name)
    assert source.runs[0].updates.tolist() == updates
    assert source.runs[0].select_points("objective/kl")[1].tolist() == kls
    assert source.problems == (() if told is None else (told,))


def test_seeds_and_episodes_are_whole_too(tmp_path: Path) -> None:
    text = "seed\tupdate\tepisode\tkl\n1.001\t1\t960\t0.5\n1.001\t2\t1.024\t0.25\n1.002\t1\t960\t0.125\n"
    source = source_of(tmp_path, text, "t.tsv")
    assert [run.seed for run in source.runs] == [1001, 1002]
    assert source.runs[0].select_points("episode")[1].tolist() == [960, 1024]


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1.000", 1.0, 1000),
        ("100.000", 100.0, 100_000),
        ("1000.000", 1000.0, None),  # no thousands have four digits before them
        ("0.125", 0.125, None),
        ("1,000", 1000, 1.0),
        ("1,000.5", 1000.5, None),
        ("1.000,5", None, 1000.5),
        ("-12.5 %", -0.125, None),
        ("−3", -3, -3),
        ("1e-3", 0.001, 0.001),
        ("$1,000", 1000, 1.0),
        ("-∞", -np.inf, -np.inf),
        ("inf", np.inf, np.inf),
    ],
)
def test_a_cell_where_points_and_where_commas_are_decimal(text: str, point: float | None, comma: float | None) -> None:
    found = parse_cell(text)
    assert found is not None
    assert (found.point, found.comma) == (point, comma)
    assert found.is_plain is not ("%" in text or "$" in text)
