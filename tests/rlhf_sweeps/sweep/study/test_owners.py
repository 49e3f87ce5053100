"""A study is one sweep's: another sweep of the same name, on the same storage, takes none of its trials for its own."""

import json
import shutil
from pathlib import Path

import optuna
import pytest
from helpers.at_once import at_once
from helpers.sweeping import sweep

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Sweep
from rlhf_sweeps.sweep.study import owners
from rlhf_sweeps.sweep.study.storage import open_storage

LOW = ("ppo.kl_coef=0.01,0.02", "seed=3")
HIGH = ("ppo.kl_coef=0.3,0.4,0.5", "seed=3")


def found(url: str, name: str) -> list[float]:
    """The swept values in a study, as Optuna by itself finds them."""
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    return [trial.params["ppo.kl_coef"] for trial in study.get_trials()]


def named(folder: Path) -> str:
    """What a sweep's own record calls its study."""
    return str(json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["study_name"])


@pytest.mark.parametrize("kind", ["sqlite:///{}/shared.db", "journal:{}/shared.log"])
def test_a_second_sweep_of_the_same_name_has_a_study_of_its_own(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = kind.format(tmp_path)
    sweep(tmp_path / "a" / "s", *LOW, f"hydra.sweeper.storage={url}")
    sweep(tmp_path / "b" / "s", *HIGH, f"hydra.sweeper.storage={url}")
    other = named(tmp_path / "b" / "s")
    assert named(tmp_path / "a" / "s") == "s" != other
    assert (found(url, "s"), found(url, other)) == ([0.01, 0.02], [0.3, 0.4, 0.5])
    assert f"is another sweep's; this sweep's is called {other}" in caplog.text
    # Each finds its own again, also where its folder has moved; nothing is added to a study that is complete.
    shutil.move(tmp_path / "b", tmp_path / "c")
    sweep(tmp_path / "c" / "s", *HIGH, f"hydra.sweeper.storage={url}")
    (tmp_path / "a" / "s").rename(tmp_path / "a" / "t")
    sweep(tmp_path / "a" / "t", *LOW, f"hydra.sweeper.storage={url}")
    assert sorted(optuna.get_all_study_names(open_storage(url))) == sorted(["s", other])
    assert (found(url, "s"), found(url, other)) == ([0.01, 0.02], [0.3, 0.4, 0.5])


@pytest.mark.parametrize("kind", ["sqlite:///{}/shared.db", "journal:{}/shared.log"])
def test_of_a_sweep_and_its_copy_one_goes_on_with_the_study(tmp_path: Path, kind: str) -> None:
    url = f"hydra.sweeper.storage={kind.format(tmp_path)}"
    first, copy, moved = (tmp_path / name for name in ("first", "copy", "moved"))
    sweep(first, *LOW, url)
    before = found(kind.format(tmp_path), "first")
    shutil.copytree(first, copy)
    (copy / "1" / "summary.json").unlink()
    with pytest.raises(ConfigError, match=rf"^hydra.sweep.dir={copy}: is a copy of {first}, which uses") as told:
        sweep(copy, *LOW, url)
    assert "\n" not in str(told.value)
    sweep(first, *LOW, url)
    (tmp_path / "link").symlink_to(first)
    sweep(tmp_path / "link", *LOW, url)
    # The copy is told from the first by where that lies now, and takes its place where it is gone.
    first.rename(moved)
    sweep(moved, *LOW, url)
    with pytest.raises(ConfigError, match=rf"is a copy of {moved}, which"):
        sweep(copy, *LOW, url)
    shutil.rmtree(moved)
    sweep(copy, *LOW, url)
    assert found(kind.format(tmp_path), "first") == before


def test_a_copy_with_a_study_of_its_own_goes_on_by_itself(tmp_path: Path) -> None:
    sweep(tmp_path / "first", *LOW)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    sweep(tmp_path / "copy", *LOW)


def test_a_name_that_the_user_gives_is_refused_where_it_is_another_sweeps(tmp_path: Path) -> None:
    given = (f"hydra.sweeper.storage=sqlite:///{tmp_path}/shared.db", "hydra.sweeper.study_name=mine")
    sweep(tmp_path / "a", *LOW, *given)
    with pytest.raises(ConfigError) as error:
        sweep(tmp_path / "b", *LOW, *given)
    assert str(error.value) == (
        "hydra.sweeper.study_name=mine: the study of this name in hydra.sweeper.storage is another sweep's; choose "
        "another name, or continue that sweep in its own hydra.sweep.dir"
    )
    assert not (tmp_path / "b" / "sweep.json").exists()
    sweep(tmp_path / "b", *LOW, given[0], "hydra.sweeper.study_name=yours")
    assert found(f"sqlite:///{tmp_path}/shared.db", "mine") == [0.01, 0.02]


def test_a_study_whose_owner_is_unknown_is_nobodys_unless_a_record_names_it_or_it_is_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    storage = open_storage(url)
    made = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    optuna.create_study(storage=storage, study_name="empty", direction="maximize")
    made.tell(made.ask(), 0.5)
    sweep(tmp_path / "s", *LOW, f"hydra.sweeper.storage={url}")
    assert named(tmp_path / "s") != "s"
    sweep(tmp_path / "empty", *LOW, f"hydra.sweeper.storage={url}")
    assert named(tmp_path / "empty") == "empty"
    assert len(made.get_trials()) == 1


def test_a_study_of_an_earlier_version_is_that_of_the_sweep_whose_record_names_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    sweep(tmp_path / "s", *LOW, f"hydra.sweeper.storage={url}")
    study = optuna.load_study(study_name="s", storage=open_storage(url))
    assert owners.find_owner(study) == (Sweep(tmp_path / "s").start() or {})["id"]
    before = owners.find_owner(study)
    storage = study._storage._backend  # type: ignore[attr-defined]
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM study_user_attributes")
    sweep(tmp_path / "s", *LOW, f"hydra.sweeper.storage={url}")
    again = optuna.load_study(study_name="s", storage=open_storage(url))
    assert (len(again.trials), owners.find_owner(again)) == (2, before)


@pytest.mark.parametrize("kind", ["sqlite:///{}/shared.db", "journal:{}/shared.log"])
@pytest.mark.parametrize("where", ["before", "after"])
def test_a_sweep_that_was_killed_when_it_made_its_study_goes_on_with_it(
    tmp_path: Path, kind: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = kind.format(tmp_path)
    make = owners.make_study

    def die(*arguments: object) -> None:
        if where == "after":
            make(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owners, "make_study", die)
        with pytest.raises(KeyboardInterrupt):
            sweep(tmp_path / "s", *LOW, f"hydra.sweeper.storage={url}", "hydra.sweeper.study_name=mine")
    given = (*LOW, f"hydra.sweeper.storage={url}", "hydra.sweeper.study_name=mine")
    sweep(tmp_path / "s", *given, "hydra.sweeper.dry_run=true", "hydra.sweeper.retry_failed=true")
    sweep(tmp_path / "s", *given)
    assert optuna.get_all_study_names(open_storage(url)) == ["mine"]
    assert found(url, "mine") == [0.01, 0.02]


def test_studies_that_follow_one_are_the_same_sweeps(tmp_path: Path) -> None:
    """Another search space takes another study, beside those of other sweeps."""
    given = (f"hydra.sweeper.storage=sqlite:///{tmp_path}/shared.db", "hydra.sweeper.accept_changes=true")
    sweep(tmp_path / "a" / "s", *LOW, *given)
    sweep(tmp_path / "s.2", *LOW, *given)
    sweep(tmp_path / "a" / "s", "ppo.kl_coef=0.03,0.04", "seed=3", *given)
    sweep(tmp_path / "a" / "s", "ppo.kl_coef=0.03,0.04", "seed=3", *given)
    assert named(tmp_path / "a" / "s") == "s.3"
    assert found(given[0].partition("=")[2], "s.2") == [0.01, 0.02]


@pytest.mark.parametrize("kind", ["sqlite:///{}/shared.db", "journal:{}/shared.log"])
def test_of_sweeps_that_begin_at_once_one_has_the_study(tmp_path: Path, kind: str) -> None:
    url = kind.format(tmp_path)

    def claim(number: int) -> None:
        try:
            owners.open_own_study(open_storage(url), "s", ["maximize"], ["eval/score"], str(number), is_known=False)
        except owners.ForeignStudyError:
            return
        (tmp_path / f"{number}.mine").touch()

    assert at_once(4, claim) == [0] * 4
    owner = owners.find_owner(optuna.load_study(study_name="s", storage=open_storage(url)))
    assert [path.stem for path in tmp_path.glob("*.mine")] == [owner]
