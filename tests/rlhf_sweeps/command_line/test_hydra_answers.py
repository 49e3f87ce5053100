"""What a task's keys ask of Hydra: answered as Hydra itself does, before a trial reads them where no Hydra is."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SMALL, CommandLine
from helpers.sweeping import sweep
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run
from rlhf_sweeps.sweep.composition import Composer

# What ends on a microsecond is another one whenever it is asked for.
MOMENT = "${now:%H%M%S%f}"


def read(run: Path) -> dict[str, Any]:
    """A trial's config as it is written."""
    content: dict[str, Any] = yaml.safe_load((run / ".hydra" / "config.yaml").read_text(encoding="utf-8"))
    return content


CASES = [
    ["name=a_${hydra:job.num}_${hydra:job.id}_${hydra:job.name}", "tracking.tags=['${now:%Y}',py${python_version:}]"],
    ["tracking.tags=['${hydra:runtime.output_dir}','${hydra:runtime.cwd}/x','${hydra:sweep.dir}','${name}']"],
    ["reward_model=length", "reward_model.name=${hydra:runtime.choices.reward_model}_x", "ppo=trl"],
    ["name=x_${hydra:job.override_dirname}", "ppo.lr=7", "hydra.job.config.override_dirname.exclude_keys=[name]"],
    ["seed=${hydra:job.num}", "ppo.lr='${times:${hydra:job.num},0.001}'", "tracking.tags=${hydra:overrides.hydra}"],
    [
        "reward_model=callable",
        "reward_model.function=a.b",
        "+reward_model.arguments={hydra: '${hydra:job.num}', x: {hydra: ['${now:%Y}']}}",
    ],
    ["name='\\${now:%Y}_${hydra:job.num}'", "tracking.entity='${hydra:run.dir}'", "hydra.run.dir=of_${name}"],
]


@pytest.mark.parametrize("overrides", CASES)
def test_answers_are_hydras_own(overrides: list[str], tmp_path: Path) -> None:
    register()
    task = [override for override in overrides if not override.startswith("hydra.")]
    own = [f"hydra.sweep.dir={tmp_path / 'hydra'}", *(word for word in overrides if word.startswith("hydra."))]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", own, RunMode.MULTIRUN)
        job = loader.load_sweep_config(master, task)
        job.hydra.job.num, job.hydra.job.id = 3, "rlhf_sweeps_3"  # as Hydra's launcher does
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        done = run_job(OmegaConf.to_object, job, "hydra.sweep.dir", "hydra.sweep.subdir", context, False)
        composer = Composer(loader, master)
        composer.write(task, 3, tmp_path / "hydra" / "3")
    assert not HydraConfig.initialized()
    written = OmegaConf.merge(OmegaConf.structured(type(done.return_value)), read(tmp_path / "hydra" / "3"))
    assert OmegaConf.to_object(written) == done.return_value


def test_all_runs_of_a_grid_have_answers_of_their_own_and_one_time(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    sweep(
        folder,
        "ppo.kl_coef=0.01,0.02",
        f"name=a_{MOMENT}",
        f"tracking.tags=[{MOMENT},'${{hydra:job.num}}','${{hydra:runtime.output_dir}}','${{name}}']",
        "sweep.seeds=2",
        "sweep.test_seeds=1",
        "sweep.num_tested=1",
    )
    runs = {run: read(run) for run in sorted(path.parents[1] for path in folder.rglob("config.yaml"))}
    assert len(runs) == 5
    assert len({config["name"] for config in runs.values()}) == 1
    for run, config in runs.items():
        number = run.name.partition("_")[0] if run.parent.name == "test" else run.parent.name
        moment = config["name"].removeprefix("a_")
        assert moment.isdigit()
        assert config["tracking"]["tags"] == [moment, number, str(run), "${name}"]


def test_what_is_swept_and_what_files_ask_is_answered(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.write_text("# @package _global_\ntracking:\n  project: p_${hydra:job.num}\n", encoding="utf-8")
    (tmp_path / "conf" / "reward_model").mkdir()
    judge = tmp_path / "conf" / "reward_model" / "asks.yaml"
    judge.write_text("defaults: [length, _self_]\nname: asks_${hydra:job.num}\n", encoding="utf-8")
    sweep(
        tmp_path / "s",
        f"hydra.searchpath=[file://{tmp_path / 'conf'}]",
        "experiment=mine",
        "name=a_${hydra:job.num},b_${now:%Y}_${hydra:job.num}",
        "reward_model.name=${hydra:runtime.choices.reward_model}_${hydra:job.num}",
        "eval.judges=[{reward_model: length, name: 'l_${hydra:job.num}'},asks]",
        "ppo.kl_coef=tag(log,interval(0.01,0.1))",
        "seed=${hydra:job.num}",
        "hydra.sweeper.n_trials=4",
    )
    for number in range(4):
        config = read(tmp_path / "s" / str(number))
        assert config["name"].startswith(("a_", "b_20"))
        assert config["name"].endswith(f"_{number}")
        assert (config["seed"], config["tracking"]["project"]) == (number, f"p_{number}")
        assert (config["reward_model"]["name"], config["eval"]["judges"][0]["name"]) == (
            f"tiny_{number}",
            f"l_{number}",
        )


def test_a_compared_reward_model_whose_name_asks_is_the_same_in_all_trials(tmp_path: Path) -> None:
    sweep(tmp_path / "s", "reward_model=tiny,length", "reward_model.name=${hydra:job.num}_x")
    judges = [[judge["name"] for judge in read(tmp_path / "s" / number)["eval"]["judges"]] for number in ("0", "1")]
    assert judges[0] == judges[1] == ["grammar", "0_x[kind=classifier]", "0_x[kind=length]"]


def test_a_sweeps_own_folder_and_study_may_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ("name=${hydra:job.name}_${hydra:job.num}", "hydra.sweeper.study_name=of_${name}")
    sweep(Path("s_${name}"), "ppo.kl_coef=0.01,0.02", *changes)
    assert read(Path("s_rlhf_sweeps_0/1"))["name"] == "rlhf_sweeps_1"
    assert not HydraConfig.initialized()


def test_a_continued_sweep_follows_the_time_where_no_number_hangs_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = "ppo.kl_coef=0.01,0.02"
    for _ in range(2):
        sweep(tmp_path / "s", space, f"name=a_{MOMENT}", f"tracking.tags=[{MOMENT}]")
    assert "2 trials: 2 complete" in capsys.readouterr().out
    sweep(tmp_path / "t", space, "seed=${now:%f}")
    with pytest.raises(ConfigError, match=r"holds another sweep \(.*seed was "):
        sweep(tmp_path / "t", space, "seed=${now:%f}")


def test_no_answer_is_one_error_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="name"):
        sweep(tmp_path / "s", "ppo.kl_coef=0.01,0.02", "name=${hydra:job.numb}")
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_single_run_is_checked_with_the_answers_that_it_will_have(command_line: CommandLine, tmp_path: Path) -> None:
    asked = "name=${hydra:job.name}_${hydra:runtime.output_dir}"
    wrong = command_line(asked, "ppo.clip_range=7", "hydra.run.dir=run")
    assert "ppo.clip_range=7.0: must be" in wrong.stderr
    done = command_line(*SMALL, "ppo.total_episodes=8", asked, "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert (Run(tmp_path / "run").start() or {})["config"]["name"] == f"rlhf_sweeps_{tmp_path / 'run'}"
