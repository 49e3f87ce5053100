"""Checkpoints: exact, whole or absent."""

from pathlib import Path

import pytest
import torch
import toy

from rlhf_sweeps import checkpoints


def save(root: Path, update: int, best: Path | None = None, steps: int = 1) -> toy.PPOTrainer:
    trainer = toy.trainer(toy.settings())
    for _ in range(steps):
        trainer.step()
    checkpoints.save(root, update, trainer.models, trainer.optimizer, {"best": None}, best)
    return trainer


def test_a_trainer_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    trainer = save(tmp_path, update=2, steps=2)
    folder = checkpoints.latest(tmp_path)
    assert folder is not None
    again = toy.trainer(toy.settings())
    checkpoints.load(folder, again.models, again.optimizer)
    again.update = checkpoints.read_state(folder)["update"]
    rows = [{k: v for k, v in t.step().items() if not k.startswith("perf/") and k != "eps"} for t in (trainer, again)]
    assert rows[0] == rows[1]
    for name, model in trainer.models.items():
        assert all(map(torch.equal, model.parameters(), again.models[name].parameters())), name


def test_only_the_newest_stays_and_carries_the_best(tmp_path: Path) -> None:
    first = save(tmp_path, update=9)
    folder = checkpoints.latest(tmp_path)
    assert folder is not None
    save(tmp_path, update=10, best=folder / "best.safetensors", steps=3)
    assert [path.name for path in tmp_path.iterdir()] == ["0000010"]
    best = toy.policy(seed=5)
    checkpoints.load_weights(tmp_path / "0000010" / "best.safetensors", best)
    assert all(map(torch.equal, best.parameters(), first.policy.model.parameters()))


def test_what_was_being_written_when_the_process_died_does_not_count(tmp_path: Path) -> None:
    save(tmp_path, update=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.system, "sync", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, update=2)
    newest = checkpoints.latest(tmp_path)
    assert newest is not None
    assert newest.name == "0000001"
    save(tmp_path, update=2)
    assert [path.name for path in tmp_path.iterdir()] == ["0000002"]


def test_no_checkpoint_in_a_new_folder(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path / "none") is None
