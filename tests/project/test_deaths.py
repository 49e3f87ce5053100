"""Death between any two writes of whoever writes the record or the study: nothing is lost, the next start goes on."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.deaths import Death, every_death, watched
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from sqlalchemy import event

from rlhf_sweeps.record import BaseRecord, Run, Sweep, salvage, salvage_samples, write_atomically
from rlhf_sweeps.sweep.study.storage import make_file_url
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.trials import COMPLETE

Act = Callable[[Path], Any]
ROWS = [{"prompt": "a\u2028", "score": 0.7}, {"prompt": "b", "score": -0.1}]
OLD = {"seconds": 7.5, "id": "old", "status": "stopped"}
NEW = {"seconds": 9.25, "id": "new", "status": "complete", "text": "\u2028\U0001f642"}
KEPT_TWICE = ("summary.json", "sweep.json")


def without(content: Any) -> Any:
    ours = ("schema_version", "files")
    return {key: value for key, value in content.items() if key not in ours} if content else content


# Each writer of an object: how it writes, and what a reader finds, None where there is nothing.
OBJECTS: dict[str, tuple[Callable[[Path, Any], Any], Act]] = {
    "summary.json": (lambda f, c: Run(f).write_summary(c), lambda f: without(Run(f).summary())),
    "sweep.json": (lambda f, c: Sweep(f).write_start(c), lambda f: without(Sweep(f).start())),
    "comparison.json": (lambda f, c: Sweep(f).write_comparison(c), lambda f: without(Sweep(f).comparison())),
    "stop": (lambda f, c: Run(f).ask_to_stop(c["id"]), lambda f: (r := Run(f).stop_reason()) and {**NAMED[r]}),
    "base": (lambda f, c: BaseRecord(f).write("scores", [c]), lambda f: next(iter(BaseRecord(f).read("scores")), None)),
    "optimization_results.yaml": (
        lambda f, c: Sweep(f).write_results(c),
        lambda f: yaml.safe_load(p.read_text("utf-8")) if (p := f / "optimization_results.yaml").exists() else None,
    ),
}
NAMED = {content["id"]: content for content in (OLD, NEW)}


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_the_old_one_or_the_new_one(tmp_path: Path, name: str, old: Any, power_cut: bool) -> None:
    write, read = OBJECTS[name]
    found = []
    for folder, steps in every_death(
        tmp_path, lambda folder: write(folder, old) if old else None, lambda folder: write(folder, NEW), power_cut
    ):
        found.append(read(folder))
        assert found[-1] in (old, NEW), f"after {steps}"
        write(folder, NEW)
        assert read(folder) == NEW
    assert found[-1] == NEW
    # Written, synced, renamed, in this order; the new one is there after the last of them and not before.
    steps_of_one = ["write", "sync", "rename"]
    assert steps == (steps_of_one * 2 if name in KEPT_TWICE else steps_of_one)
    assert found[:-1] == [old] * 3 + ([NEW] * 3 if name in KEPT_TWICE else [])  # the copy comes last


def test_a_runs_id_stays_that_of_its_first_whole_start(tmp_path: Path) -> None:
    for folder, _ in every_death(tmp_path, lambda folder: None, lambda folder: Run(folder).begin({"seed": 7})):
        first = Run(folder).start()
        again = Run(folder).begin({"seed": 7})
        assert first in (None, again)
        assert again["config"] == {"seed": 7}


def trained(folder: Path) -> None:
    """What a run writes in four updates, from its checkpoint on, which is a file with a number."""
    run, checkpoint = Run(folder), folder / "number"
    run.begin({"seed": 7})
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    run.rewind(done)
    for update in range(done + 1, 5):
        run.append_metrics({"update": update, "text": "\u2028"})
        run.append_samples([{"update": update, **row} for row in ROWS])
        if update % 2 == 0:
            write_atomically(checkpoint, str(update))
    run.write_summary({"status": "complete"})


def told(folder: Path) -> Any:
    run = Run(folder)
    return run.metrics(), run.samples(), run.summary(), run.stop_reason()


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_run_that_dies_anywhere_comes_to_the_same_record(tmp_path: Path, power_cut: bool) -> None:
    trained(tmp_path / "whole")
    whole = told(tmp_path / "whole")
    numbers = []
    for folder, steps in every_death(tmp_path, lambda folder: None, trained, power_cut):
        content, (samples, _) = salvage(Run(folder)), salvage_samples(Run(folder))
        assert content.rows == Run(folder).metrics() == whole[0][: len(content.rows)], f"after {steps}"
        assert samples == whole[1][: len(samples)]
        numbers.append(len(content.rows))
        trained(folder)
        assert told(folder) == whole
    assert numbers == sorted(numbers)
    assert numbers[-1] == 4


def test_a_continued_run_that_dies_anywhere_comes_to_the_same_record(tmp_path: Path) -> None:
    """It is begun with an end, a request to stop and updates beyond its checkpoint, which rewinding takes back."""

    def stopped(folder: Path) -> None:
        trained(folder)
        (folder / "number").write_text("2")
        Run(folder).write_summary({"status": "stopped", "stop_reason": "waiting"})
        Run(folder).ask_to_stop("waiting")

    trained(tmp_path / "whole")
    for folder, steps in every_death(tmp_path, stopped, trained):
        run = Run(folder)
        # As long as the run has its end, the request that it has met stands beside it or is gone.
        assert run.summary() is not None or run.stop_reason() is None, f"after {steps}"
        assert run.metrics()[:2] == told(tmp_path / "whole")[0][:2]
        trained(folder)
        assert told(folder) == told(tmp_path / "whole")


def test_a_sweep_knows_who_held_it_last(tmp_path: Path) -> None:
    def held(folder: Path) -> None:
        with Sweep(folder).claim():
            Sweep(folder).begin("hydra: {}")

    for folder, _ in every_death(tmp_path, lambda folder: None, held):
        held(folder)
        names = sorted(path.name for path in folder.iterdir() if not path.name.endswith(".unfinished"))
        assert names == ["multirun.yaml", "sweeper.json"]


@pytest.mark.parametrize(
    ("act", "num_syncs"),
    [
        (lambda run: run.append_metrics({"update": 1}), 1),
        (lambda run: run.append_samples([{"update": 1}, {"update": 1}]), 1),
        (lambda run: run.write_summary({"status": "complete"}), 2),  # with its copy
        (lambda run: run.ask_to_stop("pruned"), 1),
        (lambda run: run.begin({}), 2),
        (lambda run: run.reopen(), 0),
    ],
)
def test_what_is_written_is_synced_no_more_than_it_must_be(
    tmp_path: Path, act: Callable[[Run], Any], num_syncs: int
) -> None:
    with watched(tmp_path) as disk:
        act(Run(tmp_path))
    assert disk.steps.count("sync") == num_syncs


def test_a_full_disk_leaves_what_was_there_and_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.write_summary(OLD)

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space left") as error:
        run.write_summary(NEW)
    assert error.value.filename == str(run.summary_file)
    assert without(run.summary()) == OLD
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".copies", "summary.json", "summary.json"]


# --- the study


def suggest(ask: Callable[[str, FloatDistribution], float]) -> dict[str, float]:
    return {name: ask(name, FloatDistribution(0, 1)) for name in ("x", "y")}


def noted(params: Mapping[str, float]) -> dict[str, Any]:
    return {"settings": {key: repr(x) for key, x in params.items()}}


def open_study(folder: Path, kind: str) -> Study:
    url = make_file_url(folder / "study.db") if kind == "sqlite" else f"journal:{folder / 'study.jnl'}"
    return Study(url, "s", ["kl"], ["minimize"], lambda number: RandomSampler(seed=7 + number))


def searched(folder: Path, kind: str, study: Study | None = None) -> None:
    """Two trials from beginning to end, or from where an earlier start has left them."""
    study = study or open_study(folder, kind)
    for number in range(2):
        known = study.trials()
        if number == len(known):
            study.ask(suggest, noted)
        elif known[number].state.is_finished():
            continue
        else:
            params = study.resume(known[number], suggest)
            if "settings" not in known[number].user_attrs:  # a journal is written line by line
                study.note(number, **noted(params))
        if 5 not in study.trials()[number].intermediate_values:
            study.report(number, 5, -0.5 - number)
        study.note(number, seconds=2.5, num_updates=7, by_seed={7: [0.25]})
        study.tell(number, COMPLETE, [0.25 + number], {"kl": 0.5, "length": -1.0})


def trials(folder: Path, kind: str) -> list[Any]:
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs, dict(t.constraints))
        for t in open_study(folder, kind).trials()
    ]


@pytest.mark.parametrize("power_cut", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_study_in_a_journal_is_gone_on_with_after_any_death(tmp_path: Path, power_cut: bool) -> None:
    (tmp_path / "whole").mkdir()
    searched(tmp_path / "whole", "journal")
    whole = trials(tmp_path / "whole", "journal")
    for folder, steps in every_death(
        tmp_path, lambda folder: None, lambda folder: searched(folder, "journal"), power_cut
    ):
        searched(folder, "journal")
        assert trials(folder, "journal") == whole, f"after {steps}"
    assert len(steps) > 20


def dies_within_the_database(folder: Path, last: int) -> bool:
    """A start that dies before a statement or a commit, after so many; whether it did."""
    study = open_study(folder, "sqlite")
    storage: Any = study._storage
    count = 0

    def step(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > last:
            raise Death

    for what in ("before_cursor_execute", "commit"):
        event.listen(storage.engine, what, step)
    try:
        searched(folder, "sqlite", study)
    except Death:
        return True
    finally:  # the connections of a process go with it
        for what in ("before_cursor_execute", "commit"):
            event.remove(storage.engine, what, step)
        storage.scoped_session.remove()
        storage.engine.dispose()
    return False


@pytest.mark.parametrize("every", [47, pytest.param(1, marks=pytest.mark.slow)])
def test_a_study_in_a_database_is_gone_on_with_after_any_death(tmp_path: Path, every: int) -> None:
    """SQLite's own writes are its own business; the sweeper dies before any statement and before any commit."""
    (tmp_path / "whole").mkdir()
    searched(tmp_path / "whole", "sqlite")
    whole = trials(tmp_path / "whole", "sqlite")
    (tmp_path / "empty").mkdir()
    open_study(tmp_path / "empty", "sqlite")
    last, is_dead = 0, True
    while is_dead:
        folder = tmp_path / str(last)
        shutil.copytree(tmp_path / "empty", folder)
        is_dead = dies_within_the_database(folder, last)
        found = trials(folder, "sqlite")
        # A trial is in the study with its parameters and its note, or not at all; it ends with all that is told.
        for (*_, params, values, _, notes, limits), (*_, all_params, all_values, _, _, all_limits) in zip(
            found, whole, strict=False
        ):
            assert (params, set(notes) >= {"settings"}) == (all_params, True)
            assert (values, limits) in ((None, {}), (all_values, all_limits))
        searched(folder, "sqlite")
        assert trials(folder, "sqlite") == whole
        last += every
    assert last > 100
