"""The charts of training curves: their panels, lines, marks, legend and notes; and the files."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from helpers.curve_runs import wiggly, write_curves

from analysis.output.charts import Band, Chart, Line, Panel, Points, Rule, Span
from analysis.output.colors import VIRIDIS
from analysis.output.images import draw_chart
from analysis.records.runs import REWARD, RunRecord, Source
from analysis.results.results import Results
from analysis.views.curves import curves_view

KL = "objective/kl"


def chart_of(runs: list[RunRecord], metrics: list[str], by: str | None = None, smooth: float | None = 5) -> Chart:
    parts = curves_view(Results(Source("a sweep", "sweep", runs)), metrics, by, smooth)
    (chart,) = [part for part in parts if isinstance(part, Chart)]
    return chart


def lines_of(panel: Panel) -> list[Line]:
    return [layer for layer in panel.layers if isinstance(layer, Line)]


def ends_of(panel: Panel) -> list[Points]:
    return [layer for layer in panel.layers if isinstance(layer, Points)]


def names_of(chart: Chart) -> list[str]:
    return [name for name, _ in chart.legend]


def test_raw_values_stand_behind_the_smoothed_line_and_the_note_says_so() -> None:
    run = wiggly("a")
    chart = chart_of([run], [REWARD])
    raw, smooth = lines_of(chart.panels[0])
    np.testing.assert_array_equal(raw.y, run.metrics[REWARD])
    assert raw.opacity < 0.5
    assert np.nanstd(smooth.y) < np.std(raw.y)
    assert "smoothed over 5 updates, raw values faint behind" in chart.note
    assert "not smoothed" in chart_of([run], [REWARD], smooth=0).note
    assert not chart.in_legend  # a run alone


def test_a_panel_a_metric_with_its_name() -> None:
    metrics = [REWARD, "cumulative_reward", "loss/policy_avg", "objective/entropy", KL]
    chart = chart_of([wiggly("a"), wiggly("b")], metrics)
    titles = [panel.title for panel in chart.panels]
    assert titles == ["step reward", "cumulative reward", "policy loss", "entropy", "KL divergence"]
    assert [panel.y.label for panel in chart.panels] == metrics
    assert (chart.columns, names_of(chart)) == (3, ["a", "b"])


def test_a_group_has_its_band_and_the_note_says_what_it_is() -> None:
    runs = [wiggly(str(i), lr=0.1) for i in range(3)]
    chart = chart_of(runs, [KL], by="lr")
    assert sum(isinstance(layer, Band) for layer in chart.panels[0].layers) == 1
    assert "band: lowest to highest run" in chart.note
    assert names_of(chart) == ["lr=0.1 (3 runs)"]


def test_missing_runs_change_the_line_and_their_ends_are_marked() -> None:
    runs = [wiggly("a"), wiggly("b"), replace(wiggly("c", 12), state="diverged")]
    chart = chart_of(runs, [KL], by="no key", smooth=0)
    whole, partial = lines_of(chart.panels[0])
    assert np.flatnonzero(np.isfinite(whole.y))[[0, -1]].tolist() == [0, 11]
    assert np.flatnonzero(np.isfinite(partial.y))[[0, -1]].tolist() == [11, 29]
    assert (whole.dash, partial.dash) == ("solid", "dot")
    (end,) = ends_of(chart.panels[0])
    assert (list(end.x), end.symbol) == ([12], "thick cross")
    assert names_of(chart)[-1] == "diverged: ends here"
    assert "dotted line: mean after some runs have ended" in chart.note


def test_an_early_end_for_a_sound_reason_is_marked_by_it() -> None:
    run = replace(wiggly("c", 12), summary={"status": "stopped", "stop_reason": "kl_budget"})
    chart = chart_of([wiggly("a"), run], [KL])
    assert names_of(chart) == ["a", "c", "kl_budget: ends here"]
    assert [end.symbol for end in ends_of(chart.panels[0])] == ["diamond"]


def test_hundreds_of_runs_have_a_short_legend() -> None:
    runs = [wiggly(str(i), objective=float(i), lr=0.1 * i) for i in range(200)]
    chart = chart_of(runs, [KL])
    names = names_of(chart)
    assert len(names) == 5 + 3 + 1
    assert names[0].startswith("199 (lr=19.9")
    assert names[-1] == "others"
    assert len(lines_of(chart.panels[0])) == 192 + 2 * 8  # the named ones have their raw values behind them
    chart = chart_of(runs, [KL], by="lr")
    assert names_of(chart) == []
    assert chart.scale is not None
    assert (chart.scale.label, chart.scale.low, chart.scale.is_log) == ("lr", 0.0, False)
    colors = [line.color for line in lines_of(chart.panels[0]) if line.width > 2]
    assert (colors[0], colors[-1]) == (VIRIDIS[0], VIRIDIS[-1])
    assert draw_chart(chart).axes[-1].get_ylabel() == "lr"


def test_a_run_that_blew_up_does_not_flatten_the_others() -> None:
    wild = wiggly("b")
    wild.metrics[KL][-3:] = 1e5
    (panel,) = chart_of([wiggly("a"), wild], [KL]).panels
    assert (panel.y.is_log, panel.title) == (True, "KL divergence (logarithmic)")
    assert not chart_of([wiggly("a")], [KL]).panels[0].y.is_log


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from helpers.curve_runs import wiggly, write_curves;"
        "from analysis.records.runs import Source;"
        "runs = [wiggly(str(i), 12, lr=0.1 * (i % 3), seed=i) for i in range(15)]; source = Source('s', 'sweep', runs);"
        "print([write_curves(source, Path(sys.argv[1], str(by)), by=by, smooth=5)[0] for by in (None, 'lr')])"
    )
    texts, digests = [], []
    for seed in ("0", "1"):
        out = tmp_path / seed
        command = [sys.executable, "-c", script, str(out)]
        environment = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        texts.append(done.stdout)
        files = sorted(out.glob("*/[!.]*"))
        digests.append({str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert texts[0] == texts[1]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 8


def test_more_panels_than_fit_go_into_more_charts(tmp_path: Path) -> None:
    metrics = {"update": np.arange(3.0)} | {f"m/{i:02}": np.arange(3.0) for i in range(25)}
    source = Source("s", "run", [RunRecord("a", metrics)])
    charts = [part for part in curves_view(Results(source), ["m/*"]) if isinstance(part, Chart)]
    assert [(chart.id, chart.file, len(chart.panels)) for chart in charts] == [
        ("curves", "curves", 24),
        ("curves-2", "curves_2", 1),
    ]
    _, paths = write_curves(source, tmp_path, formats=(), metrics=["m/*"])
    assert [path.name for path in paths] == ["curves.csv", "phases.json"]


def test_a_single_run_shows_its_phases_and_a_sentence_on_them(tmp_path: Path) -> None:
    values = np.interp(np.arange(60.0), [0, 40, 59], [0, 1, 0.2]) + 0.02 * np.random.default_rng(0).normal(size=60)
    run = RunRecord("a", {"update": np.arange(60.0), KL: values})
    (panel,) = chart_of([run], [KL]).panels
    (rule,) = [layer for layer in panel.layers if isinstance(layer, Rule)]
    (span,) = [layer for layer in panel.layers if isinstance(layer, Span)]
    assert rule.place == pytest.approx(40, abs=2)
    assert span.low <= rule.place <= span.high
    assert panel.note.startswith("KL divergence rises from")
    write_curves(Source("s", "run", [run]), tmp_path, formats=("svg",))
    svg = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert "KL divergence rises from" in svg
    assert "a phase begins" in svg


@pytest.mark.parametrize("unit", ["update", "episode"])
def test_the_chart_says_what_its_axis_is(unit: str) -> None:
    run = wiggly("a", ppo__batch_size=32)
    parts = curves_view(Results(Source("s", "sweep", [run])), [REWARD, KL], smooth=5, axis=unit)
    (chart,) = [part for part in parts if isinstance(part, Chart)]
    assert [panel.x.label for panel in chart.panels] == [unit, unit]
    assert f"smoothed over {5 if unit == 'update' else 161} {unit}s" in chart.note  # 5 x 32, and odd
