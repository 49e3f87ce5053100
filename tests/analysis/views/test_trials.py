"""The table of all trials."""

from helpers.report_records import sweep

from analysis.results.ranking import rank_source
from analysis.views.trials import make_trial_table


def test_settings_that_are_texts_are_no_column_of_numbers() -> None:
    source = sweep()
    for index, trial in enumerate(source.trials):
        trial.settings["model.path"] = f"a/long/path/{index}"  # type: ignore[index]
    columns = {column.label: column for column in make_trial_table(source, rank_source(source)).columns}
    assert columns["ppo.lr"].is_number
    assert not columns["model.path"].is_number


def test_the_table_has_a_row_for_each_trial() -> None:
    source = sweep()
    table = make_trial_table(source, rank_source(source))
    labels = [column.label for column in table.columns]
    rows = {row[0].text.strip("★ "): dict(zip(labels, row, strict=True)) for row in table.rows}
    assert list(rows) == [str(i) for i in range(12)]
    assert rows["3"]["Trial"].text == "★ 3"
    assert (rows["4"]["objective"].text, rows["4"]["objective"].value) == ("1.25", 1.25)
    assert rows["5"]["objective"].text == "-"
    assert rows["7"]["Cause"].text.startswith("error: ValueError")
    assert rows["0"]["ppo.lr"].value == 1e-3
    assert table.states == ["complete", "failed", "pruned", "unfinished"]
    assert "Runs" not in labels  # one in all rows


def test_long_numbers_have_separators() -> None:
    source = sweep()
    for trial, tokens in zip(source.trials, (366636, 2229748), strict=False):
        trial.runs[0].summary["tokens"] = tokens  # type: ignore[index]
    table = make_trial_table(source, rank_source(source))
    place = [column.label for column in table.columns].index("Tokens")
    assert [row[place].text for row in table.rows[:2]] == ["366,636", "2,229,748"]
