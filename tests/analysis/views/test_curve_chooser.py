"""The page's curves: the same lines as in curves.png, few enough points, no peak lost."""

from dataclasses import replace
from typing import Any

import numpy as np
from helpers.curve_runs import wiggly
from helpers.report_records import sweep

from analysis.output.parts import Block, Chart
from analysis.records.runs import REWARD, RunRecord, Source
from analysis.results.results import Results
from analysis.views.curve_chooser import average_stretches, make_curve_chooser
from analysis.views.curves import curves_view

KL = "objective/kl"


def content_of(source: Source, detail: int = 0) -> dict[str, Any]:
    block, *_ = make_curve_chooser(Results(source), detail)
    assert isinstance(block, Block)
    content: dict[str, Any] = block.content
    return content


def test_it_names_the_lines_that_the_chart_names() -> None:
    runs = [wiggly(str(i), objective=float(i % 17), lr=0.1 * i) for i in range(40)]
    source = Source("s", "sweep", runs, directions=["maximize"])
    (view,) = content_of(source)["views"]
    names = list(dict.fromkeys(line["legend"] for line in view["lines"]))
    (chart,) = [part for part in curves_view(Results(source), [REWARD]) if isinstance(part, Chart)]
    assert [name.removesuffix(", the best") for name in names] == [name for name, _ in chart.legend]
    assert names[0].endswith(", the best")
    assert len(view["lines"]) == 5 + 3 + 24
    assert "24 of the 32 other runs" in view["note"]


def test_lines_are_thinned_without_losing_a_peak() -> None:
    values = np.zeros(1000)
    values[137], values[613] = 5.0, -3.0
    (view,) = content_of(Source("s", "run", [RunRecord("a", {"update": np.arange(1000.0), KL: values})]))["views"]
    ((x, y),) = view["metrics"][KL]
    assert len(x) <= 200
    assert (x[0], x[-1]) == (0, 999)
    assert dict(zip(x, y, strict=True))[137.0] == 5.0
    assert min(y) == -3.0


def test_bands_are_averaged_together() -> None:
    updates, mean = average_stretches([np.arange(6.0), np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])], most=3)
    assert updates.tolist() == [0.5, 2.5, 4.5]
    assert mean.tolist() == [2.0, 6.0, 10.0]


def test_groups_have_bands_and_leave_test_seeds_out() -> None:
    runs = [wiggly(str(i), lr=0.1 * (i % 2), seed=i) for i in range(6)]
    tests = [replace(wiggly("t", lr=0.1), is_test=True)]
    views = content_of(Source("s", "sweep", runs + tests))["views"]
    assert [view["title"] for view in views] == ["single runs", "by lr"]
    assert views[1]["note"].endswith("; 1 run on a test seed is left out of the means")
    view = content_of(sweep())["views"][-1]
    assert view["title"] == "by ppo.kl_coef"
    assert [line["name"] for line in view["lines"]] == ["0.02", "0.1"]
    assert [len(columns) for columns in view["metrics"][KL]] == [4, 4]
    assert "the band: middle half of the runs" in view["note"]


def test_less_detail_has_fewer_metrics() -> None:
    whole, least = content_of(sweep()), content_of(sweep(), 2)
    assert whole["panels"] == least["panels"]
    assert whole["more"]
    assert not least["more"]
