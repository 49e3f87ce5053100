"""The study as Optuna itself reads it from the file, and as samplers see it."""

import sys
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.at_once import at_once
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages.journal import JournalFileOpenLock
from optuna.trial import TrialState

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.search.search_space import Parameter
from rlhf_sweeps.sweep.study.storage import make_file_url, open_storage
from rlhf_sweeps.sweep.study.study import Study
from rlhf_sweeps.sweep.study.trials import COMPLETE, FAILED, PRUNED


def suggest_x(suggest: Any) -> dict[str, Any]:
    return {"x": suggest("x", FloatDistribution(0, 1))}


def open_study(folder: Path, *directions: str) -> Study:
    metrics = [f"metric {number}" for number in range(len(directions))]
    url = f"sqlite:///{folder / 'study.db'}"
    return Study(url, "s", metrics, directions, lambda number: optuna.samplers.RandomSampler(seed=number))


def read(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'study.db'}")


def test_another_reader_finds_all_that_was_told(tmp_path: Path) -> None:
    study = open_study(tmp_path, "maximize", "minimize")
    first, params = study.ask(suggest_x)
    study.report(first, 5, 0.5)
    study.note(first, cause="none", seconds=3.0)
    assert read(tmp_path).trials[0].state == TrialState.RUNNING
    study.tell(first, COMPLETE, [1.0, 2.0], {"kl": -1.0})
    second, _ = study.ask(suggest_x)
    study.report(second, 5, 0.1)
    study.tell(second, PRUNED)
    found = read(tmp_path)
    assert found.metric_names == ["metric 0", "metric 1"]
    one, other = found.trials
    assert (one.values, one.params, one.intermediate_values) == ([1.0, 2.0], params, {5: 0.5})
    assert (one.user_attrs, one.constraints) == ({"cause": "none", "seconds": 3.0}, {"kl": -1.0})
    assert (other.state, other.intermediate_values) == (TrialState.PRUNED, {5: 0.1})


def test_a_trial_that_is_not_wholly_suggested_is_not_there(tmp_path: Path) -> None:
    study = open_study(tmp_path, "maximize")

    def fail(suggest: Any) -> dict[str, Any]:
        suggest_x(suggest)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.ask(fail)
    assert read(tmp_path).trials == []
    assert study.ask(suggest_x)[0] == 0


def test_samplers_see_what_is_known_of_every_trial(tmp_path: Path) -> None:
    study = open_study(tmp_path, "maximize")
    ends = [(FAILED, "diverged"), (FAILED, "out_of_memory"), (FAILED, "lost_process"), (PRUNED, None)]
    for state, cause in ends:
        number, _ = study.ask(suggest_x)
        study.report(number, 5, float(number))
        study.note(number, **({} if cause is None else {"cause": cause}))
        study.tell(number, state)
    running, _ = study.ask(suggest_x)
    silent, _ = study.ask(suggest_x)
    study.report(running, 5, 9.0)
    seen = study._study.get_trials()
    expected = [TrialState.PRUNED] * 2 + [TrialState.FAIL] + [TrialState.PRUNED] * 2 + [TrialState.RUNNING]
    assert [trial.state for trial in seen] == expected
    # Without a report a pruned trial is the worst there is.
    assert [trial.intermediate_values for trial in seen] == [{}, {}, {5: 2.0}, {5: 3.0}, {5: 9.0}, {}]
    assert [trial.number for trial in seen] == list(range(6))
    assert (running, silent) == (4, 5)
    real = [TrialState.FAIL] * 3 + [TrialState.PRUNED] + [TrialState.RUNNING] * 2
    assert [trial.state for trial in study.trials()] == real == [trial.state for trial in read(tmp_path).trials]


def test_a_study_with_other_directions_is_refused(tmp_path: Path) -> None:
    open_study(tmp_path, "maximize")
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.study_name=s: there is a study of this name"):
        open_study(tmp_path, "minimize")


