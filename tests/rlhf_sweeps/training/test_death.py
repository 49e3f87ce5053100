"""A machine that dies between any two writes, syncs, renames or removals, whatever makes them, and starts again."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.dying import Disk, deaths, watched
from safetensors.torch import load_file
from torch import nn

from rlhf_sweeps.files.cache import make_once, read_or_make
from rlhf_sweeps.files.placing import move_into, place
from rlhf_sweeps.reward_models import pair_head
from rlhf_sweeps.reward_models.pair_head import Head
from rlhf_sweeps.training import checkpoints, train


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fresh(tmp_path: Path, fill: Callable[[Path], object]) -> Callable[[], Path]:
    """Makes a new folder every time, and fills it."""
    numbers = iter(range(1000))

    def prepare() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        fill(folder)
        prepare.folder = folder  # type: ignore[attr-defined]
        return folder

    return prepare


def test_the_harness_notices_what_is_not_synced(tmp_path: Path) -> None:
    """And names that are given before what they stand for is on the disk."""

    def careless(folder: Path) -> None:
        (folder / "made").write_text("whole")
        (folder / "made").replace(folder / "target")
        (folder / "done").write_text("")

    prepare = fresh(tmp_path, lambda _: None)
    left = [contents(disk.root) for disk in deaths(prepare, lambda: careless(prepare.folder))]  # type: ignore[attr-defined]
    # Before the file; before its name, with half of it; before the last one, the name lost or kept.
    assert left == [{}, {}, {"made": b"wh"}, {"made": b"wh"}, {"made": b"wh"}, {"target": b"wh"}]


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_placed_is_whole_or_what_was_there(is_folder: bool, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        for name in ("made", "target"):
            if is_folder:
                (folder / name / "sub").mkdir(parents=True)
                (folder / name / "sub" / "b").write_text(name)
            (folder / name / "a" if is_folder else folder / name).write_text(name)

    prepare = fresh(tmp_path, fill)

    def write_and_place() -> None:
        folder: Path = prepare.folder  # type: ignore[attr-defined]
        (folder / "made" / "a" if is_folder else folder / "made").write_text("new")
        place(folder / "made", folder / "target")

    old = {"a": b"target", "sub/b": b"target"} if is_folder else b"target"
    new = {"a": b"new", "sub/b": b"made"} if is_folder else b"new"
    seen = []
    for disk in deaths(prepare, write_and_place):
        target = disk.root / "target"
        found: Any = None
        if target.exists():
            found = contents(target) if is_folder else target.read_bytes()
        assert found in (old, new) or (is_folder and found is None)
        seen.append(found)
    assert old in seen
    assert len(seen) > (6 if is_folder else 3)


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


class Pair:
    """A model of one number beside its optimizer, at an update."""

    def __init__(self, update: int) -> None:
        self.update = update
        self.model = nn.Linear(1, 1)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.model(torch.ones(1)).backward()
        self.optimizer.step()
        with torch.no_grad():
            self.model.weight.fill_(update)

    def save(self, root: Path, before: Path | None = None, is_best: bool = True) -> None:
        state = {"note": self.update}
        checkpoints.save(root, self.update, {"policy": self.model}, self.optimizer, state, before, is_best)


def test_a_run_continues_from_a_whole_checkpoint(tmp_path: Path) -> None:
    """The one before or the new one, with the best policy's weights, which are those of update 3."""

    def fill(folder: Path) -> None:
        Pair(2).save(folder)
        Pair(3).save(folder, folder / "0000002")

    prepare = fresh(tmp_path, fill)
    pair = Pair(11)

    def save() -> None:
        root: Path = prepare.folder  # type: ignore[attr-defined]
        pair.save(root, root / "0000003", is_best=False)

    found = []
    for disk in deaths(prepare, save, (checkpoints, "save_file")):
        # What was there is the one that the process has died beside; update 2's makes room before anything is written.
        newest, *others = [path for path in checkpoints.list_checkpoints(disk.root) if path.name != "0000002"]
        update = checkpoints.read_state(newest)["update"]
        assert [checkpoints.read_state(path)["update"] for path in others] == ([] if update == 3 else [3])
        assert newest.name == f"{update:07d}"
        again = Pair(0)
        checkpoints.load(newest, {"policy": again.model}, again.optimizer)
        assert again.model.weight.item() == update
        assert weights(newest, "best")["weight"].item() == 3
        found.append(update)
        pair.save(disk.root, disk.root / "0000003", is_best=update == 11)
        assert sorted(path.name for path in disk.root.iterdir()) == ["0000003", "0000011"]
        assert weights(disk.root / "0000011", "best")["weight"].item() == (3 if update == 3 else 11)
    assert found == sorted(found)
    assert set(found) == {3, 11}


def test_a_checkpoint_is_synced_before_it_has_its_name_and_the_old_one_goes_after(tmp_path: Path) -> None:
    Pair(3).save(tmp_path)
    disk = Disk(tmp_path)
    with watched(disk, (checkpoints, "save_file")):
        Pair(11).save(tmp_path)
    removed = [kind == "os.remove" and path.suffix != ".unfinished" for kind, path in disk.events]
    named = disk.events.index(("os.rename", tmp_path / "0000011"))
    files = {path.name for path in (tmp_path / "0000011").iterdir()}
    synced = [path.name for kind, path in disk.events[:named] if kind == "sync"]
    synced = [name for name in synced if not name.startswith("state.json.")]  # under the name that it was written by
    assert sorted(synced) == sorted([*files, "unfinished"])
    assert disk.events[named + 1] == ("sync", tmp_path)
    assert not any(removed[:named])
    assert any(removed[named + 2 :])


