"""What is written and printed about the health of many runs; where in the search space findings live."""

import csv
import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.records import axes
from scipy import stats

from analysis.health.findings import findings
from analysis.health.patterns import patterns
from analysis.health.views import write_health
from analysis.records.runs import FAILED, RunRecord, Source, Trial
from analysis.wording.errors import AnalysisError


def run(name: str, kl: float, **config: Any) -> RunRecord:
    metrics = {"update": np.arange(1.0, 31.0), "objective/kl": np.where(np.arange(30) < 10, 2.0, kl)}
    plain = {key.replace("__", "."): value for key, value in config.items()}
    return RunRecord(name, metrics, {"objective.kl_budget": 15.0, **plain})


def source(runs: Sequence[RunRecord], **space: str) -> Source:
    return Source("sweep", "sweep", runs, space=axes({key.replace("__", "."): value for key, value in space.items()}))


def sweep(num: int, num_sick: int) -> Source:
    runs = [run(str(i), 90.0 if i >= num - num_sick else 5.0, ppo__lr=1e-4 * (i + 1), seed=0) for i in range(num)]
    return source(runs, ppo__lr="interval(1e-4,1e-2)")


def all_patterns(given: Source) -> list[tuple[str, str, float]]:
    found = patterns(given, {one.name: findings(one) for one in given.runs})
    return [(pattern.kind, pattern.text, pattern.p_value) for pattern in found]


def test_text_groups_over_runs(tmp_path: Path) -> None:
    text, paths = write_health(sweep(12, 5), tmp_path / "new" / "folder")
    assert "health of 12 runs: 5 with findings" in text
    assert "KL blow-up in 5 of 12 runs (7, 8, 9, 10, 11)" in text
    assert "only where ppo.lr >= 0.0008" in text
    assert [path.name for path in paths] == ["health.json", "health.csv"]


def test_files_hold_every_finding(tmp_path: Path) -> None:
    given = sweep(12, 5)
    _, (as_json, as_csv) = write_health(given, tmp_path)
    content = json.loads(as_json.read_text())
    assert (content["num_runs"], content["num_runs_with_findings"]) == (12, 5)
    (first, *_) = content["findings"]
    assert (first["run"], first["kind"], first["update"]) == ("7", "KL blow-up", 11)
    assert first["evidence"]["KL at the end"] == 90.0
    with as_csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["7", "8", "9", "10", "11"]
    assert json.loads(rows[0]["evidence"])["limit"] == 30.0
    before = [path.read_bytes() for path in (as_json, as_csv)]
    write_health(given, tmp_path)
    assert [path.read_bytes() for path in (as_json, as_csv)] == before


def test_sound_runs_and_empty_sources(tmp_path: Path) -> None:
    assert "health of 3 runs: nothing found" in write_health(sweep(3, 0), tmp_path)[0]
    assert write_health(source([]), tmp_path)[0] == "health: there are no runs"
    empty = RunRecord("5", {"update": np.empty(0)})
    text, _ = write_health(source([empty]), tmp_path)
    assert "without any update, so little can be said of: 5" in text


def test_what_is_not_in_the_record_is_said(tmp_path: Path) -> None:
    text, _ = write_health(sweep(3, 0), tmp_path)
    assert text.splitlines()[-1].startswith(
        "not looked at, for it is not in the record: entropy, clipping, value model"
    )


def test_failed_trials_without_a_run_are_told(tmp_path: Path) -> None:
    runs = [run("0", 5.0), RunRecord("1", {"update": np.empty(0)}, {}, FAILED, {"cause": "config"})]
    trials = [
        Trial(1, "failed", {}, cause="config", runs=runs[1:]),
        Trial(2, "failed", {}, cause="timeout", message="a\nb"),
    ]
    text, (as_json, _) = write_health(Source("s", "sweep", runs, trials), tmp_path)
    kinds = {(one["run"], one["kind"]) for one in json.loads(as_json.read_text())["findings"]}
    assert kinds == {("1", "failed: config"), ("2", "failed: timeout")}
    assert "sweep.trial_hours" in text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalysisError, match="file"):
        write_health(sweep(2, 0), tmp_path / "file")


def test_p_value_of_a_split_is_fishers() -> None:
    # All sick settings above the sound ones: Fisher's exact table is [[k, 0], [0, n - k]].
    ((kind, _, p_value),) = all_patterns(sweep(12, 5))
    exact = stats.fisher_exact([[5, 0], [0, 7]], alternative="greater").pvalue
    assert kind == "KL blow-up"
    assert p_value == pytest.approx(2 * exact)
    assert exact == pytest.approx(1 / comb(12, 5))


def test_too_few_settings_make_no_pattern() -> None:
    assert all_patterns(sweep(4, 2)) == []
    assert all_patterns(sweep(12, 12)) == []


def test_seeds_of_a_setting_are_one_unit() -> None:
    # 3 settings of 4 seeds: as 12 runs the split would be clear.
    runs = [
        run(f"{i}/{s}", 90.0 if i == 2 else 5.0, ppo__lr=1e-4 * (i + 1), seed=s) for i in range(3) for s in range(4)
    ]
    assert all_patterns(source(runs, ppo__lr="1e-4,2e-4,3e-4")) == []


def test_names_make_a_pattern() -> None:
    models = ["length"] * 4 + ["tiny"] * 8
    runs = [
        run(str(i), 90.0 if name == "length" else 5.0, reward_model__name=name, x=i) for i, name in enumerate(models)
    ]
    ((_, text, p_value),) = all_patterns(source(runs, reward_model="length,tiny", x="range(12)"))
    assert text.startswith("only with reward_model=length: 4 of 4 settings there, none of the 8 others")
    assert p_value == pytest.approx(2 * 2 / comb(12, 4))


def test_chance_makes_a_pattern_in_at_most_one_sweep_of_twenty() -> None:
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(300):
        kls = np.where(rng.random(14) < 0.3, 90.0, 5.0)
        runs = [run(str(i), kl, ppo__lr=rng.random(), ppo__kl_coef=rng.random()) for i, kl in enumerate(kls)]
        false += bool(all_patterns(source(runs, ppo__lr="interval(0,1)", ppo__kl_coef="interval(0,1)")))
    assert false <= 0.05 * 300
