"""Paths and other packages' errors in one line."""

from pathlib import Path

import pytest

from rlhf_sweeps.wording import cut, describe_error, display_path, drop_controls, quote_message


def test_a_path_is_shown_from_here_if_it_lies_below(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert (display_path(here / "a" / "b"), display_path(tmp_path / "other")) == ("a/b", str(tmp_path / "other"))


def test_an_error_is_told_in_one_line_that_ends() -> None:
    assert (describe_error(ValueError("a\n  b")), quote_message(ValueError("a\n  b"))) == ("ValueError: a b", "a b")
    assert (describe_error(OSError()), quote_message(OSError())) == ("OSError", "OSError")
    assert describe_error(KeyError("x" * 1000)) == "KeyError: '" + "x" * 299 + "..."


def test_only_what_is_too_long_is_cut() -> None:
    assert (cut("a\tbc", 4), cut("abcde", 4)) == ("a bc", "abcd...")


def test_control_characters_are_dropped() -> None:
    assert drop_controls("a\x1b[31mb\x07\x7f\x9b\tc\nd é漢") == "a[31mb\tc\nd é漢"
    assert cut("no\x1b[2J\n memory", 100) == "no[2J memory"
