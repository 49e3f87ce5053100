"""model/ is exported again beside what a user has put there."""

import os
from pathlib import Path

import pytest
from conftest import Compose, composed

from rlhf_sweeps.models.card import write_model_card
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.earlier_start import mend_earlier_start
from rlhf_sweeps.training.export import export


def save(folder: Path) -> None:
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text(f"new {name}", encoding="utf-8")


def test_files_that_we_have_not_written_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = tmp_path / "model"
    (model / "gguf").mkdir(parents=True)
    (model / "gguf" / "q4.gguf").write_text("the user's", encoding="utf-8")
    (model / "gguf" / "q4.gguf").chmod(0o600)
    (model / "model.safetensors").write_text("old", encoding="utf-8")
    (model / "model-00001-of-00002.safetensors").write_text("old", encoding="utf-8")
    (model / "model_before.safetensors").write_text("the user's", encoding="utf-8")
    (model / "tokenizer.json").mkdir()
    (model / "tokenizer.json" / "inside").write_text("the user's", encoding="utf-8")
    (model / "README.md").write_text("the user's card", encoding="utf-8")
    (model / "best").symlink_to("nowhere")
    (model / "empty").mkdir()
    os.mkfifo(model / "pipe")
    written = export(model, save, "the card")
    assert written == ["config.json", "model.safetensors", "tokenizer.json"]
    assert {path.name for path in model.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "README.md", "gguf", "model_before.safetensors", "best",
        "empty", "pipe", "tokenizer.json.set_aside_1", "README.md.set_aside_1",
    }  # fmt: skip
    assert (model / "gguf" / "q4.gguf").read_text(encoding="utf-8") == "the user's"
    assert (model / "gguf" / "q4.gguf").stat().st_mode & 0o777 == 0o600
    assert (model / "model_before.safetensors").read_text(encoding="utf-8") == "the user's"
    assert (model / "tokenizer.json.set_aside_1" / "inside").read_text(encoding="utf-8") == "the user's"
    assert (model / "README.md.set_aside_1").read_text(encoding="utf-8") == "the user's card"
    assert (model / "README.md").read_text(encoding="utf-8") == "the card"
    assert (model / "model.safetensors").read_text(encoding="utf-8") == "new model.safetensors"
    assert (model / "best").readlink() == Path("nowhere")
    assert "model/README.md: kept, and renamed to README.md.set_aside_1" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_exported_twice_alike_leaves_nothing_aside(tmp_path: Path) -> None:
    for _ in range(2):
        export(tmp_path / "model", save, "the card")
    names = {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == names


def test_no_card_of_a_user_is_lost_however_often_it_is_exported(tmp_path: Path) -> None:
    model = tmp_path / "model"
    for number in range(4):
        export(model, save, f"card {number}")
        (model / "README.md").write_text(f"the user's {number}", encoding="utf-8")
    (model / "README.md.set_aside_7").write_text("the user's 7", encoding="utf-8")
    export(model, save, "the last card")
    cards = sorted(path.read_text(encoding="utf-8") for path in model.glob("README.md.set_aside_*"))
    assert cards == [*(f"the user's {number}" for number in range(4)), "the user's 7"]


def test_a_folder_of_a_user_beside_it_stays(tmp_path: Path) -> None:
    (tmp_path / "former_model").mkdir()
    (tmp_path / "former_model" / "model.safetensors").write_text("the user's", encoding="utf-8")
    for _ in range(2):
        export(tmp_path / "model", save, "the card")
    assert [path.name for path in (tmp_path / "former_model").iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model" / "model.safetensors").read_text(encoding="utf-8") == "new model.safetensors"


def test_a_file_that_a_user_has_changed_stays_when_it_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path)
    run.begin({})
    written = export(run.model, save, "the card")
    run.write_summary({"status": "complete"}, exported=written)
    (tmp_path / "checkpoint" / "0000001").mkdir(parents=True)
    (tmp_path / "checkpoint" / "0000001" / "state.json").write_text("{}", encoding="utf-8")
    assert mend_earlier_start(run, is_alone=True) is not None
    (run.model / "config.json").write_text("the user's", encoding="utf-8")
    assert mend_earlier_start(run, is_alone=True) is None
    export(run.model, save, "the card")
    assert (run.model / "config.json.set_aside_1").read_text(encoding="utf-8") == "the user's"
    assert (run.model / "config.json").read_text(encoding="utf-8") == "new config.json"
    assert not (run.model / "tokenizer.json.set_aside_1").exists()
    assert "model/config.json: kept, and renamed to config.json.set_aside_1" in caplog.text


def test_a_folder_behind_a_link_and_a_file_in_its_place_stay(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "notes").write_text("the user's", encoding="utf-8")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("the user's", encoding="utf-8")
    for name in ("linked", "file"):
        export(tmp_path / name, save, "the card")
        assert (tmp_path / name / "config.json").is_file()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["notes"]
    assert (tmp_path / "file.set_aside_1").read_text(encoding="utf-8") == "the user's"


@pytest.mark.parametrize("leads_to", ["nowhere", "file"])
def test_a_link_that_leads_to_no_folder_makes_way(leads_to: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("the user's", encoding="utf-8")
    (tmp_path / "model").symlink_to(leads_to)
    export(tmp_path / "model", save, "the card")
    assert (tmp_path / "model.set_aside_1").readlink() == Path(leads_to)
    assert (tmp_path / "model" / "config.json").is_file()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "the user's"


def test_a_card_does_without_rows_that_are_lost() -> None:
    summary = {"best_update": 2, "updates": 4, "episodes": 8, "tokens": 9, "seconds": 1.0, "device": "cpu"}
    for rows in ([], [{"update": 3, "objective/kl": 0.25}]):
        card = write_model_card(composed("ppo.lr=0.125"), {**summary, "versions": {"torch": "2"}}, rows)
        assert "after 2 of 4 PPO updates" in card
        assert ("| objective/kl | 0.25 | 0.25 |" in card) == bool(rows)
        assert "| ppo.lr | 0.125 |" in card


def test_a_card_shows_references_as_they_are_written(compose_config: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POL", "DATA", "STOP"):
        monkeypatch.setenv(name, f"value-of/{name}")
    words = ("model.path='${oc.env:POL}'", "dataset.path='${oc.env:DATA}'", "ppo.stop_strings=['${oc.env:STOP}']")
    summary = {"best_update": 2, "updates": 4, "episodes": 8, "tokens": 9, "seconds": 1.0, "device": "cpu"}
    card = write_model_card(compose_config(*words), {**summary, "versions": {"torch": "2"}}, [])
    assert "value-of" not in card
    for line in (
        "| base model | ${oc.env:POL} |",
        "| data | ${oc.env:DATA}, ",
        "| ppo.stop_strings | ['${oc.env:STOP}']",
    ):
        assert line in card
