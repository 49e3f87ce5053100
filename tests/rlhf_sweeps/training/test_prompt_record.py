"""Prompts read and encoded once: kept in the record, made anew where what they depend on has changed."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from helpers.data_files import dataset, pair, write_lines
from transformers import PreTrainedTokenizerBase

from rlhf_sweeps import preflight
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import Config, DatasetConfig
from rlhf_sweeps.data import Prompts, encode, load_prompts
from rlhf_sweeps.data.mixtures import load_split
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.record import BaseRecord
from rlhf_sweeps.training import prompt_record
from rlhf_sweeps.training.prompt_record import EncodedPrompts, load_encoded

NUM_PROMPTS = 100


@pytest.fixture
def config(compose_config: Compose, tmp_path: Path) -> Config:
    path = write_lines(tmp_path / "x.jsonl", [pair(f"question {number}") for number in range(NUM_PROMPTS)])
    return replace(compose_config("eval.num_prompts=3", "eval.num_confirming=2"), dataset=dataset(path))


@pytest.fixture
def tokenizer(config: Config) -> PreTrainedTokenizerBase:
    return models.load_tokenizer(config.model)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[DatasetConfig]:
    """Grows with every data set that is read."""
    found: list[DatasetConfig] = []

    def read(given: DatasetConfig, *arguments: Any) -> Prompts:
        found.append(given)
        return load_prompts(given, *arguments)

    monkeypatch.setattr(prompt_record, "load_prompts", read)
    return found


def test_a_second_trial_finds_what_the_first_one_read(
    config: Config, tokenizer: PreTrainedTokenizerBase, readings: list[DatasetConfig], tmp_path: Path
) -> None:
    first, second = (load_encoded(config, tokenizer, BaseRecord(tmp_path)) for _ in range(2))
    assert second == first
    assert len(readings) == 1
    prompts = load_prompts(config.dataset)
    assert first.training.messages == prompts.train
    assert first.held_out.messages == prompts.held_out[:3]
    expected = [
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        for messages in prompts.train
    ]
    assert first.training.ids == expected
    assert first.line == (
        f"prompts: {len(prompts.train)} to train on, {len(prompts.held_out)} held out (3 evaluated on), 2 to confirm, "
        f"of {NUM_PROMPTS} rows"
    )


def test_a_mixtures_repeats_are_kept_once(config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.jsonl", [pair(text) for text in ("a", "b", "c")])
    sources = [config.dataset, dataset(few, name="few", weight=1.0)]
    config = replace(config, dataset=dataset(None, sources=sources))
    first, second = (load_encoded(config, tokenizer, BaseRecord(tmp_path)) for _ in range(2))
    assert second == first
    assert len({id(messages) for messages in second.training.messages}) < len(second.training.messages) / 1.5
    (file,) = (tmp_path / "base").iterdir()
    assert file.read_text().count('"content": "a"') == 1


Change = Callable[[Config, PreTrainedTokenizerBase], Config | None]


def rewrite(config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    path = Path(config.dataset.path or "")
    path.write_text(path.read_text().replace("question", "querying"))


def change_template(config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = f"<|system|>{tokenizer.chat_template}"


def add_token(config: Config, tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.add_tokens(["question"])


CHANGES: dict[str, Change] = {
    "file": rewrite,
    "template": change_template,
    "tokenizer": add_token,
    "longest": lambda config, _: replace(config, dataset=replace(config.dataset, max_prompt_length=20)),
    "shortest": lambda config, _: replace(config, dataset=replace(config.dataset, min_prompt_length=2)),
    "evaluated": lambda config, _: replace(config, eval=replace(config.eval, num_prompts=2)),
    "confirming": lambda config, _: replace(config, eval=replace(config.eval, num_confirming=1)),
    "model": lambda config, _: replace(config, model=replace(config.model, revision="other")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_read_anew(
    name: str, config: Config, tokenizer: PreTrainedTokenizerBase, readings: list[DatasetConfig], tmp_path: Path
) -> None:
    load_encoded(config, tokenizer, BaseRecord(tmp_path))
    config = CHANGES[name](config, tokenizer) or config
    found = load_encoded(config, tokenizer, BaseRecord(tmp_path))
    assert len(readings) == 2
    assert found == load_encoded(config, tokenizer, BaseRecord(tmp_path / "new"))


@pytest.mark.parametrize("module", [prompt_record, prompt_record.transformers], ids=["ours", "transformers"])
def test_prompts_of_another_version_are_read_anew(
    module: Any,
    config: Config,
    tokenizer: PreTrainedTokenizerBase,
    readings: list[DatasetConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_encoded(config, tokenizer, BaseRecord(tmp_path))
    monkeypatch.setattr(module, "__version__", "0.0.0")
    load_encoded(config, tokenizer, BaseRecord(tmp_path))
    assert len(readings) == 2


def test_what_prompts_do_not_depend_on_reads_nothing_anew(
    config: Config, tokenizer: PreTrainedTokenizerBase, readings: list[DatasetConfig], tmp_path: Path
) -> None:
    load_encoded(config, tokenizer, BaseRecord(tmp_path))
    ppo = replace(config.ppo, lr=0.5, batch_size=7, response_length=3)
    load_encoded(replace(config, ppo=ppo, seed=8, name="other", device="cpu"), tokenizer, BaseRecord(tmp_path))
    load_encoded(replace(config, eval=replace(config.eval, every=9)), tokenizer, BaseRecord(tmp_path))
    assert len(readings) == 1


def test_what_was_left_out_is_kept_in_mind(config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """Prompts of one word, three and twenty; the first are too short and the last too long."""
    texts = [f"{number}" for number in range(12)] + [f"a b {number}" for number in range(50)]
    texts += [20 * f"{number} " for number in range(25)]
    path = write_lines(tmp_path / "mixed.jsonl", [pair(text) for text in texts])
    bare = len(encode([[{"role": "user", "content": "1"}]], tokenizer, 99).ids[0])
    config = replace(config, dataset=dataset(path, min_prompt_length=bare + 2, max_prompt_length=bare + 12))
    first, second = (load_encoded(config, tokenizer, BaseRecord(tmp_path)) for _ in range(2))
    assert second == first
    prompts = load_prompts(config.dataset)
    words = [len(messages[0]["content"].split()) for messages in prompts.train]
    assert (second.training.num_too_short, second.training.num_too_long) == (words.count(1), words.count(20))
    assert 0 < words.count(1) < words.count(20)
    assert [len(messages[0]["content"].split()) for messages in second.training.messages] == [3] * words.count(3)


@pytest.mark.parametrize(
    "content", ["", "{", "{}\n", '{"prompts": [], "order": [0]}\n{}\n{}\n', "[1]\n[2]\n[3]\n", "\x00" * 99 + "\n"]
)
def test_a_damaged_file_is_made_anew(
    content: str, config: Config, tokenizer: PreTrainedTokenizerBase, readings: list[DatasetConfig], tmp_path: Path
) -> None:
    first = load_encoded(config, tokenizer, BaseRecord(tmp_path))
    (file,) = (tmp_path / "base").iterdir()
    whole = file.read_text()
    file.write_text(content)
    assert load_encoded(config, tokenizer, BaseRecord(tmp_path)) == first
    assert (file.read_text(), len(readings)) == (whole, 2)


def test_of_trials_that_start_together_one_reads(
    config: Config, tokenizer: PreTrainedTokenizerBase, readings: list[DatasetConfig], tmp_path: Path
) -> None:
    found: list[EncodedPrompts] = []
    start = threading.Barrier(8)

    def start_trial() -> None:
        start.wait()
        found.append(load_encoded(config, tokenizer, BaseRecord(tmp_path)))

    trials = [threading.Thread(target=start_trial) for _ in range(8)]
    for trial in trials:
        trial.start()
    for trial in trials:
        trial.join()
    assert len(readings) == 1
    assert all(one == found[0] for one in found)
    assert len(found) == 8


def test_a_trial_that_its_sweeper_has_checked_reads_no_data_set_for_a_check(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReadError(Exception):
        pass

    def refuse(*_: object) -> None:
        raise ReadError

    for name in ("load_prompts", "load_pairs"):
        monkeypatch.setattr(preflight, name, refuse)
    config = compose_config("reward_model=length", "eval.judges=[minilm]")
    preflight.check_trial(config, tmp_path)
    with pytest.raises(ReadError):
        preflight.check(config, tmp_path)
    with pytest.raises(ConfigError, match=r"ppo.response_length=1000: .* must fit the model's context"):
        preflight.check_trial(compose_config("ppo.response_length=1000"), tmp_path)


def test_a_runs_data_is_read_once_for_its_check_and_its_training(
    compose_config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = compose_config()
    reads: list[tuple[Any, ...]] = []
    expected = load_prompts(config.dataset)

    def read(*arguments: Any, **options: Any) -> object:
        reads.append(arguments)
        return load_split(*arguments, **options)

    monkeypatch.setattr("rlhf_sweeps.data.prompts.load_split", read)
    preflight.check(config, tmp_path / "run")
    tokenizer = models.load_tokenizer(config.model)
    found = load_encoded(config, tokenizer, BaseRecord(tmp_path))
    assert len(reads) == 1
    assert found.training.messages == expected.train[: len(found.training.messages)]
    # Another data set is read for itself, and this one anew the next time.
    preflight.check(config, tmp_path / "run")
    other = replace(config.dataset, eval_path=None)
    assert load_prompts(other).held_out != expected.held_out
    assert load_prompts(config.dataset) == load_prompts(config.dataset) == expected
    assert len(reads) == 4


def test_held_out_prompts_that_do_not_fit_are_named_as_such(compose_config: Compose, tmp_path: Path) -> None:
    for name, texts in (("train", ["short"]), ("test", ["much longer " * 30])):
        lines = "".join(json.dumps({"prompt": text}) + "\n" for text in texts)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    paths = (f"dataset.path={tmp_path}/train.jsonl", f"dataset.eval_path={tmp_path}/test.jsonl")
    config = compose_config("dataset=local", *paths, "dataset.max_prompt_length=20")
    with pytest.raises(
        ConfigError, match=r"^dataset.max_prompt_length=20: every held-out prompt is longer; the shorte"
    ):
        load_encoded(config, models.load_tokenizer(config.model), BaseRecord(tmp_path))


def test_a_file_that_was_replaced_and_kept_its_time_is_read_anew(
    config: Config, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """In place, with as many bytes, as rsync --inplace --times does it."""
    first = load_encoded(config, tokenizer, BaseRecord(tmp_path))
    path = Path(config.dataset.path or "")
    status, text = path.stat(), path.read_text(encoding="utf-8")
    path.write_text(text.replace("question", "quastion"), encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (status.st_mtime_ns, status.st_size)
    again = load_encoded(config, tokenizer, BaseRecord(tmp_path))
    assert "quastion" in again.training.messages[0][0]["content"]
    assert again.training.messages != first.training.messages
