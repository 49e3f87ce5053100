"""The comparison as parts: what its charts and its table hold, what is cut, which parts a command and a tab have."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.compared_runs import seeds, source
from helpers.judged_groups import judged_groups, table_of, ticks_of

from analysis.comparison.compare import compare_groups
from analysis.output.charts import Chart, Intervals, Points, Texts
from analysis.output.files import write_files
from analysis.output.parts import Document, Part, Rows, Sentences, Table
from analysis.output.terminal import render_text
from analysis.records.runs import RunRecord, Source
from analysis.results.results import Results
from analysis.views.compare import compare_view, make_compare_tab, make_probability_chart, make_values_chart
from rlhf_sweeps.verdicts.pairs import BETTER, NOISE, UNKNOWN


def test_values_stand_in_the_order_of_the_ranking_with_their_runs() -> None:
    comparison = compare_groups(judged_groups(3), "reward_model")
    chart = make_values_chart(comparison, "x")
    assert chart is not None
    assert ticks_of(chart) == ["2  (3)", "1  (3)", "0  (3)"]
    assert chart.panels[0].y.is_reversed  # the best on top
    by_name = {layer.name: layer for layer in chart.panels[0].layers if isinstance(layer, Points | Intervals)}
    runs, means = by_name["a run"], by_name["mean"]
    assert isinstance(runs, Points)
    assert isinstance(means, Points)
    for place, group in enumerate(comparison.groups):
        assert group.estimate is not None
        own = slice(3 * place, 3 * place + 3)
        assert sorted(runs.x[own]) == pytest.approx(sorted(100 * rate for rate in group.values.values()))
        assert means.x[place] == pytest.approx(np.mean(runs.x[own]))
        assert (by_name["95 % interval"].low[place], by_name["95 % interval"].high[place]) == (  # type: ignore[union-attr]
            pytest.approx(100 * group.estimate.low),  # rates are in per cent
            pytest.approx(100 * group.estimate.high),
        )


def test_wide_intervals_leave_values_apart() -> None:
    """Of two runs of 1 and 3 the interval is 2 +- 12.7, beside which 1.1 and 1.2 would be one point."""
    comparison = compare_groups(source(seeds([1.0, 3.0], "a", key=1) + seeds([1.1, 1.2], "b", key=2)), "key")
    assert comparison.groups[0].estimate is not None
    assert comparison.groups[0].estimate.high > 10
    chart = make_values_chart(comparison, "x")
    assert chart is not None
    low, high = chart.panels[0].x.low, chart.panels[0].x.high
    assert low is not None
    assert high is not None
    assert -2 < low < 1 < 3 < high < 6


def test_dots_of_probabilities_are_full_where_the_best_group_is_better() -> None:
    values = {"best": [9.0, 9.1, 9.2], "near": [9.0, 9.05, 9.15], "far": [1.0, 1.1, 1.2], "one": [1.0]}
    comparison = compare_groups(source([run for key, own in values.items() for run in seeds(own, key, key=key)]), "key")
    assert comparison.ranking is not None
    pairs = {label: comparison.ranking.against_best(label) for label in ("near", "far", "one")}
    verdicts = {label: pair.verdict for label, pair in pairs.items() if pair is not None}
    assert verdicts == {"near": NOISE, "far": BETTER, "one": UNKNOWN}
    chart = make_probability_chart(comparison, "x")
    assert chart is not None
    names = ticks_of(chart)
    symbols = {
        names[place]: (layer.symbol, value)
        for layer in chart.panels[0].layers
        if isinstance(layer, Points)
        for place, value in zip(layer.y, layer.x, strict=True)
    }
    # Of nine pairs of runs 9.0 wins none and ties one, 9.1 wins two, 9.2 all three: 5.5.
    assert symbols == {"near": ("hollow", pytest.approx(5.5 / 9)), "far": ("circle", 1.0)}
    (unknown,) = [layer for layer in chart.panels[0].layers if isinstance(layer, Texts)]
    assert [names[place] for place in unknown.y] == ["one"]


@pytest.mark.parametrize(("num_groups", "num_seeds"), [(3, 1), (1, 3)])
def test_without_noise_or_others_there_are_no_probabilities(num_groups: int, num_seeds: int) -> None:
    assert make_probability_chart(compare_groups(judged_groups(num_groups, num_seeds), "reward_model"), "x") is None


def test_many_groups_are_cut_in_charts_and_that_is_said() -> None:
    long = "a-rather-long-organisation/and-a-long-model-{:03d}"
    parts = compare_view(Results(judged_groups(33, 2, name=long)), "reward_model")
    charts = {part.file: part for part in parts if isinstance(part, Chart)}
    rows = {name: len(ticks_of(chart)) for name, chart in charts.items() if ticks_of(chart)}
    names = ("values", "probability", "judges", "matched_kl")
    assert rows == {f"comparison_{name}": 29 if name == "probability" else 30 for name in names}
    for name, chart in charts.items():
        counts = ["8 of 33"] if name == "comparison_frontier" else ["30 of 33", "3 more groups"]
        assert any(count in chart.note for count in counts), name
        assert all(len(label) <= 34 for place in range(len(chart.panels)) for label in ticks_of(chart, place))
        assert max(chart.width * min(chart.columns, len(chart.panels)), chart.height) < 1600
    assert len(table_of(parts, "compare-table")) == 33


def test_the_table_has_the_numbers_of_the_ranking() -> None:
    results = Results(source(seeds([1.0, 2.0, 3.0], key="a") + seeds([7.0, 8.0, 9.0], "b", key="b")))
    (pair,) = results.compare_by("key").pairs
    first, second = table_of(compare_view(results, "key"), "compare-table")
    del first[2]
    assert first == ["b", "1", "-", "3", "1", "-", "-", "-"]
    assert second[2].startswith("2 [")
    assert second[6].startswith("1 [")
    assert second[:2] + second[3:6] + second[7:] == ["a", "2", "beaten", "3", "1", f"{pair.p_value:.3g}", "-"]


def test_a_terminal_has_the_first_rows_in_at_most_120_columns() -> None:
    names = [f"{'long' * 20}{index}" for index in range(40)]
    runs = [run for key, name in enumerate(names) for run in seeds([key, key + 0.01, key + 0.02], f"{key}/", key=name)]
    lines = render_text(compare_view(Results(source(runs)), "key")).splitlines()
    assert max(map(len, lines)) <= 120
    assert any("25 more, in comparison.csv" in line for line in lines)


def test_a_record_without_values_still_gives_its_table(tmp_path: Path) -> None:
    empty = Source("made up", "sweep", [RunRecord("a", {"update": np.empty(0)}, {"key": 1})])
    parts = compare_view(Results(empty), "key")
    assert [path.name for path in write_files(parts, tmp_path)] == ["comparison.csv", "comparison.json"]
    assert table_of(parts, "compare-table") == [["1", "-", "-", "-", "0", "0", "-", "-", "1 without a value"]]


def test_a_tab_has_every_key_and_says_no_sentence_twice() -> None:
    """Two keys of two runs each: that groups have few runs holds for both."""
    runs = [run for a in (1, 2) for b in (1, 2) for run in seeds([a + b, a + b + 0.1], f"{a}{b}", a=a, b=b)]
    parts = make_compare_tab(Results(source(runs)))
    sentences = [part for part in parts if isinstance(part, Sentences)]
    assert [part.title for part in sentences] == ["By a", "By b"]
    lines = [line if isinstance(line, str) else line.text for part in sentences for line in part.lines[1:]]
    assert len(lines) == len(set(lines)) > 0
    ids = [part.id for part in parts if isinstance(part, Chart | Table)]
    assert len(ids) == len(set(ids))
    assert {"compare-0-table", "compare-1-table", "compare-0-values", "compare-1-values"} <= set(ids)


def test_the_tab_of_one_key_has_the_figures_of_the_view() -> None:
    """A figure that is added to one of them stands in the other, too; the judges come after the answer."""
    results = Results(judged_groups(2))
    tab, view = make_compare_tab(results), compare_view(results)
    figures = [part for part in view if not isinstance(part, Rows | Document)]
    assert [ids_of(parts) for parts in (tab, figures)] == [ids_of(figures)] * 2
    first = next(part for part in tab if isinstance(part, Chart))
    assert (type(tab[0]), first.id) == (Sentences, "compare-values")
    assert "judges-rates" in [part.id for part in tab if isinstance(part, Chart)]


def ids_of(parts: Sequence[Part]) -> list[str]:
    """Of charts and tables their ids, of sentences their titles, in their order."""
    return [part.id if isinstance(part, Chart | Table) else getattr(part, "title", "") for part in parts]
