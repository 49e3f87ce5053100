"""Checkpoints: exact, field by field; test_death has them whole or absent."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import toy
from safetensors import SafetensorError
from safetensors.torch import save_file

from rlhf_sweeps.training import checkpoints

# All that a trainer learns beside its weights is learnt: an adapted KL coefficient, statistics, an offset.
SETTINGS: dict[str, Any] = {"kl_target": 3.0, "kl_horizon": 60, "score_scaling": "normalize", "num_ppo_epochs": 2}


def save(root: Path, update: int, before: Path | None = None, steps: int = 1, is_best: bool = True) -> toy.PPOTrainer:
    trainer = toy.trainer(toy.settings(**SETTINGS))
    for _ in range(steps):
        trainer.step()
    save_as_it_stands(trainer, root, update, before, is_best)
    return trainer


def save_as_it_stands(
    trainer: toy.PPOTrainer, root: Path, update: int, before: Path | None = None, is_best: bool = True
) -> None:
    checkpoints.save(root, update, trainer.models, trainer.optimizer, {"trainer": trainer.state}, before, is_best)


def load(root: Path) -> toy.PPOTrainer:
    """A new trainer as a checkpoint has it."""
    folder, *_ = checkpoints.list_checkpoints(root)
    trainer = toy.trainer(toy.settings(**SETTINGS))
    checkpoints.load(folder, trainer.models, trainer.optimizer)
    state = checkpoints.read_state(folder)
    trainer.update, trainer.state = state["update"], state["trainer"]
    return trainer


def test_a_trainer_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    trainer = save(tmp_path, update=2, steps=2)
    again = load(tmp_path)
    rows = [{k: v for k, v in t.step().items() if not k.startswith("perf/") and k != "eps"} for t in (trainer, again)]
    assert rows[0] == rows[1]
    for name, model in trainer.models.items():
        assert all(map(torch.equal, model.parameters(), again.models[name].parameters())), name


def odd(value: Any, numbers: Iterator[int]) -> Any:
    """The same structure with another number everywhere."""
    if isinstance(value, dict):
        return {key: odd(each, numbers) for key, each in value.items()}
    assert isinstance(value, int | float)
    return type(value)(next(numbers) + (0.25 if isinstance(value, float) else 0))


def test_every_number_of_the_state_survives(tmp_path: Path) -> None:
    trainer = toy.trainer(toy.settings(**SETTINGS))
    state = odd(trainer.state, itertools.count(101))
    assert len(json.dumps(state).split(",")) >= 5
    trainer.state = state
    assert trainer.state == state
    save_as_it_stands(trainer, tmp_path, 17)
    again = load(tmp_path)
    assert again.state == state
    assert again.update == 17


def test_whatever_a_trainer_has_learnt_survives(tmp_path: Path) -> None:
    """All its plain attributes, found by looking: one that comes with a new feature cannot be forgotten."""
    trainer, fresh = save(tmp_path, update=3, steps=3), toy.trainer(toy.settings(**SETTINGS))
    trainer.value_model.offset = 0.625
    save_as_it_stands(trainer, tmp_path, 4)
    trainer.update = 4
    known, before, again = (plain_attributes(one) for one in (trainer, fresh, load(tmp_path)))
    changed = {name for name, value in known.items() if value != before[name]}
    assert changed == {"update", "kl_coef", "score_statistics", "value_model.offset"}
    assert again == known


def plain_attributes(trainer: toy.PPOTrainer) -> dict[str, Any]:
    """Numbers, texts and dataclasses of trainer and value model; not what is made of the config alone."""
    found = {}
    for prefix, owner in (("", trainer), ("value_model.", trainer.value_model)):
        for name, value in vars(owner).items():
            is_plain = isinstance(value, int | float | str | bool) or name == "score_statistics"
            assert is_plain or not is_dataclass(value) or name in ("config", "policy", "sampler", "optimization"), name
            if is_plain:
                found[prefix + name] = value
    return found


def test_every_tensor_of_models_and_optimizer_survives(tmp_path: Path) -> None:
    trainer = save(tmp_path, update=1)
    noise = torch.Generator().manual_seed(7)
    tensors = [parameter.data for model in trainer.models.values() for parameter in model.parameters()]
    states = trainer.optimizer.state_dict()["state"]
    tensors += [tensor for entry in states.values() for tensor in entry.values()]
    assert len({tensor.data_ptr() for tensor in tensors}) >= 4 * len(states)
    for tensor in tensors:
        tensor.copy_(torch.rand(tensor.shape, generator=noise) + 1)
    save_as_it_stands(trainer, tmp_path, 2)
    again = load(tmp_path)
    for name, model in trainer.models.items():
        assert all(map(torch.equal, model.parameters(), again.models[name].parameters())), name
    found = again.optimizer.state_dict()["state"]
    assert found.keys() == states.keys()
    for number, entry in states.items():
        assert found[number].keys() == entry.keys()
        assert all(torch.equal(found[number][name], tensor) for name, tensor in entry.items())


def test_frozen_weights_are_not_saved(tmp_path: Path) -> None:
    trainer = save(tmp_path, update=1)
    frozen = trainer.policy.model.lm_head.weight.requires_grad_(False)
    before = frozen.clone()
    save_as_it_stands(trainer, tmp_path, 2)
    folder, *_ = checkpoints.list_checkpoints(tmp_path)
    with torch.no_grad():
        frozen.zero_()
    checkpoints.load_weights(folder / "policy.safetensors", trainer.policy.model)
    assert frozen.eq(0).all()
    assert not before.eq(0).all()


def test_only_the_newest_two_stay_and_carry_the_best(tmp_path: Path) -> None:
    save(tmp_path, update=8)
    first = save(tmp_path, update=9, before=tmp_path / "0000008")
    folder, *_ = checkpoints.list_checkpoints(tmp_path)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "left.safetensors").write_text("by a killed process")
    (tmp_path / "step-1000").mkdir()
    assert checkpoints.list_checkpoints(tmp_path) == [folder, tmp_path / "0000008"]
    save(tmp_path, update=10, before=folder, steps=3, is_best=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000009", "0000010", "step-1000"]
    names = {"policy", "value", "optimizer", "best"}
    assert {path.name for path in (tmp_path / "0000010").iterdir()} == {
        "state.json",
        *(f"{name}.safetensors" for name in names),
    }
    best = toy.policy(seed=5)
    checkpoints.load_weights(tmp_path / "0000010" / "best.safetensors", best)
    assert all(map(torch.equal, best.parameters(), first.policy.model.parameters()))


def test_the_newest_of_several_is_continued(tmp_path: Path) -> None:
    for update in (9, 11, 10):
        (tmp_path / f"{update:07d}").mkdir()
    assert checkpoints.list_checkpoints(tmp_path)[0] == tmp_path / "0000011"


def test_a_checkpoint_may_be_written_again(tmp_path: Path) -> None:
    save(tmp_path, update=9)
    trainer = save(tmp_path, update=9, steps=2)
    assert [path.name for path in tmp_path.iterdir()] == ["0000009"]
    assert load(tmp_path).state == trainer.state


def test_no_checkpoint_in_a_new_folder(tmp_path: Path) -> None:
    assert checkpoints.list_checkpoints(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["policy", "value", "optimizer", "best"])
def test_a_flipped_bit_is_found_before_anything_is_loaded(name: str, tmp_path: Path) -> None:
    save(tmp_path, update=9)
    folder, *_ = checkpoints.list_checkpoints(tmp_path)
    digests = checkpoints.read_state(folder)["files"]
    file = folder / f"{name}.safetensors"
    assert digests[file.name] == hashlib.sha256(file.read_bytes()).hexdigest()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()  # policy and best may be one file
    file.write_bytes(content)
    with pytest.raises(checkpoints.DamagedError, match=f"^0000009/{name}.safetensors: damaged, its digest differs$"):
        checkpoints.read_state(folder)


def test_a_checkpoint_without_digests_is_read_and_what_does_not_fit_leaves_all_as_it_was(tmp_path: Path) -> None:
    """As those of earlier versions."""
    trainer = save(tmp_path, update=9)
    folder, *_ = checkpoints.list_checkpoints(tmp_path)
    state = checkpoints.read_state(folder)
    old = {key: value for key, value in state.items() if key != "files"}
    (folder / "state.json").write_text(json.dumps(old), encoding="utf-8")
    assert load(tmp_path).state == trainer.state
    (folder / "optimizer.safetensors").write_bytes(b"cut")
    fresh = toy.trainer(toy.settings(**SETTINGS))
    before = [parameter.clone() for parameter in fresh.policy.model.parameters()]
    with pytest.raises(checkpoints.DamagedError, match=r"^0000009/optimizer.safetensors: cannot be read"):
        checkpoints.load(folder, fresh.models, fresh.optimizer)
    assert all(map(torch.equal, fresh.policy.model.parameters(), before))


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), SafetensorError("I/O error: Too many open files (os error 24)")]
)
def test_an_error_of_the_moment_is_no_damage(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = save(tmp_path, update=9)

    def refuse(file: Path) -> None:
        raise error

    monkeypatch.setattr(checkpoints, "load_file", refuse)
    with pytest.raises(type(error), match="Too many open files"):
        checkpoints.load(tmp_path / "0000009", trainer.models, trainer.optimizer)
    with pytest.raises(type(error), match="Too many open files"):
        checkpoints.load_weights(tmp_path / "0000009" / "best.safetensors", trainer.policy.model)


def test_what_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, update=9)
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "optimizer.safetensors")
    with pytest.raises(PermissionError, match=r"0000009/optimizer.safetensors"):
        checkpoints.read_state(tmp_path / "0000009")


def test_two_checkpoints_are_on_the_disk_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one before until the next is proven readable; without one, whatever is there stays."""
    for update in (7, 8):
        save(tmp_path, update=update, before=tmp_path / f"{update - 1:07d}" if update > 7 else None)
    seen = []

    def watch(tensors: dict[str, torch.Tensor], file: Path) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        save_file(tensors, file)

    monkeypatch.setattr(checkpoints, "save_file", watch)
    save(tmp_path, update=9, before=tmp_path / "0000008")
    assert {tuple(names) for names in seen} == {("0000008", "unfinished")}
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path)] == ["0000009", "0000008"]
    seen.clear()
    save(tmp_path, update=10)
    assert {tuple(names) for names in seen} == {("0000008", "0000009", "unfinished")}


def test_what_is_not_on_the_disk_as_it_was_written_keeps_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, update=8)
    monkeypatch.setattr(checkpoints, "save_file", write_wrong)
    with pytest.raises(OSError, match="does not hold what was written"):
        save(tmp_path, update=9, before=tmp_path / "0000008")
    assert checkpoints.list_checkpoints(tmp_path) == [tmp_path / "0000008"]


def write_wrong(tensors: dict[str, torch.Tensor], file: Path) -> None:
    """As a disk that loses a bit."""
    save_file(tensors, file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_what_could_not_be_written_does_not_keep_the_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoints, "save_file", fill)
    model = torch.nn.Linear(1, 1)
    with pytest.raises(SafetensorError, match="No space left"):
        checkpoints.save(tmp_path, 1, {"policy": model}, torch.optim.AdamW(model.parameters()), {})
    assert list(tmp_path.iterdir()) == []
