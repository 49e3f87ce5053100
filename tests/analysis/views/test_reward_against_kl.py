"""Reward against KL as parts: a panel for each judge and each KL, who got how far, and what is said of fits."""

import numpy as np
import pytest
from helpers.judged_groups import KLS, judged_groups, table_of, ticks_of

from analysis.comparison.compare import compare_groups
from analysis.comparison.frontier import OWN, Frontier, trace_all_frontiers
from analysis.comparison.groups import group_runs
from analysis.comparison.matched_kl import match_groups
from analysis.comparison.over_optimization import FittedLaw, fit_law
from analysis.output.charts import Chart, Line, Points, Texts
from analysis.output.parts import Sentences, Table
from analysis.output.terminal import render_text
from analysis.records.runs import RunRecord, Source
from analysis.views.reward_against_kl import make_frontier_chart, make_kl_parts, make_matched_chart


def test_each_judge_has_a_panel_with_the_evaluations_and_the_fit_of_each_group() -> None:
    comparison = compare_groups(judged_groups(3), "reward_model")
    labels = [group.label for group in comparison.groups]
    chart = make_frontier_chart(trace_all_frontiers(comparison.grouping), labels)
    assert [panel.title for panel in chart.panels] == [OWN, "judged by a", "judged by b"]
    assert [name for name, _ in chart.legend] == labels == ["2", "1", "0"]
    points = [layer for layer in chart.panels[0].layers if isinstance(layer, Points) and layer.symbol == "circle"]
    assert [list(layer.x) for layer in points] == [list(np.sqrt(KLS)) * 3] * 3
    curves = [layer for layer in chart.panels[0].layers if isinstance(layer, Line)]
    assert [curve.x[-1] for curve in curves] == [max(np.sqrt(KLS))] * 3
    # A group has one colour in all panels.
    colors = [[layer.color for layer in panel.layers if isinstance(layer, Line)] for panel in chart.panels]
    assert colors == [[0, 1, 2]] * 3


def test_a_peak_within_the_data_is_marked_where_it_is() -> None:
    """d (2 - 0.5 log d) is highest at e^3, which is within distances up to 30 and beyond those up to 15."""
    peaks = {}
    for furthest in (15, 30):
        distances = np.linspace(1, furthest, 12)
        gains = distances * (2 - 0.5 * np.log(distances))
        law = fit_law([(distances, gains), (distances, gains + 1e-6 * np.sin(distances))])
        line = Frontier("a", OWN, ["one", "two"], distances, gains, np.zeros(12), law)
        layers = make_frontier_chart({OWN: [line]}, ["a"]).panels[0].layers
        triangles = [layer for layer in layers if isinstance(layer, Points) and layer.symbol == "triangle"]
        peaks[furthest] = [round(float(layer.x[0]), 3) for layer in triangles]
        (table,) = [part for part in make_kl_parts({OWN: [line]}, None, ["a"], "key") if isinstance(part, Table)]
        best, largest = table.rows[0][3:5]
        assert best.value == pytest.approx(np.exp(6))
        assert (best.tone, largest.value) == ("warn" if furthest == 15 else "", furthest**2)
    assert peaks == {15: [], 30: [round(np.exp(3), 3)]}


def test_a_peak_that_is_not_certain_is_told_apart_from_none() -> None:
    """The runs of `open` disagree on beta, 2 and -1, so that its interval holds 0; that of `rising` is -0.5."""
    distances = np.linspace(1, 8, 12)
    logs = distances * np.log(distances)
    betas = {"open": (2.0, -1.0), "rising": (-0.5, -0.5001)}
    paths = {name: [(distances, 3 * distances - beta * logs) for beta in both] for name, both in betas.items()}
    laws = {name: fit_law(several) for name, several in paths.items()}
    lines = [Frontier(name, OWN, ["one", "two"], distances, logs, np.zeros(12), law) for name, law in laws.items()]
    (table,) = [part for part in make_kl_parts({OWN: lines}, None, list(laws), "key") if isinstance(part, Table)]
    assert [row[3].text for row in table.rows] == ["no certain peak", "no peak"]
    assert "no certain peak: beta is above 0" in table.columns[3].hint


