"""What a pair's cells may hold, which pairs count as the same, and how they are split."""

from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
from helpers.data_files import assistant, dataset, pair, user, write_lines

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import Counts, PreferencePair, as_text, describe_counts, load_pairs, load_prompts
from rlhf_sweeps.data.messages import read_answer, read_prompt

SYSTEM = {"role": "system", "content": "Be brief."}
TALK = [SYSTEM, user("a?"), assistant("b"), user("c?")]
FILLER = pair("filler 1")  # held out whatever else there is: its SHA-256 begins with 04


def loaded(path: Path, rows: list[dict[str, Any]], **changes: Any) -> list[PreferencePair]:
    """All pairs of some rows but the filler, which is there so that one can be held out."""
    pairs = load_pairs(dataset(write_lines(path / "x.jsonl", rows), **changes))
    return [found for found in pairs.train + pairs.held_out if found.prompt != [user("filler 1")]]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (pair("a?", "yes ", "no"), PreferencePair([user("a?")], "yes ", "no")),
        (pair(TALK, "yes", [assistant("no")]), PreferencePair(TALK, "yes", "no")),
        (pair(TALK, [*TALK, assistant("yes")], [*TALK, assistant("no")]), PreferencePair(TALK, "yes", "no")),
        (
            pair(" a?\n", [user("a?"), assistant("yes")], [assistant("no")]),
            PreferencePair([user(" a?\n")], "yes", "no"),
        ),
    ],
)
def test_answers_are_texts_messages_or_conversations(
    row: dict[str, Any], expected: PreferencePair, tmp_path: Path
) -> None:
    assert loaded(tmp_path, [row, FILLER]) == [expected]


def test_the_prompt_is_found_in_the_conversations(tmp_path: Path) -> None:
    filler = {"chosen": [user("filler 1"), assistant("1")], "rejected": [user("filler 1"), assistant("2")]}
    row = {"chosen": [*TALK, assistant("yes")], "rejected": [*TALK, assistant("no")]}
    assert loaded(tmp_path, [row, filler], prompt_column=None) == [PreferencePair(TALK, "yes", "no")]
    prompts = load_prompts(dataset(tmp_path / "x.jsonl", prompt_column=None))
    assert TALK in prompts.train + prompts.held_out


