"""Numbers in sentences."""

from analysis.wording.statements import duration


def test_durations() -> None:
    assert [duration(s) for s in (35.4, 600, 9000)] == ["35 s", "10 min", "2.5 h"]
