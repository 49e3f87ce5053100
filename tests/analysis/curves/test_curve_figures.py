"""The figure itself."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from helpers.curve_runs import wiggly
from matplotlib.figure import Figure

from analysis.curves.figures import draw
from analysis.curves.panels import chosen_lines, panels
from analysis.curves.views import write_curves
from analysis.records.runs import REWARD, RunRecord, Source
from analysis.results.ranking import leaders

KL = "objective/kl"
ROOT = Path(__file__).parents[3]


def figure_of(runs: list[RunRecord], metrics: list[str], by: str | None = None, smooth: float | None = 5) -> Figure:
    source = Source("a sweep", "sweep", runs)
    choice = chosen_lines(source, metrics, by, leaders)
    return draw(source.name, panels(choice, metrics, smooth), choice)


def legend_texts(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_raw_values_stand_behind_the_smoothed_line_and_the_title_says_so() -> None:
    run = wiggly("a")
    figure = figure_of([run], [REWARD])
    (axes,) = figure.axes
    raw, smooth = axes.lines[:2]
    np.testing.assert_array_equal(raw.get_ydata(), run.metrics[REWARD])
    assert raw.get_alpha() < 0.5
    assert np.nanstd(smooth.get_ydata()) < np.std(raw.get_ydata())
    assert "smoothed over 5 updates, raw values faint behind" in figure.get_suptitle()
    assert "not smoothed" in figure_of([run], [REWARD], smooth=0).get_suptitle()


def test_a_panel_a_metric_with_its_name() -> None:
    metrics = [REWARD, "cumulative_reward", "loss/policy_avg", "objective/entropy", KL]
    figure = figure_of([wiggly("a"), wiggly("b")], metrics)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:5] == ["step reward", "cumulative reward", "policy loss", "entropy", "KL divergence"]
    assert legend_texts(figure) == ["a", "b"]


def test_a_group_has_its_band_and_the_figure_says_what_it_is() -> None:
    runs = [wiggly(str(i), lr=0.1) for i in range(3)]
    figure = figure_of(runs, [KL], by="lr")
    assert len(figure.axes[0].collections) == 1
    assert "band: lowest to highest run" in figure.get_suptitle()
    assert "0.1 (3 runs)" in legend_texts(figure)


def test_missing_runs_change_the_line_and_their_ends_are_marked() -> None:
    runs = [wiggly("a"), wiggly("b"), replace(wiggly("c", 12), state="diverged")]
    figure = figure_of(runs, [KL], by="no key", smooth=0)
    whole, partial, end = figure.axes[0].lines
    assert np.flatnonzero(np.isfinite(whole.get_ydata()))[[0, -1]].tolist() == [0, 11]
    assert np.flatnonzero(np.isfinite(partial.get_ydata()))[[0, -1]].tolist() == [11, 29]
    assert partial.get_linestyle() == ":"
    assert list(end.get_xdata()) == [12]
    assert "diverged: ends here" in legend_texts(figure)
    assert "dotted line: mean of those runs that are left" in figure.get_suptitle()


def test_an_early_end_for_a_sound_reason_is_marked_by_it() -> None:
    run = replace(wiggly("c", 12), summary={"status": "stopped", "stop_reason": "kl_budget"})
    assert "kl_budget: ends here" in legend_texts(figure_of([wiggly("a"), run], [KL]))


def test_hundreds_of_runs_have_a_short_legend() -> None:
    runs = [wiggly(str(i), objective=float(i), lr=0.1 * i) for i in range(200)]
    texts = legend_texts(figure_of(runs, [KL]))
    assert len(texts) == 6
    assert texts[0].startswith("199 (lr=19.9")
    assert texts[-1] == "others"
    figure = figure_of(runs, [KL], by="lr")
    assert legend_texts(figure) == []
    assert figure.axes[-1].get_ylabel() == "lr"  # the colour scale


def test_a_run_that_blew_up_does_not_flatten_the_others() -> None:
    wild = wiggly("b")
    wild.metrics[KL][-3:] = 1e5
    assert figure_of([wiggly("a"), wild], [KL]).axes[0].get_yscale() == "log"
    assert figure_of([wiggly("a")], [KL]).axes[0].get_yscale() == "linear"


def test_the_same_input_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from analysis.curves.views import write_curves;"
        "from analysis.records.runs import Source; from helpers.curve_runs import wiggly;"
        "runs = [wiggly(str(i), 12, lr=0.1 * (i % 3), seed=i) for i in range(15)]; source = Source('s', 'sweep', runs);"
        "print([write_curves(source, Path(sys.argv[1], str(by)), by=by, smooth=5)[0] for by in (None, 'lr')])"
    )
    texts, digests = [], []
    for seed in ("0", "1"):
        out = tmp_path / seed
        command = [sys.executable, "-c", script, str(out)]
        environment = {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "tests")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        texts.append(done.stdout)
        files = sorted(out.glob("*/[!.]*"))
        digests.append({str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert texts[0] == texts[1]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 8


def test_more_panels_than_fit_go_into_more_figures(tmp_path: Path) -> None:
    metrics = {"update": np.arange(3.0)} | {f"m/{i:02}": np.arange(3.0) for i in range(25)}
    source = Source("s", "run", [RunRecord("a", metrics)])
    _, paths = write_curves(source, tmp_path, metrics=["m/*"], formats=("svg",))
    assert [path.name for path in paths] == ["curves.svg", "curves_2.svg", "curves.csv", "phases.json"]


def test_a_single_run_shows_its_phases_and_what_is_said_of_them(tmp_path: Path) -> None:
    values = np.interp(np.arange(60.0), [0, 40, 59], [0, 1, 0.2]) + 0.02 * np.random.default_rng(0).normal(size=60)
    run = RunRecord("a", {"update": np.arange(60.0), KL: values})
    write_curves(Source("s", "run", [run]), tmp_path, formats=("svg",))
    svg = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert "KL divergence rises from" in svg
    assert "a phase begins" in svg
