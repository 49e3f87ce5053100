"""Conversations that a file holds as text are read as those that it holds as lists."""

import json
from pathlib import Path

import pandas
import pytest
from helpers.data_files import assistant, dataset, pair, user, write_lines
from helpers.written_tables import own_cache as own_cache

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import load_pairs, load_prompts
from rlhf_sweeps.data.messages import read_answer, read_prompt


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv", "x.parquet"])
def test_written_conversations_are_read_from_any_file(name: str, tmp_path: Path) -> None:
    """One truth: the same cells are the same prompts and answers, whoever wrote the file."""
    talk = [user("a?"), assistant("b"), user("c?")]
    rows = [pair(json.dumps(talk), json.dumps([assistant("d")]), f"e {n}") for n in range(2)]
    rows.append(pair("plain [x]"))
    path = tmp_path / name
    if name == "x.jsonl":
        write_lines(path, rows)
    elif name == "x.json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        table = pandas.DataFrame(rows)
        table.to_csv(path, index=False) if name == "x.csv" else table.to_parquet(path)
    prompts, pairs = load_prompts(dataset(path)), load_pairs(dataset(path))
    assert sorted(map(len, prompts.train + prompts.held_out)) == [1, 3]
    assert talk in prompts.train + prompts.held_out
    assert sorted({one.chosen for one in pairs.train + pairs.held_out}) == ["d", "yes"]


@pytest.mark.parametrize(
    "cell",
    [
        "[{'role': 'user', 'content': 'it\\'s \\\\d'}]",  # as Python prints it
        '[{"id": 1, "content": "it\'s \\\\d", "weight": null, "role": "user"}]',
        ' {"id": 7, "messages": [{"role": "user", "content": "it\'s \\\\d"}]}',
        json.dumps(json.dumps([user("it's \\d")])),
    ],
)
def test_a_conversation_is_told_however_it_is_written(cell: str) -> None:
    assert read_prompt(cell) == [user("it's \\d")]


@pytest.mark.parametrize(
    "cell",
    [
        '[{"value": 1, "unit": "m"}] sum these', '[{"value": 1}]', '{"role": "villain", "name": "Bo"}', "[]", "{",
        '[{"content": "a b"}]', '{"role": "admin", "id": 7}  Write a schema.', '[{"from": "Bonn", "to": "Rome"}]',
        '"The \'role\': \'user\' is set", she said', "[" * 100_000, '{"from": "Bonn"} how far?',
        '"[{" is how JSON begins', "{[]: 1}",
    ],
)  # fmt: skip
def test_other_json_is_a_text(cell: str) -> None:
    assert read_prompt(cell) == [user(cell)]
    assert read_answer(cell, [user("Give me JSON")], "the chosen answer") == cell


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("[{'role': 'user', 'content': 'a'} {'role': 'user', 'content': 'b'}]", "messages in a text must be JSON"),
        ('[{"role": "user", "content": "a"', "messages in a text must be JSON"),
        ('[{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]', "a message must have a role"),
        ('[{"from": "human", "value": "a"}]', "a message must have a role"),
        ('{"role": "user", "content": "a"}', "a prompt must be a text or a list of messages, is a dict"),
    ],
)
def test_what_is_written_otherwise_is_refused_and_not_taken_for_a_text(cell: str, reason: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"prompt": "a"}, {"prompt": cell}])
    with pytest.raises(ConfigError, match=rf"x.jsonl, line 2: {reason}"):
        load_prompts(dataset(path))
