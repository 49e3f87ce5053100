"""Paths and other packages' errors in one line."""

from pathlib import Path

import pytest

from rlhf_sweeps.wording import cut, describe_error, display_path, drop_controls, quote_message, suggest, suggest_path


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


@pytest.mark.parametrize(
    ("given", "near"), [("klcoef", "kl_coef"), ("cruves", "curves"), ("smolm2", "smollm2"), ("zebra", None), ("", None)]
)
def test_the_nearest_word_is_suggested_if_any_is_near(given: str, near: str | None) -> None:
    allowed = ["kl_coef", "clip_range", "curves", "compare", "smollm2"]
    assert suggest(given, allowed) == ("" if near is None else f"; did you mean {near}?")


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("outputs/2026-11-30_x", "outputs/2026-11-30_02-06-27_tiny"),  # the newest of those that are as near
        ("outputs/2026-11-30_01-06-27_tny", "outputs/2026-11-30_01-06-27_tiny"),
        ("output/2026-11-30_01-06-27_tiny/0", "outputs/2026-11-30_01-06-27_tiny/0"),
        ("outputs/nothing", None),
        ("elsewhere/2026-11-30_x", None),
        ("zebra.csv", None),
        ("prompts.jsonl/x", None),  # a file is no folder to look in
        ("promts.jsonl", "prompts.jsonl"),
    ],
)
def test_the_nearest_path_is_suggested(
    given: str, near: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for hour in (1, 2):
        (tmp_path / "outputs" / f"2026-11-30_0{hour}-06-27_tiny" / "0").mkdir(parents=True)
    (tmp_path / "prompts.jsonl").touch()
    assert suggest_path(Path(given)) == ("" if near is None else f"; did you mean {near}?")


def test_a_folder_that_cannot_be_listed_gives_no_suggestion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert suggest_path(tmp_path / "x") == ""
