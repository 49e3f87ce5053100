"""Each kind of file says where it is broken, and bad rows are refused or skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from helpers.data_files import dataset, write_lines
from helpers.written_tables import ROWS, write_csv, write_parquet
from helpers.written_tables import own_cache as own_cache

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.data import load_prompts


def truncated_parquet(path: Path) -> None:
    write_parquet(path)
    path.write_bytes(path.read_bytes()[:-10])


def parquet_with_a_damaged_page(path: Path) -> None:
    write_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)


def two_columns_of_a_name() -> pyarrow.Table:
    columns = [pyarrow.array(["a", "b"]), pyarrow.array(["c", "d"])]
    return pyarrow.Table.from_arrays(columns, names=["prompt", "prompt"])


def folder_of_two_kinds(path: Path) -> None:
    path.mkdir()
    write_csv(path / "a.csv")
    write_lines(path / "b.jsonl", ROWS)


def truncated_folder(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(path)
    (file,) = path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:500])


def damaged_folder(path: Path) -> None:
    datasets.Dataset.from_list([{"prompt": "a"}, {"prompt": "hello"}]).save_to_disk(path)
    (file,) = path.glob("*.arrow")
    file.write_bytes(file.read_bytes().replace(b"hello", b"h\xffllo"))


@pytest.mark.parametrize("bad_rows", ["refuse", "skip"])
@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.csv", b"", r"dataset.path=.*x.csv: holds no prompts"),
        ("x.csv", b"prompt,chosen\n", "holds no prompts"),
        (
            "x.csv",
            b"a question,an answer\n",
            "^dataset.prompt_column=prompt: .*x.csv, line 1 has no such .*; it has: a q",
        ),
        ("x.csv", b" ,\nx,y\n", "line 1: must be a header that names the columns"),
        ("x.csv", b"prompt,chosen,prompt\n", "line 1: must name each column once, has prompt twice"),
        ("x.csv", b"prompt,\xff\na,b\n", "line 1: not UTF-8"),
        ("x.csv", b"prompt;chosen\na;b\n", "line 1: must be separated by commas, is separated by semicolons"),
        ("x.csv", b"prompt\tchosen\na\tb\n", "line 1: must be separated by commas, is separated by tabs"),
        ("x.csv", b'prompt,n\na,1\n"b,2\nc,3\n', r"line 3: not a CSV row \(unexpected end of data\)"),
        ("x.json", b'[{"prompt": "a"},\n{"prompt": \n', "line 3: not a JSON array"),
        ("x.json", b'[{"prompt": "a"},\n{"prompt": "\xff"}]', "line 2: not UTF-8"),
        ("x.json", b"[]", "holds no prompts"),
        ("x.parquet", b"prompt\na\n", "x.parquet: cannot be read as parquet"),
        ("x.parquet", truncated_parquet, "x.parquet: cannot be read as parquet"),
        ("x.parquet", parquet_with_a_damaged_page, "x.parquet: cannot be read as parquet"),
        (
            "x.parquet",
            lambda path: pyarrow.parquet.write_table(pyarrow.table({"q": ["a"]}), path),
            "^dataset.prompt_column=prompt: dataset.path=.*x.parquet has no such column; it has: q$",
        ),
        (
            "x.parquet",
            lambda path: pyarrow.parquet.write_table(two_columns_of_a_name(), path),
            "^dataset.prompt_column=prompt: dataset.path=.*x.parquet must name each column once, has this one twice$",
        ),
        ("folder", folder_of_two_kinds, r"folder: must hold files of one kind, has CSV, JSON \(dataset=mixture takes"),
        ("folder", truncated_folder, "folder: cannot be read"),
        ("folder", damaged_folder, "folder: cannot be read"),
        ("folder", Path.mkdir, "folder: holds no data that can be read"),
        ("x.tsv", b"prompt\na\n", r"x.tsv: must be a file that ends on .jsonl, .json, .csv, .parquet, a folder"),
    ],
)
def test_faults_of_a_file_are_refused_in_any_case(
    name: str, write: bytes | Callable[[Path], Any], message: str, bad_rows: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if isinstance(write, bytes):
        path.write_bytes(write)
    else:
        write(path)
    with pytest.raises(ConfigError, match=message) as caught:
        load_prompts(dataset(path, bad_rows=bad_rows))
    assert "\n" not in str(caught.value)


GOOD_LINES = b'{"prompt": "a"}\n{"prompt": "b"}\n'


@pytest.mark.parametrize(
    ("name", "good", "bad", "message"),
    [
        ("x.jsonl", GOOD_LINES, b'{"prompt": "\xff"}', r"line 3: not UTF-8 \(invalid start byte at byte 12\)"),
        ("x.jsonl", GOOD_LINES, b'{"prompt": "\xed\xa0\x80"}', "line 3: not UTF-8"),
        ("x.jsonl", GOOD_LINES, b'{"prompt": "\\ud83d"}', "line 3: a text holds half a character"),
        ("x.jsonl", GOOD_LINES, b'{"prompt": ' + b"7" * 5000 + b"}", "line 3: not a JSON object"),
        ("x.jsonl", GOOD_LINES, b"[" * 100_000, "line 3: not a JSON object"),
        ("x.jsonl", GOOD_LINES, b'{"prompt": null}', "line 3: a prompt must be a text or a list of messages, is null"),
        ("x.jsonl", GOOD_LINES, b'{"question": "c"}', "^dataset.prompt_column=prompt: .* line 3 has no such column"),
        ("x.json", b'[{"prompt": "a"}, {"prompt": "b"}, ', b"3]", "row 3: must be a JSON object, is a int"),
        ("x.csv", b'prompt,n\n"a\nb",1\nb,2\n', b"c", "line 5: has 1 fields, the header has 2"),
        ("x.csv", b"prompt,n\na,1\nb,2\n", b"c,3,", "line 4: has 3 fields, the header has 2"),
        ("x.csv", b"prompt,n\na,1\nb,2\n", b",3", "line 4: a prompt must end on a user's text that is not empty"),
        ("x.csv", b"prompt,n\na,1\n\nb,2\n", b"\xff,3", "line 5: not UTF-8"),
        ("x.csv", b"prompt,n\na,1\nb,2\n", b'"c"d,3', "line 4: not a CSV row"),
        ("x.csv", b"prompt,n\na,1\nb,2\n", b"\"[{'role': 'user'}]\",3", "line 4: a message must have a role"),
    ],
)
def test_faults_of_a_row_are_refused_or_skipped(
    name: str, good: bytes, bad: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(good + bad)
    with pytest.raises(ConfigError, match=message):
        load_prompts(dataset(path))
    prompts = load_prompts(dataset(path, bad_rows="skip"))
    assert len(prompts.train) == len(prompts.held_out) == 1
    assert (prompts.counts.num_rows, prompts.counts.num_bad_rows) == (3, 1)


def test_a_cell_of_parquet_that_is_not_utf8_is_a_fault_of_its_row(tmp_path: Path) -> None:
    texts = pyarrow.array([b"a", b"\xff", b"c"]).view(pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table({"prompt": texts}), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match=r"x.parquet, row 2: not UTF-8"):
        load_prompts(dataset(tmp_path / "x.parquet"))
    prompts = load_prompts(dataset(tmp_path / "x.parquet", bad_rows="skip"))
    assert sorted(messages[0]["content"] for messages in prompts.train + prompts.held_out) == ["a", "c"]
    assert prompts.counts.num_bad_rows == 1


def test_a_file_of_bad_rows_alone_is_refused_with_the_first(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"prompt": ""}, [1]])
    with pytest.raises(ConfigError, match=r"x.jsonl, line 1: a prompt must end on .*all 2 are bad"):
        load_prompts(dataset(tmp_path / "x.jsonl", bad_rows="skip"))


def test_an_unknown_id_is_refused_without_network() -> None:
    with pytest.raises(ConfigError, match=r"^dataset.path=no/such: neither a local file nor available on the hub"):
        load_prompts(dataset("no/such"))
