"""Any bytes in any file of a record: what looks at it afterwards never fails, and says what it cannot read."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from helpers.records import rows, write_run, write_sweep
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analysis.reading.sources import read
from analysis.records.objective import parse_list
from analysis.wording.errors import AnalysisError
from rlhf_sweeps.record import Run, Sweep, find_owner, find_records, list_runs, salvage, salvage_hydra, salvage_samples

OF_RUN = (
    "run.json", "metrics.jsonl", "samples.jsonl", "summary.json", "stop", ".hydra/config.yaml", ".hydra/hydra.yaml",
    ".hydra/overrides.yaml",
)  # fmt: skip
OF_SWEEP = ("sweep.json", "sweeper.json", "multirun.yaml", "comparison.json", "optimization_results.yaml", "study.db")
KEYS = st.sampled_from(["update", "step", "config", "schema_version", "status", "best", "hydra", "objective", "seed"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 1e308])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
LINES = st.lists(VALUES.map(json.dumps) | st.text(max_size=12), max_size=6).map("\n".join)
CONTENTS = (
    st.binary(max_size=60)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | LINES.map(lambda text: (text + "\n").encode(errors="surrogatepass"))
    | st.text(alphabet="{}[]:,-&*!?|>'\"%@` \n\tabé01.e+", max_size=40).map(str.encode)
)


def damaged(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("num", [30, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OF_RUN)
def test_a_run_with_any_bytes_is_salvaged(name: str, num: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        run = write_run(Path(place) / "run", rows(3), texts=[("a", "b", "c")], overrides=["ppo.lr=1e-4"])

        @settings(max_examples=num, derandomize=True, deadline=None, database=None)
        @example(content=b"5")
        @example(content=b"2001-13-45")
        @example(content=b'{"update": 1' + b"0" * 400 + b"}\n")
        @example(content=b"[" * 5000)
        @example(content=b'{"update": 3}\n{"update": true}\n{"update": 1e400}\n')
        @given(content=CONTENTS)
        def check(content: bytes) -> None:
            damaged(run.folder, name, content)
            whole = salvage(run)
            assert all(isinstance(row, dict) for row in whole.rows)
            assert [row["update"] for row in whole.rows] == sorted({row["update"] for row in whole.rows})
            assert isinstance(whole.start["config"], dict)
            assert isinstance(whole.summary, dict)
            assert all(isinstance(text, str) and "\n" not in text for text in whole.problems)
            # What is not damaged is read as ever.
            if name != "metrics.jsonl":
                assert len(whole.rows) == 3
            if name != ".hydra/overrides.yaml":
                assert whole.overrides == ("ppo.lr=1e-4",)
            problems: list[str] = []
            assert isinstance(salvage_hydra(run, problems), dict)
            samples, _ = salvage_samples(run)
            assert all(isinstance(row, dict) for row in samples)
            assert run.stop_reason() is None or run.stop_reason() != ""
            assert [place.folder for place in find_records(run.folder)] in ([run.folder], [])
            find_owner(run.folder / name)

        check()


@pytest.mark.parametrize("num", [4, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*OF_SWEEP, *(f"0/{name}" for name in OF_RUN)])
def test_a_sweep_with_any_bytes_is_read_or_refused_in_one_line(name: str, num: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sweep"
        write_sweep(folder, [{"ppo.lr": 1e-4}, {"ppo.lr": 1e-3}], updates=4)

        @settings(
            max_examples=num,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @example(content=b'{"update": 1, "eval/score": 1' + b"0" * 400 + b"}\n")
        @given(content=CONTENTS)
        def check(content: bytes) -> None:
            damaged(folder, name, content)
            assert len(list_runs(Sweep(folder))) >= 1
            list(find_records(folder))
            try:
                said, num_runs = read(folder).problems, len(read(folder).runs)
            except AnalysisError as error:
                said, num_runs = (str(error),), 1
            assert num_runs >= 1
            assert all("\n" not in text for text in said)

        check()


def test_the_writers_own_readers_take_what_was_cut_off(tmp_path: Path) -> None:
    """After a kill in the middle of a line, at every byte."""
    run = Run(tmp_path)
    run.append_metrics({"update": 1, "text": "é\u2028"})
    whole = run.metrics_file.read_bytes()
    run.append_metrics({"update": 2, "text": "é\u2028"})
    content = run.metrics_file.read_bytes()
    for length in range(len(whole), len(content)):
        run.metrics_file.write_bytes(content[:length])
        is_whole = length == len(content) - 1  # it lacks its end alone
        assert [row["update"] for row in Run(tmp_path).metrics()] == ([1, 2] if is_whole else [1])
        assert [row["update"] for row in Run(tmp_path).new_metrics()] == [1]
        assert salvage(run).rows[0]["update"] == 1


def test_a_text_in_a_table_that_looks_like_a_wrong_date_is_a_text() -> None:
    assert parse_list("2001-13-45") == ["2001-13-45"]
    assert parse_list("['eval/score']") == ["eval/score"]
