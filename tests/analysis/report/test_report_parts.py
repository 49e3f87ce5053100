"""The report's other tabs: problems, settings, trials, samples, curves, costs and the sweep's figures."""

import base64
import gzip
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from helpers.page_reader import Reader
from helpers.report_records import ATTACK, run, samples, sweep

from analysis.output.charts import Chart
from analysis.output.embed import embedded, plain
from analysis.output.parts import Table
from analysis.output.plotly_figures import figures
from analysis.records.runs import Source
from analysis.results.ranking import rank
from analysis.results.results import Results
from analysis.sweep.ledger import ledger
from analysis.views.config import config_parts
from analysis.views.cost import cost_view
from analysis.views.lines import averaged, thinned
from analysis.views.problems import failure_sentence
from analysis.views.report import report
from analysis.views.samples import sample_parts
from analysis.views.sweep import sweep_tab
from analysis.views.trials import trial_table
from analysis.wording.statements import duration


def test_every_problem_and_failure_is_told() -> None:
    source = sweep()
    runs = [replace(r, problems=(f"metrics.jsonl: line {r.name} is damaged",)) for r in source.runs]
    shown = Reader(report(replace(source, runs=runs))).text
    for record in runs:
        assert f"line {record.name} is damaged" in shown
    assert source.problems[0] in shown
    assert failure_sentence(rank(source)) == "1 trial of 12 failed: 1 error"
    assert "Trial 7: traceback" in shown
    assert "1 trial did not finish, or had not yet: 8" in shown


def test_the_end_of_a_log_stands_for_a_missing_traceback(tmp_path: Path) -> None:
    lines = [f"line {i}" for i in range(1000)]
    (tmp_path / "rlhf_sweeps.log").write_text("\n".join(lines), encoding="utf-8")
    bare = run(7, None, "failed")
    summary = {key: value for key, value in bare.summary.items() if key != "traceback"}
    failed = replace(bare, folder=tmp_path, summary=summary)
    shown = Reader(report(Source("one", "run", [failed]))).text
    assert "Run 7: the end of its log" in shown
    assert "line 999" in shown
    assert "line 959\n" not in shown  # 40 lines


def tables(parts: Any) -> dict[str, Table]:
    return {part.id: part for part in parts if isinstance(part, Table)}


def test_config_differences_and_what_the_best_has() -> None:
    source = sweep()
    found = tables(config_parts(source, rank(source)))["differences"]
    assert [column.label for column in found.columns] == ["Key", "Best run", "Values", "Different values"]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in found.rows}
    assert rows["ppo.kl_coef"] == ["0.02", "0.02 (6) and 0.1 (6)", "2"]
    assert rows["ppo.lr"] == ["0.0005012", "from 7.943e-05 to 0.001", "12"]


def test_settings_that_are_texts_are_no_column_of_numbers() -> None:
    source = sweep()
    for index, trial in enumerate(source.trials):
        trial.settings["model.path"] = f"a/long/path/{index}"  # type: ignore[index]
    columns = {column.label: column for column in trial_table(source, rank(source)).columns}
    assert columns["ppo.lr"].is_number
    assert not columns["model.path"].is_number


def test_the_table_of_trials_has_a_row_for_each() -> None:
    source = sweep()
    found = trial_table(source, rank(source))
    labels = [column.label for column in found.columns]
    rows = {row[0].text.strip("★ "): dict(zip(labels, row, strict=True)) for row in found.rows}
    assert list(rows) == [str(i) for i in range(12)]
    assert rows["3"]["Trial"].text == "★ 3"
    assert (rows["4"]["eval/score"].text, rows["4"]["eval/score"].value) == ("1.25", 1.25)
    assert rows["5"]["eval/score"].text == "-"
    assert rows["7"]["Cause"].text.startswith("error: ValueError")
    assert rows["0"]["ppo.lr"].value == 1e-3
    assert found.states == ["complete", "failed", "pruned", "unfinished"]


