"""Confirming prompts: nothing trains on them and nothing is chosen by them; of their own file, or those left over."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import composed
from helpers.data_files import dataset, pair, write_lines
from transformers import AutoTokenizer

from rlhf_sweeps.assets import folder
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config, DatasetConfig
from rlhf_sweeps.data import Counts, describe_counts, load_pairs, load_prompts
from rlhf_sweeps.record import BaseRecord
from rlhf_sweeps.training.prompt_record import EncodedPrompts, load_encoded


def write(folder: Path, name: str, *texts: str) -> str:
    return str(write_lines(folder / f"{name}.jsonl", [pair(text) for text in texts]))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def in_three(folder: Path) -> DatasetConfig:
    """Four prompts to train on, of which one is held out and one confirms; another is held out and confirms."""
    path = write(folder, "train", "a", "b", "c", "d")
    eval_path, confirm_path = write(folder, "eval", "b", "e"), write(folder, "confirm", "c", " e", "f")
    return dataset(path, eval_path=eval_path, confirm_path=confirm_path)


def test_no_prompt_is_in_two_parts(tmp_path: Path) -> None:
    prompts = load_prompts(in_three(tmp_path))
    assert prompts.train == [user("a"), user("d")]
    assert sorted(map(str, prompts.held_out)) == [str(user("b")), str(user("e"))]
    assert sorted(map(str, prompts.confirming)) == [str(user("c")), str(user("f"))]
    # Two rows of the training file are held out or confirm, and a confirming one is held out.
    assert prompts.counts == Counts(num_rows=9, num_duplicates=1, num_shared=2)
    assert describe_counts(prompts) == (
        "prompts: 2 to train on, 2 held out, of 9 rows; "
        "left out: 1 duplicate, 2 for training whose prompts are held out"
    )
    pairs = load_pairs(in_three(tmp_path))
    assert [found.prompt for found in pairs.train] == prompts.train
    assert [found.prompt for found in pairs.held_out] == prompts.held_out
    assert pairs.counts == Counts(num_rows=6, num_shared=2)


def test_a_confirming_file_keeps_its_prompts_from_a_tenth_by_hash(tmp_path: Path) -> None:
    texts = [f"question {number}" for number in range(50)]
    config = dataset(write(tmp_path, "train", *texts))
    tenth = [messages[0]["content"] for messages in load_prompts(config).held_out]
    rest = [text for text in texts if text not in tenth]
    prompts = load_prompts(replace(config, confirm_path=write(tmp_path, "confirm", tenth[0], *rest[:3])))
    assert prompts.held_out == [user(text) for text in tenth]
    assert sorted(map(str, prompts.confirming)) == sorted(str(user(text)) for text in rest[:3])
    assert prompts.train == [user(text) for text in rest[3:]]
    assert prompts.counts.num_shared == 3


def test_prompts_that_all_choose_cannot_confirm(tmp_path: Path) -> None:
    config = replace(in_three(tmp_path), confirm_path=write(tmp_path, "same", "b", "e"))
    with pytest.raises(ConfigError, match=r"dataset.confirm_path=.*same.jsonl: evaluations use all of its prompts"):
        load_prompts(config)


def test_a_file_has_no_split_to_confirm(tmp_path: Path) -> None:
    message = r"dataset.confirm_split=test: dataset.path=.* has no splits; .* named by dataset.confirm_path"
    with pytest.raises(ConfigError, match=message):
        load_prompts(replace(in_three(tmp_path), confirm_path=None, confirm_split="test"))


def test_in_a_mixture_what_one_source_evaluates_confirms_nowhere(tmp_path: Path) -> None:
    first = in_three(tmp_path)
    second = dataset(
        write(tmp_path, "train_2", "f", "g", "x"),
        name="second",
        eval_path=write(tmp_path, "eval_2", "c"),
        confirm_path=write(tmp_path, "confirm_2", "f", "h"),
    )
    prompts = load_prompts(dataset(None, sources=[first, second]))
    parts = (prompts.train, prompts.held_out, prompts.confirming)
    found = [sorted({messages[0]["content"] for messages in part}) for part in parts]
    assert found == [["a", "d", "g", "x"], ["b", "c", "e"], ["f", "h"]]


def test_a_mixture_is_confirmed_by_all_of_its_sources_or_not_at_all(tmp_path: Path) -> None:
    first = in_three(tmp_path)
    second = dataset(write(tmp_path, "train_2", "x", "y"), name="second", eval_path=write(tmp_path, "eval_2", "z"))
    prompts = load_prompts(dataset(None, sources=[first, second]))
    assert prompts.confirming == []
    assert user("c") not in prompts.train  # still nothing trains on it


def test_confirming_rows_need_no_answers(tmp_path: Path) -> None:
    bare = write_lines(tmp_path / "bare.jsonl", [{"prompt": "c"}])
    pairs = load_pairs(replace(in_three(tmp_path), confirm_path=str(bare)))
    assert [found.prompt for found in pairs.train] == [user("a"), user("d")]


def test_an_embedded_file_confirms_no_other_data(tmp_path: Path) -> None:
    own = write(tmp_path, "own", "a", "b")
    config = replace(composed().dataset, path=own, eval_path=write(tmp_path, "own_eval", "c"))
    assert config.confirm_path == "embedded:human_like_mini/confirm.jsonl"
    assert load_prompts(config).confirming == []
    assert len(load_prompts(composed().dataset).confirming) == 72


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """200 prompts of which about twenty are held out; two evaluate, and three at most confirm."""
    path = write(tmp_path, "prompts", *(f"question {number}" for number in range(200)))
    whole = composed("dataset=local", f"dataset.path={path}", "eval.judges=[]")
    return replace(whole, eval=replace(whole.eval, num_prompts=2, num_confirming=3))


def encode(config: Config, place: Path) -> EncodedPrompts:
    tokenizer = AutoTokenizer.from_pretrained(folder("tiny_policy"))
    first, again = (load_encoded(config, tokenizer, BaseRecord(place)) for _ in range(2))
    assert again == first
    return first


def test_without_a_file_of_their_own_held_out_prompts_confirm_that_no_evaluation_uses(
    config: Config, tmp_path: Path
) -> None:
    held_out = load_prompts(config.dataset).held_out
    found = encode(config, tmp_path)
    assert found.held_out.messages == held_out[:2]
    assert found.confirming.messages == held_out[2:5]
    assert f"{len(held_out)} held out (2 evaluated on), 3 to confirm, of 200 rows" in found.line


def test_a_run_is_told_that_none_is_left(config: Config, tmp_path: Path) -> None:
    all_of_them = replace(config, eval=replace(config.eval, num_prompts=100))
    found = encode(all_of_them, tmp_path)
    assert found.confirming.ids == []
    assert found.line.endswith(
        "none is left to confirm the result (dataset.confirm_path, or a smaller eval.num_prompts)"
    )
    nothing_asked = replace(config, eval=replace(config.eval, num_confirming=0))
    found = encode(nothing_asked, tmp_path / "nothing")
    assert (found.confirming.ids, "confirm" in found.line) == ([], False)


def test_an_own_file_needs_a_prompt_of_an_allowed_length(config: Config, tmp_path: Path) -> None:
    too_long = write(tmp_path, "long", "question " * 300)
    own = replace(config, dataset=replace(config.dataset, confirm_path=too_long))
    with pytest.raises(ConfigError, match=r"dataset.max_prompt_length=128: every confirming prompt is longer"):
        encode(own, tmp_path)
