"""The tab Cost."""

from helpers.report_records import sweep

from analysis.output.parts import Table
from analysis.output.terminal import render_text
from analysis.sweep.ledger import make_ledger
from analysis.views.cost import cost_view


def test_costs_are_summed_by_state() -> None:
    (table,) = [part for part in cost_view(make_ledger(sweep())) if isinstance(part, Table)]
    rows = {row[0].text: [cell.text for cell in row[1:4]] for row in table.rows}
    # 20 seconds a run; the unfinished one has 40 updates of 0.5 seconds.
    assert rows["complete"] == ["8", "160", "66.7 %"]
    assert rows["pruned"] == ["2", "40", "16.7 %"]
    assert "total" not in rows


def test_each_sum_is_said_once() -> None:
    parts = cost_view(make_ledger(sweep()))
    printed = render_text(parts)
    # 240 seconds of updates that take half a second each.
    assert printed.splitlines()[:2] == ["runs          12 (480 updates)", "worker time   4 min (of one worker)"]
    assert "480" not in printed.partition("\n")[2]
