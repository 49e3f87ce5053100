"""The study as Optuna itself reads it from the file, and as samplers see it."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from rlhf_sweeps.fields import ConfigError
from rlhf_sweeps.sweep.study import Study
from rlhf_sweeps.sweep.trials import COMPLETE, FAILED, PRUNED


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