def test_an_export_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one is there already, of a run that has gone on since; what a user has put there is never lost."""
    monkeypatch.setattr(train, "write_model_card", lambda *_: "the card\n")
    policy: Any = SimpleNamespace(save_pretrained=lambda folder: _save(folder, "model", "new weights"))
    tokenizer: Any = SimpleNamespace(save_pretrained=lambda folder: _save(folder, "tokenizer", "new words"))

    def fill(folder: Path) -> None:
        _save(folder / "model", "model", "old weights")
        _save(folder / "model", "tokenizer", "old words")
        _save(folder / "model", "eval/notes", "a user's")
        (folder / "model.unfinished").mkdir()
        (folder / "model.unfinished" / "rest").write_text("of a killed process")

    prepare = fresh(tmp_path, fill)

    def export() -> None:
        folder: Path = prepare.folder  # type: ignore[attr-defined]
        run = SimpleNamespace(model=folder / "model", metrics=list)
        session: Any = SimpleNamespace(run=run, adapter=None, policy=policy, tokenizer=tokenizer, config=None)
        train._export(session, {})

    users = {"eval/notes": b"a user's"}
    old = {"model": b"old weights", "tokenizer": b"old words", **users}
    new = {"model": b"new weights", "tokenizer": b"new words", "README.md": b"the card\n", **users}
    seen = []
    for disk in deaths(prepare, export):
        target = disk.root / "model"
        seen.append(contents(target) if target.exists() else None)
        assert seen[-1] in (old, new, None)
        export()
        assert contents(disk.root) == {f"model/{name}": content for name, content in new.items()}
    assert old in seen
    assert new in seen


def _save(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_what_the_cache_holds_is_whole(tmp_path: Path) -> None:
    made: list[int] = []

    def make(scratch: Path) -> Path:
        made.append(1)
        (scratch / "model").mkdir()
        for name in ("config", "weights"):
            (scratch / "model" / name).write_text(f"all of the {name}")
        (scratch / "archive").write_text("to be thrown away")
        return scratch / "model"

    prepare = fresh(tmp_path, lambda _: None)
    whole = {"config": b"all of the config", "weights": b"all of the weights"}
    for disk in deaths(prepare, lambda: make_once(prepare.folder / "kept", make)):  # type: ignore[attr-defined]
        kept = disk.root / "kept"
        assert not kept.exists() or contents(kept) == whole
        before, was_there = len(made), kept.exists()
        assert contents(make_once(kept, make)) == whole
        assert len(made) == before + (not was_there)
    made.clear()
    make_once(prepare.folder / "kept", make)  # type: ignore[attr-defined]
    assert {path.name for path in prepare.folder.iterdir()} == {"kept", "kept.digests", "kept.lock"}  # type: ignore[attr-defined]
    assert made == []


def test_a_head_is_whole(tmp_path: Path) -> None:
    head = Head(torch.tensor([0.5, -1.5], dtype=torch.float64), 0.01, 7, 0.75, 3)
    prepare = fresh(tmp_path, lambda _: None)

    def find() -> Head:
        file: Path = prepare.folder / "head.safetensors"  # type: ignore[attr-defined]
        return read_or_make(file, lambda: Head.read(file, 2), lambda scratch: head.write(scratch / file.name))

    for disk in deaths(prepare, find, (pair_head, "save_file")):
        file = disk.root / "head.safetensors"
        if file.exists():
            assert torch.equal(load_file(file)["weights"], head.weights)
        found = find()
        assert torch.equal(found.weights, head.weights)
        assert (found.strength, found.num_pairs, found.accuracy, found.num_held_out) == (0.01, 7, 0.75, 3)


def test_a_reward_model_is_no_model_before_all_of_it_is_there(tmp_path: Path) -> None:
    """Its folder holds Hydra's files, too; config.json is what a model is known by."""
    files = {"config.json": b"settings", "model.safetensors": b"new", "report.json": b"report"}

    def fill(folder: Path) -> None:
        _save(folder, ".hydra/config.yaml", "x")
        _save(folder, "model.safetensors", "of a start that died")
        for name, content in files.items():
            _save(folder / "made", name, content.decode())

    prepare = fresh(tmp_path, fill)

    def act() -> None:
        folder: Path = prepare.folder  # type: ignore[attr-defined]
        move_into(folder, folder / "made", last="config.json")

    whole = {".hydra/config.yaml": b"x", **files}
    seen = []
    for disk in deaths(prepare, act):
        found = {name: content for name, content in contents(disk.root).items() if not name.startswith("made/")}
        seen.append("config.json" in found)
        if seen[-1]:
            assert found == whole
    assert set(seen) == {True, False}
    folder = prepare.folder  # type: ignore[attr-defined]
    assert contents(folder) == whole
