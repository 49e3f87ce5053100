"""Studies that the analysis opens, wherever a sweep has kept them, and those that it rebuilds."""

from pathlib import Path

import optuna
import pytest
import yaml
from helpers.records import rows, write_run, write_sweep
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from analysis.reading.sources import read
from analysis.reading.study import rebuild_study
from analysis.records.runs import RunRecord, Source, TrialRecord
from analysis.results.ranking import rank_source
from analysis.sweep.settings import make_views
from rlhf_sweeps.sweep.study.storage import make_file_url, open_storage

POINTS = [{"ppo.lr": lr} for lr in (1e-5, 1e-4, 1e-3)]


def test_a_study_that_lies_elsewhere(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep", POINTS, updates=4).folder
    known = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep / 'study.db'}")
    journal = tmp_path / "journal.log"
    optuna.copy_study(
        from_study_name="made",
        from_storage=f"sqlite:///{sweep / 'study.db'}",
        to_storage=JournalStorage(JournalFileBackend(str(journal))),
    )
    (sweep / "study.db").unlink()
    (sweep / "multirun.yaml").write_text(
        yaml.safe_dump({"hydra": {"sweeper": {"storage": f"journal:{journal}"}}}), encoding="utf-8"
    )
    # A record may name any host or file: what it names is opened only where the user asks for it.
    assert read(sweep).problems == (
        f"study.db: the record names hydra.sweeper.storage=journal:{journal}; --storage opens it; the sweep's "
        "decisions about its trials are inferred from their runs",
    )
    source = read(sweep, storage=f"journal:{journal}")
    assert source.problems == ()
    assert [trial.params for trial in source.study.trials] == [trial.params for trial in known.trials]
    journal.unlink()
    source = read(sweep, storage=f"journal:{journal}")
    assert source.problems[0].startswith(f"--storage=journal:{journal}: cannot be read (")
    assert "No such file" in source.problems[0]
    assert not journal.exists()
    assert len(source.study.trials) == 3


@pytest.mark.parametrize("name", ["ö {e} 'q'", "a?mode=rw#b", "50%20%", "$HOME [x], c=d&e;f"])
def test_a_study_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    """The file that the sweeper makes, at the URL that it uses, is the one that the analysis opens."""
    made = write_sweep(tmp_path / "sweep", POINTS, updates=4).folder.rename(tmp_path / name)
    study = optuna.load_study(study_name="made", storage=open_storage(make_file_url(made / "study.db")))
    assert len(study.trials) == 3
    source = read(made)
    assert source.problems == ()
    assert [trial.params for trial in source.study.trials] == [trial.params for trial in study.trials]


def test_the_study_says_what_became_of_a_trial(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    write_sweep(folder, POINTS, updates=4)
    study = optuna.load_study(study_name="made", storage=RDBStorage(f"sqlite:///{folder / 'study.db'}"))
    for number, attributes in enumerate([{"cause": "timeout", "message": "over"}, {}], start=3):
        trial = study.ask()
        for key, value in attributes.items():
            trial.set_user_attr(key, value)
        write_run(folder / str(number), rows(2), end=None, settings={"ppo__lr": 1.0}, overrides=["ppo.lr=1.0"])
    study.tell(3, state=optuna.trial.TrialState.FAIL)
    source = read(folder)
    assert [(trial.state, trial.cause, trial.message) for trial in source.trials[3:]] == [
        ("failed", "timeout", "over"),
        ("unfinished", None, None),
    ]
    assert source.trials[4].settings == {"ppo.lr": "1.0"}


def _trial(number: int, value: float | None, state: str = "complete", **config: object) -> TrialRecord:
    run = RunRecord(
        str(number), {}, {key.replace("__", "."): x for key, x in config.items()}, state=state, trial=number
    )
    return TrialRecord(number, state, {}, None if value is None else [value], runs=[run])


def test_what_a_rebuilt_study_makes_of_the_values() -> None:
    trials = [
        _trial(0, 1.0, ppo__lr=1e-5, ppo__clip_range=0.1, model__name="a", ppo__whiten=True),
        _trial(1, 2.0, ppo__lr=1e-3, ppo__clip_range=0.3, model__name="b", ppo__whiten=False),
        _trial(2, None, "pruned", ppo__lr=1e-4, ppo__clip_range=0.2, model__name="b", ppo__whiten=False),
        _trial(3, None, "failed", ppo__lr=1e-4, ppo__clip_range=0.2, model__name="b", ppo__whiten=False),
        TrialRecord(4, "unfinished", {}),
    ]
    source = Source("made", "sweep", [run for trial in trials for run in trial.runs], trials)
    study = rebuild_study(trials, source)
    distributions = study.trials[0].distributions
    assert distributions["ppo.lr"] == optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True)
    assert distributions["ppo.clip_range"] == optuna.distributions.FloatDistribution(0.1, 0.3)
    assert distributions["model"] == optuna.distributions.CategoricalDistribution(("a", "b"))
    assert distributions["ppo.whiten"] == optuna.distributions.CategoricalDistribution((False, True))
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "FAIL"]
    assert study.best_trial.number == 1


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_rebuilt_study_keeps_the_direction(direction: str) -> None:
    trials = [_trial(0, 1.0, ppo__lr=1.0), _trial(1, 2.0, ppo__lr=2.0)]
    source = Source("made", "sweep", [trial.runs[0] for trial in trials], trials, directions=[direction])
    assert rebuild_study(trials, source).best_trial.number == (1 if direction == "maximize" else 0)


def test_a_copy_of_a_trial_is_no_further_seed(tmp_path: Path) -> None:
    """A search over lists has suggested two settings again, which the sweep has not run again."""
    sweep = write_sweep(tmp_path / "sweep", POINTS, heights=[3.0, 2.0, 1.0])
    study = optuna.load_study(study_name="made", storage=f"sqlite:///{sweep.study}")
    for known in study.get_trials()[:2]:
        known.user_attrs["has_run"] = False
        study.add_trial(known)
    source = read(sweep.folder)
    assert [trial.has_run for trial in source.trials] == [True, True, True, False, False]
    (view,) = make_views(source)
    assert [(setting.numbers, len(setting.by_run)) for setting in view.settings] == [((0,), 1), ((1,), 1), ((2,), 1)]
    assert (view.estimate_noise().repetitions, view.estimate_noise().is_known) == (0, False)
    assert [entry.title for entry in rank_source(source).ranked] == ["Trial 0", "Trial 1", "Trial 2"]