@pytest.mark.parametrize(
    ("chosen", "rejected", "message"),
    [
        (
            [*TALK, assistant("yes")],
            [*TALK, assistant("x"), user("y"), assistant("no")],
            "the two conversations must be the same but",
        ),
        (
            [*TALK, assistant("yes")],
            [*TALK[:-1], user("d?"), assistant("no")],
            "the two conversations must be the same but",
        ),
        ([*TALK, assistant("yes")], [*TALK, user("no")], "the two conversations must be the same but"),
        ([assistant("yes")], [assistant("no")], "a prompt must end on a user's text"),
        ("a? yes", "a? no", "to contain the prompt, both answers must be lists of messages"),
    ],
)
def test_conversations_that_share_no_prompt(chosen: Any, rejected: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"x.jsonl, line 1: {message}"):
        loaded(tmp_path, [{"chosen": chosen, "rejected": rejected}], prompt_column=None)
    with pytest.raises(ConfigError, match=rf"x.jsonl, line 1: {message}"):
        load_prompts(dataset(tmp_path / "x.jsonl", prompt_column=None))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (pair("a", "yes", "yes"), "the chosen and the rejected answer are the same"),
        (pair("a", " ", "no"), "the chosen answer must not be empty"),
        (pair("a", "yes", None), "the rejected answer must be a text or a list of messages, is null"),
        (pair("a", "yes", 3), "the rejected answer must be a text or a list of messages, is a int"),
        (pair("a", [], "no"), "the chosen answer must end on an assistant's message"),
        (pair("a", [user("yes")], "no"), "the chosen answer must end on an assistant's message"),
        (pair("a", [{"role": "assistant", "content": None}], "no"), "a message must have a role .*, has a NoneType$"),
        (pair([{"role": "human", "content": "a"}]), "a message must have a role .*, has the role human$"),
        (
            pair([{"role": "x y\n" * 30, "content": "a"}]),
            r"a message must have a role .*, has the role x y x y .*\.\.\.$",
        ),
        (pair([{"from": "human", "value": "a"}]), "a message must have a role .*, has no role but from, value$"),
        (
            pair("a", [user("b"), assistant("yes")], "no"),
            r"the chosen answer must be one assistant message, or begin .* \(prompt_column=null takes what both",
        ),
        (pair("a", "yes", "\ud800"), "a text holds half a character"),
    ],
)
def test_a_bad_pair_is_refused_or_skipped(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = [pair("good"), row, FILLER]
    with pytest.raises(ConfigError, match=rf"x.jsonl, line 2: {message}"):
        loaded(tmp_path, rows)
    assert loaded(tmp_path, rows, bad_rows="skip") == [PreferencePair([user("good")], "yes", "no")]


def test_a_file_without_answers_names_the_column_and_those_there_are(tmp_path: Path) -> None:
    for rows in ([{"prompt": "a"}], [{"prompt": "a", "chosen": "b"}]):
        missing = "rejected" if "chosen" in rows[0] else "chosen"
        has = ", ".join(rows[0])
        with pytest.raises(
            ConfigError, match=rf"^dataset.{missing}_column={missing}: .* no such column; it has: {has}$"
        ):
            loaded(tmp_path, rows)


def test_arrays_of_other_libraries_are_lists() -> None:
    assert read_prompt(numpy.array(TALK, dtype=object)) == TALK
    assert read_prompt(pyarrow.array(TALK)) == TALK
    assert read_answer(numpy.array([assistant("b")], dtype=object), TALK, "it") == "b"


def test_one_message_as_text_is_its_content_and_several_are_lines() -> None:
    assert as_text([user("a\nb")]) == "a\nb"
    assert as_text(TALK) == "system: Be brief.\nuser: a?\nassistant: b\nuser: c?"


def test_duplicates_are_left_out_and_contradictions_kept(tmp_path: Path) -> None:
    rows = [
        pair("a", "1", "2"),
        pair("a", "1", "2"),  # once more
        pair(" a ", "1", "2"),  # once more, but for white space
        pair("a", "2", "1"),  # the other way round: one contradiction, with the first
        pair("a", "1", "3"),
        pair("b", "2", "1"),  # of another prompt
    ]
    pairs = load_pairs(dataset(write_lines(tmp_path / "x.jsonl", rows)))
    assert pairs.counts == Counts(num_rows=6, num_duplicates=2, num_contradictions=1)
    # The SHA-256 of '[{"role": "user", "content": "a"}]' begins with 62, that of "b" with 74: the smallest is held out.
    assert pairs.train == [PreferencePair([user("b")], "2", "1")]
    assert pairs.held_out == [PreferencePair([user("a")], *answers) for answers in (("1", "2"), ("2", "1"), ("1", "3"))]
    assert describe_counts(pairs) == (
        "pairs: 1 to train on, 3 held out, of 6 rows; left out: 2 duplicates; kept: 1 contradiction"
    )


def test_all_pairs_of_a_prompt_are_where_the_prompt_is(tmp_path: Path) -> None:
    rows = [pair(f"{n % 40} ?", f"chosen {n}") for n in range(120)]
    config = dataset(write_lines(tmp_path / "x.jsonl", rows))
    pairs, prompts = load_pairs(config), load_prompts(config)
    assert len(pairs.held_out) == 3 * len(prompts.held_out) > 0
    assert [found.prompt for found in pairs.held_out[::3]] == prompts.held_out
    assert [found.chosen for found in pairs.train] == [
        row["chosen"] for row in rows if [user(row["prompt"])] not in prompts.held_out
    ]


def test_pairs_of_a_held_out_prompt_are_not_trained_on(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [pair("a"), pair("b ", "2"), pair("b", "3"), pair("c", "c", "c")])
    eval_path = write_lines(tmp_path / "y.jsonl", [pair("b"), pair("d"), pair("d")])
    pairs = load_pairs(dataset(path, eval_path=str(eval_path), bad_rows="skip"))
    assert pairs.train == [PreferencePair([user("a")], "yes", "no")]
    assert sorted(found.prompt[0]["content"] for found in pairs.held_out) == ["b", "d"]
    assert pairs.counts == Counts(num_rows=7, num_bad_rows=1, num_duplicates=1, num_shared=2)
    with pytest.raises(ConfigError, match=r"y.jsonl: no pairs are left to train on beside 2 held out"):
        load_pairs(dataset(eval_path, eval_path=str(eval_path)))
