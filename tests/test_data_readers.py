"""Every kind of file gives the same rows, and says where it is broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from data_files import assistant, dataset, pair, user, write_lines

from rlhf_sweeps.data import Pair, files_of, load_pairs, load_prompts
from rlhf_sweeps.data.messages import read_answer, read_prompt
from rlhf_sweeps.fields import ConfigError

TALK = [user("hi"), assistant("hello"), user("who?")]
ROWS = [
    {**pair(TALK, [assistant("me, 你")], [assistant("no\none")]), "n": 1},
    *({**pair([user(f'"{n}", x')], [assistant("a")], [assistant("b")]), "n": n} for n in range(9)),
]
PAIRS = [Pair(row["prompt"], row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in ROWS]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2, ensure_ascii=False), encoding="utf-8-sig")


def write_lines_of_windows(path: Path) -> None:
    lines = "\r\n\r\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + lines.encode() + b"\r\n")


def write_csv(path: Path) -> None:
    cells = {name: [json.dumps(row[name]) for row in ROWS] for name in ("prompt", "chosen", "rejected")}
    table = pandas.DataFrame(cells)
    if path.name == "index.csv":
        table.to_csv(path)
    else:
        table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def write_parquet(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=4)


def write_folder(path: Path) -> None:
    path.mkdir()
    write_lines(path / "train.jsonl", ROWS)


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


def test_a_single_column_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b\nx\ny\n", encoding="utf-8")
    assert load_prompts(dataset(tmp_path / "x.csv", prompt_column="a;b")).counts.num_rows == 2


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
    with pytest.raises(ConfigError, match=r"^dataset.path=no/such: neither a file here nor to be had from the hub"):
        load_prompts(dataset("no/such"))


def test_all_local_files_are_found_that_a_data_set_is_read_from(tmp_path: Path) -> None:
    path, eval_path = (write_lines(tmp_path / name, ROWS) for name in ("x.jsonl", "y.jsonl"))
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    sources = [dataset(path, eval_path=str(eval_path)), dataset(tmp_path / "saved"), dataset("owner/name")]
    saved = ["data-00000-of-00001.arrow", "dataset_info.json", "state.json"]
    expected = [path, eval_path, *(tmp_path / "saved" / name for name in saved)]
    assert list(files_of(dataset(None, sources=sources))) == expected
    with pytest.raises(ConfigError, match=r"^dataset.sources\[0\].eval_path=z.jsonl: no such file or folder"):
        list(files_of(dataset(None, sources=[dataset(path, eval_path="z.jsonl")])))
