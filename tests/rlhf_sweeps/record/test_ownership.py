"""A folder is the user's until it is shown to be ours: what is refused leaves it as it was, byte for byte."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL, CommandLine
from helpers.folders import BASIC, RUN, SWEEP, TRAINING, fill, module_of, refused, tree
from helpers.sweeping import sweep
from omegaconf import DictConfig, OmegaConf

from rlhf_sweeps.cli import _refuse_another
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.files.cache import make_once
from rlhf_sweeps.record import NotOursError, Run, Sweep
from rlhf_sweeps.training import checkpoints


@pytest.mark.parametrize(
    ("command", "place", "names"),
    [
        (RUN, "w", ("model/config.json", "checkpoint/step-1000/weights")),
        (RUN, ".", ("thesis.tex",)),
        (SWEEP, "w", ("3/model/config.json",)),
        (BASIC, "w", ("0/metrics.jsonl",)),
        (TRAINING, "w", ("README.md",)),
    ],
)
def test_what_is_the_users_is_left_alone(
    command: tuple[str, ...], place: str, names: tuple[str, ...], command_line: CommandLine, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    fill((here / place).resolve(), *names)
    before = tree(tmp_path)
    line = refused(command_line(*(word.format(place) for word in command), module=module_of(command), cwd=here))
    key = "hydra.run.dir" if command in (RUN, TRAINING) else "hydra.sweep.dir"
    assert line.startswith(f"error: {key}={place}: holds {names[-1].partition('/')[0]}")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("refuse", "place", "name"),
    [
        *((Run.refuse_foreign, "w", name) for name in (
            ".hydra/hydra.yaml", "checkpoint/0001000/state.json", "metrics.jsonl", "model", "model.unfinished/x",
            "rlhf_sweeps_former_model/x", "rlhf_sweeps.log", "run.json", "samples.jsonl", "summary.json", "sweep.json"
        )),
        *((Sweep.refuse_foreign, "w", name) for name in (
            "0/x", "comparison.json", "multirun.yaml", "optimization_results.yaml", "report.html", "run.json",
            "study.db", "sweep.json", "sweeper.json", "test/x"
        )),
        (Run.refuse_foreign, "..", "thesis.tex"),
        (Sweep.refuse_foreign, "here/..", "thesis.tex"),
    ],
)  # fmt: skip
def test_names_of_the_record_are_no_proof(
    refuse: Callable[[Run | Sweep], None], place: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fill(Path(place), name)
    folder = (Run if refuse is Run.refuse_foreign else Sweep)(place)
    with pytest.raises(NotOursError, match=name.partition("/")[0]):
        refuse(folder)
    # A link that leads nowhere would be written through, too.
    (tmp_path / "here" / "v").mkdir()
    (tmp_path / "here" / "v" / name.partition("/")[0]).symlink_to("nowhere")
    if place == "w":
        with pytest.raises(NotOursError):
            refuse(type(folder)("v"))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"hydra": 7}', "hydra:\n  callbacks:\n    preflight: 3\n", "\0"]
)
def test_damaged_and_foreign_files_are_no_proof(content: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "w")
    fill(run.folder, "model/x", ".hydra/hydra.yaml", "run.json")
    run.start_file.write_text(content, encoding="utf-8")
    run.hydra_file.write_text(content, encoding="utf-8")
    with pytest.raises(NotOursError):
        run.refuse_foreign()
    run.hydra_file.write_text("hydra: {callbacks: {preflight: {_target_: rlhf_sweeps.cli.Preflight}}}")
    run.refuse_foreign()
    run.hydra_file.write_text(content, encoding="utf-8")
    run.start_file.unlink()
    run.begin({})
    run.refuse_foreign()


@pytest.fixture(scope="module")
def of_others(tmp_path_factory: pytest.TempPathFactory, run_command: CommandLine) -> Path:
    """A run, and a sweep of made-up runs, as a user has left them."""
    folder = tmp_path_factory.mktemp("others")
    few = (*SMALL, "ppo.total_episodes=8", "reward_model=length", "eval.num_prompts=2", "hydra.run.dir=run")
    run_command(*few, cwd=folder).check_returncode()
    sweep(folder / "sweep", "ppo.kl_coef=0.01,0.02")
    return folder


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("hydra.run.dir=run", "ppo.lr=0.1"), "holds a run with other settings"),
        (("train", "hydra.run.dir=run"), "holds .copies, .hydra, "),
        (("hydra.run.dir=sweep",), "holds .copies, sweep.json, "),
        (tuple(word.format("sweep") for word in BASIC), "sweep: holds another sweep (hydra.sweeper._target_ was "),
    ],
)
def test_a_refused_start_leaves_no_trace(
    command: tuple[str, ...], expected: str, of_others: Path, command_line: CommandLine
) -> None:
    before = tree(of_others)
    assert expected in refused(command_line(*command, module=module_of(command), cwd=of_others))
    assert tree(of_others) == before


@pytest.mark.parametrize(
    ("place", "overrides", "expected"),
    [
        ("sweep", ("ppo.kl_coef=0.01,0.03",), "holds another sweep"),
        ("run", ("ppo.kl_coef=0.01,0.02",), "holds run.json"),
        ("sweep", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.pruner=no"), "hydra.sweeper.pruner"),
        ("sweep", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.sampler=no"), "hydra.sweeper.sampler"),
        ("sweep", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.storage=sqlite:////no/s.db"), "hydra.sweeper.storage"),
        ("sweep", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.retry_failed=[2]"), "there is no trial 2"),
        ("new", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.retry_failed=[0]"), "there is no trial 0"),
        ("new", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.pruner=no"), "hydra.sweeper.pruner"),
        ("new", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.storage=sqlite:////no/s.db"), "hydra.sweeper.storage"),
        ("new", ("ppo.kl_coef=0.01,0.02", "hydra.sweeper.storage=nonsense"), "hydra.sweeper.storage"),
        ("lost", ("ppo.kl_coef=0.01,0.02",), "holds trials that are not in its study (0, 1)"),
    ],
)
def test_a_refused_sweep_leaves_no_trace(
    place: str, overrides: tuple[str, ...], expected: str, of_others: Path
) -> None:
    if place == "lost" and not (of_others / "lost").exists():
        shutil.copytree(of_others / "sweep", of_others / "lost")
        (of_others / "lost" / "study.db").unlink()
    before = tree(of_others)
    with pytest.raises(ConfigError) as refusal:
        sweep(of_others / place, *overrides)
    assert expected in str(refusal.value)
    assert tree(of_others) == before


def test_hydras_own_sweeper_goes_on_with_its_own_sweep_alone(tmp_path: Path) -> None:
    """Only what does not touch a run's numbers may differ."""
    sweep = Sweep(tmp_path)

    def config(target: str, *overrides: str) -> DictConfig:
        return OmegaConf.create({"hydra": {"sweeper": {"_target_": target}, "overrides": {"task": list(overrides)}}})

    begun = config("hydra.Basic", "ppo.kl_coef=0.01,0.02", "tracking=online")
    _refuse_another(sweep, begun)
    sweep.hydra_file.write_text(OmegaConf.to_yaml(begun), encoding="utf-8")
    _refuse_another(
        sweep, config("hydra.Basic", "ppo.kl_coef=0.01,0.02", "tracking=online", "tracking.finish_timeout=9")
    )
    with pytest.raises(ConfigError, match=r"_target_ was hydra.Basic, is hydra.Other\); choose another folder"):
        _refuse_another(sweep, config("hydra.Other", "ppo.kl_coef=0.01,0.02"))
    with pytest.raises(ConfigError, match=r"hydra.overrides.task was .*0.01.*, is .*0.03"):
        _refuse_another(sweep, config("hydra.Basic", "ppo.kl_coef=0.03,0.02", "tracking=online"))
    sweep.hydra_file.write_text("{", encoding="utf-8")  # damaged: proves nothing
    _refuse_another(sweep, begun)


