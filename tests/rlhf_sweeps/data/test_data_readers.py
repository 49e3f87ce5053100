"""Every kind of file gives the same rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from helpers.data_files import dataset, user, write_lines
from helpers.written_tables import (
    PAIRS,
    ROWS,
    write_csv,
    write_folder,
    write_json,
    write_lines_of_windows,
    write_parquet,
)
from helpers.written_tables import own_cache as own_cache

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import list_files, load_pairs, load_prompts


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.jsonl", lambda path: write_lines(path, ROWS)),
        ("x.JSONL", write_lines_of_windows),
        ("x.json", write_json),
        ("lines.json", lambda path: write_lines(path, ROWS)),
        ("x.csv", write_csv),
        ("index.csv", write_csv),
        ("x.parquet", write_parquet),
        ("saved", lambda path: datasets.Dataset.from_list(ROWS).save_to_disk(path)),
        ("pandas", lambda path: datasets.Dataset.from_list(ROWS).with_format("pandas").save_to_disk(path)),
        ("splits", lambda path: datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(path)),
        ("folder", write_folder),
    ],
)
def test_all_formats_hold_the_same_pairs(name: str, write: Callable[[Path], Any], tmp_path: Path) -> None:
    write(tmp_path / name)
    pairs = load_pairs(dataset(tmp_path / name))
    assert len(pairs.held_out) == 1
    assert pairs.train == [known for known in PAIRS if known not in pairs.held_out]
    assert pairs.held_out[0] in PAIRS


def test_a_cell_of_a_csv_may_be_long(tmp_path: Path) -> None:
    """Longer than 131,072 characters, at which Python's csv module stops."""
    long = "word " * 30_000
    path = tmp_path / "x.csv"
    path.write_text(f"prompt,chosen,rejected\na,{long},no\nb,yes,no\n", encoding="utf-8")
    pairs = load_pairs(dataset(path))
    assert {pair.chosen for pair in (*pairs.train, *pairs.held_out)} == {long, "yes"}


def test_splits_of_a_saved_folder_and_of_a_plain_one(tmp_path: Path) -> None:
    parts = {"train": [{"prompt": "a"}, {"prompt": "b"}], "test": [{"prompt": "b"}, {"prompt": "c"}]}
    saved = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in parts.items()})
    saved.save_to_disk(tmp_path / "saved")
    (tmp_path / "plain").mkdir()
    for name, rows in parts.items():
        write_lines(tmp_path / "plain" / f"{name}.jsonl", rows)
    for path in (tmp_path / "saved", tmp_path / "plain"):
        prompts = load_prompts(dataset(path, eval_split="test"))
        assert prompts.train == [[user("a")]]
        assert sorted(message["content"] for (message,) in prompts.held_out) == ["b", "c"]
        with pytest.raises(ConfigError, match=r"^dataset.eval_split=dev: .* no such split \(allowed: train, test\)$"):
            load_prompts(dataset(path, eval_split="dev"))


def test_the_held_out_part_can_be_a_split_of_another_folder(tmp_path: Path) -> None:
    other = datasets.DatasetDict(dev=datasets.Dataset.from_list([{"prompt": "c"}]))
    other.save_to_disk(tmp_path / "other")
    path = write_lines(tmp_path / "x.jsonl", [{"prompt": "a"}])
    prompts = load_prompts(dataset(path, eval_path=str(tmp_path / "other"), eval_split="dev"))
    assert (prompts.train, prompts.held_out) == ([[user("a")]], [[user("c")]])
    with pytest.raises(ConfigError, match=r"^dataset.eval_split=train: dataset.eval_path=.*other has no such split"):
        load_prompts(dataset(path, eval_path=str(tmp_path / "other")))


def test_load_dataset_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(ConfigError, match=r"^dataset.subset=x: .* has no such subset \(allowed: default\)$"):
        load_prompts(dataset(tmp_path, subset="x"))
    (tmp_path / "train.jsonl").write_text('{"prompt": \n{"a', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds no data that can be read \(JSON parse error"):
        load_prompts(dataset(tmp_path))


def test_a_folder_may_describe_itself_beside_its_rows(tmp_path: Path) -> None:
    write_folder(tmp_path / "x")
    write_csv(tmp_path / "x" / "train.csv")
    (tmp_path / "x" / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: train.csv\n---\n")
    assert load_pairs(dataset(tmp_path / "x")).counts.num_rows == len(ROWS)
    write_parquet(tmp_path / "y.parquet")
    (tmp_path / "y").mkdir()
    (tmp_path / "y.parquet").rename(tmp_path / "y" / "y.parquet")
    (tmp_path / "y" / "dataset_infos.json").write_text("{}")
    assert load_pairs(dataset(tmp_path / "y")).counts.num_rows == len(ROWS)


def test_what_has_no_splits_is_not_held_out_as_a_whole(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    datasets.Dataset.from_list([{"prompt": "a"}]).save_to_disk(tmp_path / "saved")
    for name in ("x.jsonl", "saved"):
        with pytest.raises(ConfigError, match=r"^dataset.eval_split=test: dataset.path=.* has no splits; "):
            load_prompts(dataset(tmp_path / name, eval_split="test"))


def test_a_single_column_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b\nx\ny\n", encoding="utf-8")
    assert load_prompts(dataset(tmp_path / "x.csv", prompt_column="a;b")).counts.num_rows == 2


def test_all_local_files_are_found_that_a_data_set_is_read_from(tmp_path: Path) -> None:
    path, eval_path = (write_lines(tmp_path / name, ROWS) for name in ("x.jsonl", "y.jsonl"))
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    sources = [dataset(path, eval_path=str(eval_path)), dataset(tmp_path / "saved"), dataset("owner/name")]
    saved = ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"]
    expected = [path, eval_path, *(tmp_path / "saved" / name for name in saved)]
    assert list(list_files(dataset(None, sources=sources))) == expected
    with pytest.raises(ConfigError, match=r"^dataset.sources\[0\].eval_path=z.jsonl: no such file or folder"):
        list(list_files(dataset(None, sources=[dataset(path, eval_path="z.jsonl")])))
