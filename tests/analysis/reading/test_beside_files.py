"""Files of other people's curves: which can be read, and the one line about those that cannot."""

from pathlib import Path

import pytest
from conftest import ROOT, Compose

from analysis.reading.beside import read_beside
from analysis.reading.metric_names import is_metric
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.config.metric_names import list_metric_names

PUBLISHED = ROOT / "analysis" / "published" / "smollm2_human_like.csv"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_published_readings() -> None:
    """By the numbers that its page gives: 90 updates, rewards that add up to 40.99, a last sum of 40.6."""
    (run,) = read_beside([PUBLISHED])
    assert run.name == "smollm2_human_like"
    assert len(run.updates) == 90
    assert run.metrics["objective/rlhf_reward"].sum() == pytest.approx(40.99, abs=0.005)
    assert run.metrics["cumulative_reward"][-1] == pytest.approx(40.6, abs=0.05)
    names = {
        "update",
        "objective/rlhf_reward",
        "cumulative_reward",
        "loss/policy_avg",
        "objective/entropy",
        "objective/kl",
    }
    assert run.metrics.keys() == names


def test_files_of_one_stem_are_told_apart(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name / "log.csv", "update,kl\n1,0.1\n") for name in "ab")
    third = write(tmp_path / "other.csv", "update,kl\n1,0.1\n")
    assert [run.name for run in read_beside([first, second, third, third])] == [str(first), str(second), "other"]


def test_a_column_may_have_its_full_name(tmp_path: Path, compose_config: Compose) -> None:
    path = write(tmp_path / "a.csv", "update,trl_compat/policy/entropy_avg\n0,1.7\n1,1.6\n")
    (run,) = read_beside([path])
    assert run.metrics["trl_compat/policy/entropy_avg"].tolist() == [1.7, 1.6]
    recorded = list_metric_names(compose_config("ppo=trl"))
    assert "trl_compat/policy/entropy_avg" in recorded
    wrong = [name for name in recorded if "/" in name and not is_metric(name) and name != "objective/kl_coef"]
    assert wrong == []


def test_what_could_not_be_read_is_reported(tmp_path: Path) -> None:
    (run,) = read_beside([write(tmp_path / "a.csv", "kl\n0.1\n0.2\n")])
    assert run.problems == ("no column counts the updates: rows are counted from 0",)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("none.csv", None, "none.csv: there is no such file"),
        ("a.md", "kl\n1\n", "a.md: must be a table (.csv, .tsv, .parquet, .jsonl, .json)"),
        ("a.csv", "update,what\n1,a\n2,b\n", "a.csv: no column but update holds numbers (there are: update, what)"),
        (
            "a.csv",
            "seed,update,kl\n1,1,2\n2,1,2\n",
            "a.csv: holds 2 runs (seed 1 and seed 2), but must hold one; split it",
        ),
    ],
)
def test_a_file_that_cannot_be_drawn_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | None, problem: str
) -> None:
    if text is not None:
        write(tmp_path / name, text)
    with pytest.raises(AnalysisError) as error:
        read_beside([tmp_path / name])
    assert str(error.value) == f"--beside {tmp_path}/{problem}"


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(AnalysisError, match=r"^--beside .*/d\.csv: is a folder, but must be a table \(\.csv, "):
        read_beside([tmp_path / "d.csv"])
