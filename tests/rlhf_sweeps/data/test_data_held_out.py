"""What is held out depends on prompts alone: no reward model sees PPO's held-out prompts, nor the other way round."""

import csv
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from helpers.data_files import assistant, dataset, pair, user, write_lines
from pyarrow import parquet

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import DatasetConfig
from rlhf_sweeps.data import load_pairs, load_prompts
from rlhf_sweeps.data.messages import Messages


def share(text: str) -> float:
    """Where the hash of a prompt lies among all hashes, from 0 to 1."""
    return int(hashlib.sha256(f'[{{"role": "user", "content": "{text}"}}]'.encode()).hexdigest(), 16) / 16**64


FIRST, OTHERS = (
    [text for text in map("question {}".format, range(400)) if (share(text) < 0.1) == is_first]
    for is_first in (True, False)
)


def made_up_rows(seed: int, num: int) -> list[dict[str, Any]]:
    """Pairs of some prompts, a third of them bad, in several writings of white space, some twice, shuffled."""
    rng = random.Random(seed)
    bad: list[Callable[[str], dict[str, Any]]] = [
        lambda text: pair(text, "same", "same"),
        lambda text: pair(text, " "),
        lambda text: pair(text, rejected=None),
        lambda text: pair(text, chosen='[{"role": "user", "content":'),  # a broken conversation, where a CSV has it
    ]
    rows = []
    for text in rng.sample(FIRST + OTHERS, num):
        for _ in range(rng.choice([1, 1, 2])):
            written = rng.choice([text, f" {text}\n", text.replace(" ", "  ")])
            rows.append(rng.choice(bad)(written) if rng.random() < 0.35 else pair(written, f"yes {rng.random()}"))
    rng.shuffle(rows)
    return rows


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "chosen", "rejected"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Some answers are not UTF-8, which a reader of prompts does not notice."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    raw = [None if x is None else b"\xff" if "[" in x else x.encode() for x in columns["chosen"]]
    chosen = pyarrow.array(raw, pyarrow.binary()).view(pyarrow.string())
    table = {"prompt": columns["prompt"], "chosen": chosen, "rejected": columns["rejected"]}
    parquet.write_table(pyarrow.table(table), path)
    return path


def write_missing(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines that lack a column rather than have null in it."""
    return write_lines(path, [{name: cell for name, cell in row.items() if cell is not None} for row in rows])


def as_conversations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same where the prompt is what both conversations begin with; some do not have the same one."""
    return [
        {name: [user(row["prompt"]), assistant(row[name] or "yes")] for name in ("chosen", "rejected")} for row in rows
    ]


def texts(prompts: list[Messages]) -> set[str]:
    return {" ".join(messages[-1]["content"].split()) for messages in prompts}


def check_apart(config: DatasetConfig) -> set[str]:
    """The property itself; returns the prompts that are held out."""
    prompts, pairs = load_prompts(config), load_pairs(config)
    train, held_out = (texts([found.prompt for found in part]) for part in (pairs.train, pairs.held_out))
    assert pairs.counts.num_bad_rows > 0
    assert held_out <= texts(prompts.held_out)
    assert train <= texts(prompts.train)
    assert not texts(prompts.held_out) & (train | texts(prompts.train))
    return texts(prompts.held_out)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.jsonl", write_lines),
        ("missing.jsonl", write_missing),
        ("x.csv", write_csv),
        ("x.parquet", write_parquet),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_prompts_and_pairs_are_split_alike(
    seed: int, name: str, write: Callable[[Path, list[dict[str, Any]]], Path], tmp_path: Path
) -> None:
    rows = made_up_rows(seed, 150)
    held_out = check_apart(dataset(write(tmp_path / name, rows), bad_rows="skip"))
    assert held_out == {text for text in FIRST if any(row["prompt"].split() == text.split() for row in rows)}


def test_a_prompt_found_in_conversations_is_split_alike(tmp_path: Path) -> None:
    rows = as_conversations(made_up_rows(0, 150))
    config = dataset(write_lines(tmp_path / "x.jsonl", rows), prompt_column=None, bad_rows="skip")
    assert check_apart(config) <= set(FIRST)


@pytest.mark.parametrize("seed", range(5))
def test_a_prompt_of_the_evaluation_file_is_held_out_although_its_pairs_are_bad(seed: int, tmp_path: Path) -> None:
    rows = made_up_rows(seed, 60)
    evaluated = [pair("only here"), *rows[::4]]
    path, eval_path = write_lines(tmp_path / "x.jsonl", rows), write_missing(tmp_path / "y.jsonl", evaluated)
    held_out = check_apart(dataset(path, eval_path=str(eval_path), bad_rows="skip"))
    assert held_out == {" ".join(row["prompt"].split()) for row in evaluated}


def test_a_split_is_held_out_although_its_pairs_are_bad(tmp_path: Path) -> None:
    rows = made_up_rows(1, 60)
    parts = {"train": rows, "test": [pair("only here"), *rows[::4]]}
    saved = datasets.DatasetDict({name: datasets.Dataset.from_list(part) for name, part in parts.items()})
    saved.save_to_disk(tmp_path / "saved")
    held_out = check_apart(dataset(tmp_path / "saved", eval_split="test", bad_rows="skip"))
    assert held_out == {" ".join(row["prompt"].split()) for row in parts["test"]}


@pytest.mark.parametrize("seed", range(5))
def test_mixtures_are_split_alike(seed: int, tmp_path: Path) -> None:
    rows = made_up_rows(seed, 120)
    held_out = [pair("only here"), *rows[:20]]
    paths = [write_missing(tmp_path / f"{n}.jsonl", part) for n, part in enumerate((rows[:70], rows[50:], held_out))]
    sources = [
        dataset(paths[0], bad_rows="skip"),
        dataset(paths[1], eval_path=str(paths[2]), weight=2.0, bad_rows="skip"),
    ]
    assert "only here" in check_apart(dataset(None, sources=sources))


def test_one_prompt_of_very_few_is_held_out_and_one_trains(tmp_path: Path) -> None:
    expected = {
        (FIRST[0], OTHERS[0]): {FIRST[0]},
        tuple(OTHERS[:4]): {min(OTHERS[:4], key=share)},
        tuple(FIRST[:3]): set(FIRST[:3]) - {max(FIRST[:3], key=share)},
        (*FIRST[:3], OTHERS[0]): set(FIRST[:3]),
    }
    for number, (prompts, held_out) in enumerate(expected.items()):
        path = write_lines(tmp_path / f"{number}.jsonl", [{"prompt": text} for text in prompts])
        found = load_prompts(dataset(path))
        assert (texts(found.held_out), texts(found.train)) == (held_out, set(prompts) - held_out)


def test_pairs_whose_held_out_prompts_have_none_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [pair(FIRST[0], "same", "same"), *map(pair, OTHERS[:5])])
    with pytest.raises(ConfigError, match=r"^dataset.path=.*x.jsonl: no pairs are held out, .*; eval_path can"):
        load_pairs(dataset(path, bad_rows="skip"))
    mixture = dataset(None, sources=[dataset(path, bad_rows="skip")])
    with pytest.raises(ConfigError, match=r"^dataset.sources: no pairs are held out"):
        load_pairs(mixture)