@pytest.mark.slow
def test_a_start_beside_another_one_leaves_no_trace(of_others: Path, command_line: CommandLine) -> None:
    before = tree(of_others)
    few = (*SMALL, "ppo.total_episodes=8", "reward_model=length", "eval.num_prompts=2")
    with Run(of_others / "run").claim():
        line = refused(command_line(*few, "hydra.run.dir=run", cwd=of_others))
    assert line == "error: hydra.run.dir=" + str(of_others / "run") + ": another process is training there; " \
        "choose another folder"  # fmt: skip
    with Sweep(of_others / "sweep").claim():
        words = ("-m", "ppo.kl_coef=0.01,0.02", "hydra.sweep.dir=sweep", "tracking=disabled")
        line = refused(command_line(*words, "hydra.sweeper.trial=helpers.fake_trainer.run", cwd=of_others))
    assert "is sweeping there" in line
    assert tree(of_others) == before


@pytest.mark.slow
def test_a_folder_with_other_things_is_taken_and_they_stay(command_line: CommandLine, tmp_path: Path) -> None:
    before = fill(tmp_path / "w", "notes.txt", "checkpoints/old")
    few = ("ppo.batch_size=2", "ppo.num_minibatches=1", "ppo.total_episodes=2", "eval.num_prompts=2",
           "reward_model=length", "tracking=disabled", "hydra.run.dir=w")  # fmt: skip
    result = command_line(*few)
    assert result.returncode == 0, result.stderr
    after = tree(tmp_path / "w")
    assert {name: after[name] for name in before} == before
    # What a killed start leaves before it has begun a run is shown to be ours by its config.
    (tmp_path / "w" / "run.json").unlink()
    again = command_line(*few)
    assert again.returncode == 0, again.stderr


def test_checkpoints_that_are_no_checkpoints_of_ours_stay(tmp_path: Path) -> None:
    ours = ("0000007/state.json", "0000007/policy.safetensors", "rlhf_sweeps_former_0000006/state.json", "unfinished/x")
    fill(tmp_path, *ours)
    before = {
        **fill(tmp_path / "user", "step-1000/w", "0001000/w", "note"),
    }
    root = tmp_path / "user"
    for name in ours:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    checkpoints.remove(root)
    assert tree(root) == before
    checkpoints.remove(tmp_path / "nowhere")


@pytest.mark.slow
def test_weights_are_readable_for_whom_the_umask_lets(command_line: CommandLine, tmp_path: Path) -> None:
    before = os.umask(umask := 0o027)
    try:
        few = ("ppo.batch_size=2", "ppo.num_minibatches=1", "ppo.total_episodes=2", "eval.num_prompts=2",
               "reward_model=length", "tracking=disabled", "hydra.run.dir=run")  # fmt: skip
        assert command_line(*few).returncode == 0
        words = ("train", "hydra.run.dir=rm", "reward_model.max_steps=1")
        training = command_line(*words, module="rlhf_sweeps.reward_models")
        assert training.returncode == 0, training.stderr
        made = make_once(tmp_path / "cache" / "head.safetensors", _private)
    finally:
        os.umask(before)
    files = [path for path in (*(tmp_path / "run").rglob("*"), *(tmp_path / "rm").rglob("*"), made) if path.is_file()]
    assert {".safetensors", ".json", ".jsonl", ".yaml"} <= {path.suffix for path in files}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files}
    assert set(modes.values()) == {0o666 & ~umask}, modes


def _private(folder: Path) -> Path:
    (folder / "made").touch(mode=0o600)
    return folder / "made"
