"""Parts as files: missing values, formats, folders that cannot be written."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis.output.charts import Chart, ChartAxis, Line, Panel
from analysis.output.files import write_files
from analysis.output.formats import FORMATS
from analysis.output.parts import Document, Part, Rows, Sentences
from analysis.wording.errors import AnalysisError

CHART = Chart("a", "a chart", [Panel(ChartAxis(), ChartAxis(), [Line([0, 1], [0, 1])])], file="chart")


def test_missing_values_are_empty_cells_and_null(tmp_path: Path) -> None:
    parts: list[Part] = [
        Rows("a.csv", ["a", "b"], iter([(1.0, None), (math.nan, "x,y")])),
        Document("a.json", {"a": [math.nan, math.inf, np.float64(0.1)], "b": None, "c": np.arange(2)}),
    ]
    assert write_files(parts, tmp_path / "new") == [tmp_path / "new" / "a.csv", tmp_path / "new" / "a.json"]
    assert (tmp_path / "new" / "a.csv").read_text(encoding="utf-8") == 'a,b\n1.0,\n,"x,y"\n'
    content = json.loads((tmp_path / "new" / "a.json").read_text(encoding="utf-8"))
    assert content == {"a": [None, None, 0.1], "b": None, "c": [0, 1]}


def test_a_chart_has_a_file_in_each_format(tmp_path: Path) -> None:
    paths = write_files([CHART], tmp_path, tuple(FORMATS))
    assert [path.name for path in paths] == ["chart.png", "chart.svg", "chart.pdf"]
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"<?xm", b"%PDF"]


def test_a_format_is_one_line_of_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "eps", {})
    (path,) = write_files([CHART], tmp_path, ("eps",))
    assert path.read_bytes().startswith(b"%!PS")


def test_parts_without_a_file_make_no_folder(tmp_path: Path) -> None:
    alone = Chart("a", "of the page alone", CHART.panels)
    assert write_files([Sentences(["a"]), alone], tmp_path / "new") == []
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(AnalysisError, match="file"):
        write_files([Rows("a.csv", ["a"], [[1]])], tmp_path / "file" / "below")
