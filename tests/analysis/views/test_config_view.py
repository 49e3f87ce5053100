"""The tab Config: the keys that differ, and the best run's values."""

from helpers.report_records import sweep

from analysis.output.parts import Command, Table
from analysis.results.results import Results
from analysis.views.config import config_view


def test_config_differences_and_the_best_runs_values() -> None:
    parts = config_view(Results(sweep()))
    tables = {part.id: part for part in parts if isinstance(part, Table)}
    assert [column.label for column in tables["differences"].columns] == [
        "Key",
        "Best run",
        "Values",
        "Different values",
    ]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in tables["differences"].rows}
    assert rows["ppo.kl_coef"] == ["0.02", "0.02 (6) and 0.1 (6)", "2"]
    assert rows["ppo.lr"] == ["0.0005012", "from 7.943e-05 to 0.001", "12"]
    assert [[cell.text for cell in row] for row in tables["versions"].rows] == [["python", "3.11"]]
    (command,) = [part for part in parts if isinstance(part, Command)]
    assert command.text.endswith("ppo.kl_coef=0.02")