@pytest.mark.parametrize(("high", "text"), [(2000.0, "12.5 [1.88, 2000]"), (2001.0, "12.5 [1.88, no upper bound]")])
def test_an_end_far_beyond_the_points_is_no_bound(high: float, text: str) -> None:
    """The points reach a KL of 20 nats; a hundred times that is 2000."""
    law = FittedLaw(1.0, 0.9, 1.1, 0.3, 0.1, 0.5, 12.5, 1.88, high, 20.0, 30, 3, 0.1)
    points = np.array([0.0, 20.0**0.5])
    line = Frontier("a", OWN, [], points, points, np.zeros(2), law)
    (table,) = [part for part in make_kl_parts({OWN: [line]}, None, ["a"], "key") if isinstance(part, Table)]
    assert table.rows[0][3].text == text


def evaluated(name: str, kls: list[float], gains: list[float], key: str) -> RunRecord:
    metrics = {"update": np.arange(1.0, len(kls) + 1), "eval/kl": np.array(kls), "eval/score": np.array(gains)}
    return RunRecord(name, metrics | {"eval/base_score": np.zeros(len(kls))}, {"key": key})


def test_who_did_not_get_there_is_said_at_each_kl() -> None:
    """Of KL 8 one run of b knows nothing, and nobody of c: a reached 3, b 1."""
    runs = [evaluated(f"a{n}", [2.0, 8.0], [1.0, 3.0], "a") for n in range(2)]
    runs += [evaluated("b0", [2.0, 8.0], [1.0, 1.0], "b"), evaluated("b1", [2.0], [2.0], "b")]
    runs += [evaluated("c0", [2.0], [0.5], "c")]
    matched = match_groups(group_runs(Source("made up", "folder", runs), "key"), levels=[2.0, 8.0])
    assert matched is not None
    chart = make_matched_chart(matched)
    assert [panel.title for panel in chart.panels] == ["at KL 2", "at KL 8"]
    assert ticks_of(chart) == ticks_of(chart, 1) == ["a", "b", "c"]
    symbols = {
        place: layer.symbol for layer in chart.panels[1].layers if isinstance(layer, Points) for place in layer.y
    }
    assert symbols == {0: "circle", 1: "hollow"}
    (missing,) = [layer for layer in chart.panels[1].layers if isinstance(layer, Texts)]
    assert list(missing.y) == [2]
    parts = make_kl_parts({}, matched, ["a", "b", "c"], "key")
    tables = [table_of(parts, f"matched-kl-{place}") for place in range(2)]
    assert [[[row[0], row[1], row[2].partition(" ")[0], row[3]] for row in rows] for rows in tables] == [
        [["1", "b", "1.5", "2 of 2"], ["2", "a", "1", "2 of 2"], ["3", "c", "0.5", "1 of 1"]],
        [["1", "a", "3", "2 of 2"], ["2", "b", "1", "1 of 2"], ["-", "c", "-", "0 of 1"]],
    ]


def test_the_terminal_has_the_best_groups_at_each_kl() -> None:
    labels = [f"group {place}" for place in range(8)]
    runs = [evaluated(label, [2.0, 8.0], [place, place], label) for place, label in enumerate(labels)]
    matched = match_groups(group_runs(Source("made up", "folder", runs), "key"), levels=[2.0, 8.0])
    lines = [line.split() for line in render_text(make_kl_parts({}, matched, labels, "key")).splitlines()]
    headings = [place for place, words in enumerate(lines) if words[:2] == ["At", "KL"]]
    assert [lines[place][2] for place in headings] == ["2", "8"]
    for place in headings:
        assert [words[2] for words in lines[place + 2 : place + 7]] == ["7", "6", "5", "4", "3"]
        assert lines[place + 7][:3] == ["and", "3", "more,"]


def test_negative_kls_are_counted() -> None:
    line = Frontier("a", OWN, ["one"], np.array([0.0, 1.0]), np.zeros(2), np.zeros(2), None, num_negative=3)
    sentences, chart, _ = make_kl_parts({OWN: [line]}, None, ["a"], "key")
    assert isinstance(sentences, Sentences)
    assert any(isinstance(text, str) and text.startswith("3 KL estimates below 0") for text in sentences.lines)
    assert isinstance(chart, Chart)


def test_without_evaluations_there_is_nothing() -> None:
    assert make_kl_parts({}, None, [], "key") == []
