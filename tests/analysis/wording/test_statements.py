"""Numbers in sentences."""

from analysis.wording.statements import format_duration


def test_durations() -> None:
    assert [format_duration(s) for s in (35.4, 600, 6480, 9000)] == ["35 s", "10 min", "108 min", "2.5 h"]
