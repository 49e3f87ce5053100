"""The Optuna study of a sweep: opened where it can be, without writing to it, else rebuilt from the runs."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.records.runs import Source, TrialRecord
from rlhf_sweeps.record import Sweep, find_passwords, hide, mask_url, natural_key, open_record, remember

_MOST_NUMBERS = 10_000  # beyond, a rebuilt study has numbers of its own
_WIDE = 30.0  # a range whose ends are a factor of so much apart is looked at on a log scale


def open_study(
    sweep: Sweep, start: Mapping[str, Any], named: Any, problems: list[str], storage: str | None = None
) -> Any:
    """The study of a sweep; None where there is none, or it cannot be opened, which adds a problem.

    Args:
        start: what sweep.json holds.
        named: hydra.sweeper.storage in the record: it may name any host or file, so it is named, not opened.
        storage: an SQLAlchemy URL or journal:PATH that the user has asked to be opened.
    """
    if not sweep.study.exists() and not storage:
        place = _shorten_value(mask_url(str(named)))
        reason = f"the record names hydra.sweeper.storage={place}; --storage opens it" if named else "missing"
        problems.append(
            f"{sweep.study.name}: {reason}; the sweep's decisions about its trials are inferred from their runs"
        )
        return None
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = _open_storage(storage) if storage else _open_read_only(sweep.study)
            names = [study.study_name for study in opened.get_all_studies()]
            name = start.get("study_name")
            if name not in names:
                (name,) = names
            study = optuna.load_study(study_name=name, storage=opened)
            study.get_trials(deepcopy=False)
            return study
    except Exception as error:
        opened_name = f"--storage={mask_url(storage)}" if storage else sweep.study.name
        remember(*find_passwords(storage or ""))
        reason = _shorten_value(hide(str(error)) or type(error).__name__)
        problems.append(
            f"{opened_name}: cannot be read ({reason}); the states of its trials are inferred from their runs"
        )
        return None


def _open_read_only(path: Path) -> Any:
    """An SQLite file's storage; Optuna asks for no tables of it, and SQLite makes no file."""
    open_record(path).close()
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

    url = URL.create("sqlite", database=path.absolute().as_uri(), query={"mode": "ro", "uri": "true"})
    return RDBStorage(
        url.render_as_string(),
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def _open_storage(url: str) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
    from sqlalchemy import make_url

    if url.startswith("journal:"):
        path = Path(url.removeprefix("journal:")).absolute()
        open_record(path).close()
        return JournalStorage(JournalFileBackend(str(path)))
    parsed = make_url(url)
    if parsed.drivername.startswith("sqlite") and parsed.database and not parsed.query:
        return _open_read_only(Path(parsed.database))  # connecting would make a file that is not there
    return RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)


def _shorten_value(value: Any) -> str:
    """A value as a short line."""
    return " ".join(str(value).split())[:200] or type(value).__name__


def rebuild_study(trials: Sequence[TrialRecord], source: Source) -> Any:
    """A study in memory made from the runs: the values of the keys that differ, states, objectives.

    Missing numbers between those of the trials become empty failed trials.
    """
    import optuna
    from optuna.study import StudyDirection
    from optuna.trial import TrialState, create_trial

    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    values = {
        key: [_convert_value(trial.runs[0].look_up(key)) if trial.runs else None for trial in trials]
        for key in source.axes
    }
    distributions = {
        key: distribution for key, column in values.items() if (distribution := _make_distribution(column)) is not None
    }
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=[StudyDirection[name.upper()] for name in source.directions])
    num = 0
    for index, trial in enumerate(trials):
        # Optuna counts by itself: an empty trial holds the place of each missing number.
        for _ in range(trial.number - num if trial.number <= _MOST_NUMBERS else 0):
            study.add_trial(create_trial(state=TrialState.FAIL))
        num = max(num, trial.number) + 1
        params = {key: values[key][index] for key in distributions if values[key][index] is not None}
        is_valued = trial.objectives is not None and len(trial.objectives) == len(source.directions)
        state = states.get(trial.state, TrialState.FAIL)
        if state == TrialState.COMPLETE and not is_valued:
            state = TrialState.FAIL
        study.add_trial(
            create_trial(
                state=state,
                values=list(trial.objectives or []) if state == TrialState.COMPLETE else None,
                params=params,
                distributions={key: distributions[key] for key in params},
                user_attrs={"number": trial.number, "settings": dict(trial.settings), "seconds": trial.seconds},
                # For Optuna's plots, a constraint counts as broken where it is unknown.
                constraints={name: 1.0 if math.isnan(by) else by for name, by in trial.violations.items()},
                intermediate_values=_list_reports(trial, source) if len(source.directions) == 1 else {},
            )
        )
    return study


def empty_trials(study: Any, left_out: Sequence[int]) -> Any:
    """The study, in memory, in which some trials are empty failed ones."""
    import optuna
    from optuna.trial import TrialState, create_trial

    copied = optuna.create_study(directions=study.directions)
    for trial in study.get_trials(deepcopy=True):
        copied.add_trial(create_trial(state=TrialState.FAIL) if trial.number in left_out else trial)
    return copied


def _convert_value(value: Any) -> Any:
    """A value that Optuna can keep; what is not finite is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _make_distribution(values: Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    given = [value for value in values if value is not None]
    if not given:
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in given):
        low, high = float(min(given)), float(max(given))
        return FloatDistribution(low, high, log=low > 0 and high / low > _WIDE)
    return CategoricalDistribution(sorted(set(given), key=lambda value: natural_key(repr(value))))


def _list_reports(trial: TrialRecord, source: Source) -> dict[int, float]:
    if not trial.runs:
        return {}
    updates, values = trial.runs[0].select_points(source.metrics[0])
    return {int(update): float(value) for update, value in zip(updates, values, strict=True)}