def test_sweeps_that_begin_at_once_share_a_new_database(tmp_path: Path) -> None:
    assert at_once(4, lambda _: open_study(tmp_path, "maximize")) == [0] * 4
    assert len(optuna.get_all_study_names(f"sqlite:///{tmp_path / 'study.db'}")) == 1


def test_a_database_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage=sqlite:\S+: cannot be opened \(.*unable to open"):
        open_study(tmp_path / "missing", "maximize")


def test_a_line_that_another_sweep_is_writing_is_not_cut(tmp_path: Path) -> None:
    """The journal is opened while a line is half written under its lock, as Optuna writes them."""
    path = tmp_path / "study.jnl"
    storage = open_storage(f"journal:{path}")
    optuna.create_study(storage=storage, study_name="s")
    content = path.read_bytes()
    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    path.write_bytes(content[:-20])
    opening = threading.Thread(target=open_storage, args=(f"journal:{path}",))
    opening.start()
    opening.join(0.2)
    with path.open("ab") as journal:
        journal.write(content[-20:])
    lock.release()
    opening.join()
    assert path.read_bytes() == content


def test_a_setting_that_cannot_be_is_the_worst_there_is_to_samplers(tmp_path: Path) -> None:
    study = open_study(tmp_path, "minimize")
    for has_run in (False, True):
        number, _ = study.ask(suggest_x)
        study.note(number, cause="config", **({} if has_run else {"has_run": False}))
        study.tell(number, FAILED)
    assert [trial.state for trial in study._study.get_trials()] == [TrialState.PRUNED, TrialState.FAIL]


def test_a_study_that_moves_to_another_space_keeps_all_of_its_trials(tmp_path: Path) -> None:
    """From an interval to a list, of which one trial's value is not."""
    study = open_study(tmp_path, "minimize")
    for x in (0.25, 0.75):
        number, _ = study.ask(suggest_x, lambda params: {"settings": {"x": str(params["x"])}}, {"x": x})
        study.report(number, 5, -x)
        study.note(number, seconds=2.5)
        study.tell(number, COMPLETE, [x], {"kl": x - 0.5})
    open_one, _ = study.ask(suggest_x, fixed={"x": 0.75})
    study.report(open_one, 5, 0.5)
    study.note(open_one, num_updates=7)
    before = study.trials()
    assert study.move_to([Parameter("x", CategoricalDistribution([0.25, 0.5]), ("0.25", "0.5"))])
    kept, lost, going = study.trials()
    for name in ("number", "state", "values", "params", "intermediate_values", "user_attrs", "constraints"):
        assert getattr(kept, name) == getattr(before[0], name), name
    assert dict(kept.constraints) == {"kl": -0.25}
    assert (lost.state, lost.params) == (TrialState.FAIL, {})
    assert lost.user_attrs == {**before[1].user_attrs, "cause": "config", "message": "not in the space any more"}
    assert (going.state, going.params) == (TrialState.RUNNING, {})
    assert (going.user_attrs, going.intermediate_values) == ({"num_updates": 7}, {5: 0.5})
    assert not study.move_to([Parameter("x", CategoricalDistribution([0.25, 0.5]), ("0.25", "0.5"))])


def test_a_write_waits_a_minute_for_a_reader_of_the_file(tmp_path: Path) -> None:
    storage: Any = open_storage(make_file_url(tmp_path / "study.db"))
    with storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000


def test_of_several_objectives_no_reports_are_compared(tmp_path: Path) -> None:
    study = open_study(tmp_path, "minimize", "maximize")
    for _ in range(2):
        number, _ = study.ask(suggest_x)
        study.report(number, 5, 0.5)
    study.tell(0, PRUNED)
    pruned, running = study._study.get_trials()
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {})
    assert (running.state, running.intermediate_values) == (TrialState.RUNNING, {5: 0.5})


def test_a_database_without_its_driver_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"^hydra.sweeper.storage=postgresql:.*\(python -m pip install 'psycopg"):
        open_storage("postgresql://user@127.0.0.1:1/x")
