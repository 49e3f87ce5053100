"""Reading, splitting and ordering prompts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose

from rlhf_sweeps.config import ConfigError, DatasetConfig
from rlhf_sweeps.data import batch_indices, encode, load_prompts


@pytest.fixture
def dataset(compose_config: Compose) -> DatasetConfig:
    return compose_config("dataset=jsonl", "dataset.path=x.jsonl").dataset


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_texts_and_messages_are_both_prompts(dataset: DatasetConfig, tmp_path: Path) -> None:
    chat = [*user("a"), {"role": "assistant", "content": "b"}, *user("c")]
    path = write(tmp_path / "p.jsonl", [{"prompt": "hi"}, {"prompt": chat}, {"prompt": "hi"}])
    prompts = load_prompts(replace(dataset, path=path))
    assert sorted(map(json.dumps, prompts.train + prompts.held_out)) == sorted(map(json.dumps, [user("hi"), chat]))
    assert (len(prompts.held_out), prompts.num_duplicates) == (1, 1)


def test_the_split_is_a_tenth_and_does_not_depend_on_the_order_of_rows(dataset: DatasetConfig, tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}"} for i in range(50)]
    splits = [
        load_prompts(replace(dataset, path=write(tmp_path / name, order)))
        for name, order in (("a.jsonl", rows), ("b.jsonl", rows[::-1]))
    ]
    assert splits[0].held_out == splits[1].held_out
    assert len(splits[0].held_out) == 5
    assert not any(prompt in splits[0].held_out for prompt in splits[0].train)


def test_a_prompt_of_the_evaluation_file_is_not_trained_on(dataset: DatasetConfig, tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    eval_path = write(tmp_path / "test.jsonl", [{"prompt": "b"}, {"prompt": "c"}])
    prompts = load_prompts(replace(dataset, path=path, eval_path=eval_path))
    assert prompts.train == [user("a")]
    assert sorted(map(json.dumps, prompts.held_out)) == [json.dumps(user("b")), json.dumps(user("c"))]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"prompt": "a"}\n{"prompt": \n', "line 2: not a JSON object"),
        (b'{"prompt": "a"}\n\n["b"]\n', "line 3: must be a JSON object, is a list"),
        (b'{"prompt": "\xff"}\n', "line 1: not UTF-8"),
        (
            b'{"question": "a", "answer": "b"}\n',
            "dataset.prompt_column=prompt: .*line 1 has no such column; .*question, answer",
        ),
        (b'{"prompt": "  "}\n', "line 1: a prompt must end on a user's text that is not empty"),
        (b'{"prompt": 3}\n', "line 1: a prompt must be a text or a list of messages, is a int"),
        (b'{"prompt": []}\n', "line 1: a prompt must end on a user's text"),
        (b'{"prompt": [{"role": "robot", "content": "a"}]}\n', "line 1: a message must have a role"),
        (b'{"prompt": [{"role": "assistant", "content": "a"}]}\n', "line 1: a prompt must end on a user's text"),
        (b"", "holds no prompts"),
        (b'{"prompt": "a"}\n', "no prompts are left to train on beside 1 held out"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(
    content: bytes, message: str, dataset: DatasetConfig, tmp_path: Path
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_prompts(replace(dataset, path=str(path)))


def test_a_missing_file_is_refused(dataset: DatasetConfig) -> None:
    with pytest.raises(ConfigError, match=r"dataset.path=no/such.jsonl: no such file"):
        load_prompts(replace(dataset, path="no/such.jsonl"))


def test_a_line_separator_inside_a_prompt_does_not_end_its_line(dataset: DatasetConfig, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a\u2028b"}\n{"prompt": "c"}\n', encoding="utf-8")
    prompts = load_prompts(replace(dataset, path=str(path)))
    assert sorted(map(json.dumps, prompts.train + prompts.held_out)) == sorted(
        map(json.dumps, [user("a\u2028b"), user("c")])
    )


def test_every_pass_shows_each_prompt_once_in_another_order() -> None:
    stream = [i for update in range(1, 8) for i in batch_indices(num_prompts=10, batch_size=4, update=update, seed=0)]
    first, second = stream[:10], stream[10:20]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert stream[:4] == batch_indices(10, 4, 1, seed=0) != batch_indices(10, 4, 1, seed=1)


class WordTokenizer:
    """One token a word."""

    chat_template = None

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [len(word) for word in text.split()]}


def test_prompts_that_are_too_long_are_left_out_and_counted() -> None:
    tokenizer: Any = WordTokenizer()
    encoded = encode([user("one two"), user("one two three")], tokenizer, max_length=2)
    assert (encoded.ids, encoded.messages, encoded.num_too_long) == ([[3, 3]], [user("one two")], 1)
    with pytest.raises(ConfigError, match=r"max_prompt_length=1: every prompt is longer; the shortest has 2 tokens"):
        encode([user("one two")], tokenizer, max_length=1)


def test_a_conversation_needs_a_chat_template() -> None:
    tokenizer: Any = WordTokenizer()
    with pytest.raises(ConfigError, match="no chat template"):
        encode([[*user("a"), {"role": "assistant", "content": "b"}, *user("c")]], tokenizer, max_length=9)
