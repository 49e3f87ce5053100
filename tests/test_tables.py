"""Tables of metrics under the names that people give them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.reading.sources import read

PUBLISHED = "update,reward,cumulative_reward,policy_loss,entropy,kl\n0,1.5,1.5,2.8,1.7,0.07\n1,0.5,2.0,,1.6,0.06\n"


def test_the_published_columns(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(PUBLISHED, encoding="utf-8")
    source = read(path)
    (run,) = source.runs
    assert (source.kind, run.name) == ("table", "published")
    assert run.updates.tolist() == [0, 1]
    assert run.curve("objective/rlhf_reward")[1].tolist() == [1.5, 0.5]
    assert run.curve("cumulative_reward")[1].tolist() == [1.5, 2.0]
    assert run.curve("loss/policy_avg")[1].tolist() == [2.8]
    assert run.curve("objective/entropy")[1].tolist() == [1.7, 1.6]
    assert run.curve("objective/kl")[1].tolist() == [0.07, 0.06]


def test_other_spellings_and_our_own_names(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("Step\tPolicy Loss\tKL Divergence\teval/score\n2\t1\t3\t5\n1\t2\t4\t6\n", encoding="utf-8")
    (run,) = read(path).runs
    assert run.updates.tolist() == [1, 2]
    assert run.curve("loss/policy_avg")[1].tolist() == [2, 1]
    assert run.curve("objective/kl")[1].tolist() == [4, 3]
    assert run.curve("eval/score")[1].tolist() == [6, 5]


def test_several_runs_in_one_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "reward_model.name": ["a"] * 4 + ["b"] * 2,
            "seed": [0, 0, 1, 1, 0, 0],
            "kl_coef": [0.1] * 4 + [0.2] * 2,
            "step": [0, 1] * 3,
            "reward": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "constant": [7.0] * 6,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    runs = read(tmp_path / "t.parquet").runs
    assert [(run.value("reward_model"), run.seed, run.value("kl_coef")) for run in runs] == [
        ("a", 0, 0.1), ("a", 1, 0.1), ("b", 0, 0.2),
    ]  # fmt: skip
    assert [run.curve("objective/rlhf_reward")[1].tolist() for run in runs] == [[1, 2], [3, 4], [5, 6]]
    assert runs[0].curve("constant")[1].tolist() == [7, 7]
    assert len({run.name for run in runs}) == 3


def test_rows_without_an_update_column_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("reward\n1\n2\n3\n", encoding="utf-8")
    np.testing.assert_array_equal(read(tmp_path / "t.csv").runs[0].updates, [0, 1, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as a table"),
        ("update,reward\n", "holds no row"),
        ("a,b\nx,y\n", "no column but none holds numbers"),
        ("update\n1\n2\n", "no column but update holds numbers"),
    ],
)
def test_tables_that_hold_nothing(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(AnalysisError, match=message):
        read(tmp_path / "t.csv")


def test_a_run_begins_where_the_updates_start_again(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("update;kl_coef;reward\n0;0.1;1\n1;0.1;2\n0;0.2;3\n1;0.2;4\n", encoding="utf-8")
    source = read(tmp_path / "t.csv")
    assert source.axes == ["kl_coef"]
    assert [(run.name, run.value("kl_coef")) for run in source.runs] == [("t 0", 0.1), ("t 1", 0.2)]
    assert source.runs[1].curve("objective/rlhf_reward")[1].tolist() == [3, 4]


def test_an_update_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("update,reward\n0,1\n0,2\n", encoding="utf-8")
    with pytest.raises(AnalysisError, match="update 0 and others stand there twice"):
        read(tmp_path / "t.csv")