def test_samples_say_who_liked_what() -> None:
    source = sweep()
    (block,) = sample_parts(source, rank(source))
    (found,) = block.content  # type: ignore[union-attr]
    # Own gains are i - 2 for i = 0 .. 7: five up, two down, one the same, 1.5 on average; the judge's are 2 - i.
    assert found.sentences[:2] == [
        "Its own score: higher than the base policy's for 5 of 8 prompts, lower for 2, the same for 1; "
        "1.5 more on average",
        "Judge vader: higher than the base policy's for 2 of 8 prompts, lower for 5, the same for 1; "
        "-1.5 more on average",
    ]
    assert [pair.position for pair in found.pairs] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert found.pairs[0].earlier == [(20, f"answer 7 at 20 {ATTACK}")]


def test_of_many_samples_the_ends_are_kept() -> None:
    many = replace(run(0), read_samples=lambda: samples(100))
    source = Source("one", "run", [many])
    (block,) = sample_parts(source, rank(source), most=10)
    (found,) = block.content  # type: ignore[union-attr]
    assert [pair.position for pair in found.pairs] == [99, 98, 97, 96, 95, 4, 3, 2, 1, 0]
    assert found.sentences[-1] == "Shown are the 5 prompts that improved most and least, of 100"


def test_lines_are_thinned_without_losing_a_peak() -> None:
    updates = np.arange(1000.0)
    values = np.zeros(1000)
    values[137], values[613] = 5.0, -3.0
    x, y = thinned(updates, values, 50)
    assert len(x) <= 50
    assert (x[0], x[-1]) == (0, 999)
    assert dict(zip(x.tolist(), y.tolist(), strict=True))[137.0] == 5.0
    assert y.min() == -3.0
    assert thinned(updates[:50], values[:50], 50)[0].tolist() == updates[:50].tolist()


def test_bands_are_averaged_together() -> None:
    updates, mean = averaged(np.arange(6.0), np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0]), most=3)
    assert updates.tolist() == [0.5, 2.5, 4.5]
    assert mean.tolist() == [2.0, 6.0, 10.0]


def test_numbers_are_short_and_what_is_no_number_is_null() -> None:
    value = {"a": [1 / 3, math.nan, math.inf, 2.0], "b": np.array([[1.23456789, 1e-9]]), "d": (True, None)}
    assert plain(value) == {"a": [0.33333, None, None, 2], "b": [[1.2346, 1e-9]], "d": [True, None]}
    assert base64.b64decode(embedded(value))[4:8] == bytes(4)  # no time of day in gzip's head
    packed = embedded({"text": f"{ATTACK} \ud800"})
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert json.loads(gzip.decompress(base64.b64decode(packed)))["text"] == f"{ATTACK} ?"


def test_durations() -> None:
    assert [duration(s) for s in (35.4, 600, 9000)] == ["35 s", "10 min", "2.5 h"]


def test_cost_is_told_by_state() -> None:
    source = sweep()
    found = tables(cost_view(ledger(source)))["ledger"]
    rows = {row[0].text: [cell.text for cell in row[1:4]] for row in found.rows}
    # 20 seconds a run; the unfinished one has 40 updates of 0.5 seconds.
    assert rows["complete"] == ["8", "160", "67 %"]
    assert rows["pruned"] == ["2", "40", "17 %"]
    assert rows["total"] == ["12", "240", "100 %"]


def test_a_sweep_shows_its_figures_without_links() -> None:
    """Plotly makes links of tags in texts."""
    source = sweep()
    for place, trial in enumerate(source.trials):
        trial.settings["model.path"] = f'<a href="https://x.org">{place % 2}</a>'  # type: ignore[index]
    charts = [part for part in sweep_tab(Results(source)) if isinstance(part, Chart)]
    texts = json.dumps([figures(chart) for chart in charts], default=str)
    assert "&lt;a href" in texts
    assert "<a" not in texts
    tabs = Reader(report(sweep()))
    titles = [a["aria-label"] or "" for _, a in tabs.tags if a.get("class") == "plot"]
    assert any(title.startswith("all settings") for title in titles)
