"""A report of the oddest records: none stops it, and what is missing is said."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.page_reader import Reader
from helpers.report_records import ATTACK, run

from analysis.records.runs import UNFINISHED, RunRecord, Source, TrialRecord
from analysis.views.report import make_report_page


def empty(name: str = "0", **changed: Any) -> RunRecord:
    return RunRecord(name, {"update": np.empty(0)}, **changed)


HOSTILE: dict[str, Source] = {
    "no runs": Source("x", "sweep", [], problems=("nothing there",)),
    "no updates": Source("x", "run", [empty()]),
    "unfinished without updates": Source("x", "sweep", [empty(state=UNFINISHED)], [TrialRecord(0, "unfinished", {})]),
    "one update": Source("x", "run", [RunRecord("0", {"update": np.array([1.0]), "objective/kl": np.array([0.5])})]),
    "nan only": Source("x", "run", [RunRecord("0", {"update": np.arange(5.0), "a": np.full(5, np.nan)})]),
    "infinite": Source(
        "x",
        "run",
        [RunRecord("0", {"update": np.arange(5.0), "objective/kl": np.array([1, np.inf, -np.inf, 1e308, 2])})],
    ),
    "all equal": Source(
        "x", "folder", [RunRecord(str(i), {"update": np.arange(9.0), "eval/score": np.ones(9)}) for i in range(4)]
    ),
    "wrong types": Source(
        "x",
        "folder",
        [
            replace(
                run(i),
                trial=None,
                config={
                    "seed": "a",
                    "ppo.lr": [1, {"a": None}],
                    "reward_model": 3,
                    "x": i,
                    "ppo": None,
                    "\ud800": ATTACK,
                },
                summary={"objectives": "no", "best": 3, "seconds": "long", "versions": [1], "best_update": {}},
            )
            for i in range(3)
        ],
    ),
    "odd samples": Source(
        "x",
        "run",
        [replace(run(0), read_samples=lambda: [{}, {"update": "a"}, {"update": 40, "score": None, "prompt": 7}])],
    ),
    "attacking names": Source(
        ATTACK,
        "folder",
        [replace(run(i), name=f"{ATTACK}{i}", config={ATTACK: i}) for i in range(3)],
        problems=(ATTACK,),
    ),
    "trials without runs": Source(
        "x", "sweep", [], [TrialRecord(i, "complete", {"a": str(i)}, [float(i)]) for i in range(3)]
    ),
    "failed only": Source("x", "sweep", [empty(state="failed")], [TrialRecord(0, "failed", {}, None, "error", "no")]),
    "three objectives": Source(
        "x",
        "sweep",
        [],
        [TrialRecord(i, "complete", {"a": str(i)}, [1.0 * i, 2.0, -1.0 * i]) for i in range(6)],
        ("a", "b", "c"),
        ("maximize", "minimize", "maximize"),
    ),
    "enormous": Source(
        "x",
        "folder",
        [
            replace(
                run(i, 1e306),
                metrics={"update": np.arange(4.0), "objective/rlhf_reward": np.array([1e308, -1e308, 1e308, 1e308])},
                read_samples=lambda: [
                    {"update": 1, "prompt": str(j), "score": value, "base_score": -value}
                    for j, value in enumerate((1e308, math.inf, math.nan, 1.0))
                ],
            )
            for i in range(3)
        ],
    ),
    "many keys": Source(
        "x", "folder", [replace(run(i), config={f"k{j}": i * j for j in range(300)}) for i in range(3)]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_record_is_too_odd(name: str, caplog: pytest.LogCaptureFixture) -> None:
    source = HOSTILE[name]
    read = Reader(make_report_page(source))
    assert "could not be made" not in read.text
    assert caplog.records == []
    assert len(read.scripts) == 3
    ids = Counter(attributes["id"] for _, attributes in read.tags if "id" in attributes)
    assert {one: count for one, count in ids.items() if count > 1} == {}
    for problem in source.problems:
        assert problem[1:] in read.text  # a sentence begins with a capital letter


def test_no_runs_are_said_to_be_none() -> None:
    assert "None: there is no run in this record." in Reader(make_report_page(HOSTILE["no runs"])).text
