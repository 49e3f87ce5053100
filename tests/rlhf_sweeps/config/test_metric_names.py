"""The names of metrics that are checked before a run: against real runs, both ways, and in the error's one line."""

import subprocess
from pathlib import Path

import pytest
from conftest import SMALL, CommandLine, Compose

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.metric_names import check_metrics, list_metric_names
from rlhf_sweeps.config.schema import Config
from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train

ONE_UPDATE = (*SMALL, "ppo.total_episodes=8", "eval.num_prompts=4")
JUDGES = "eval.judges=[length,{reward_model: regex, name: 'a[b=1]', patterns: [{pattern: x, weight: 1}]}]"


def check(config: Config) -> list[str]:
    """The lines of the error."""
    with pytest.raises(ConfigError) as caught:
        check_metrics(config)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("ppo=trl", "ppo.microbatch_size=4"),
        ("ppo.trl_metrics=true", "ppo.num_ppo_epochs=1", "ppo.num_minibatches=1"),
        (JUDGES, "reward_model.normalize=true", "ppo.kl_in=loss", "ppo.kl_target=6", "ppo.score_scaling=normalize"),
        ("ppo.lora_rank=2", "ppo.value_model=policy", "ppo.target_kl=1e-9", "ppo.stop_strings=['.']"),
        ("ppo.batch_size=1", "ppo.num_minibatches=1", "ppo.total_episodes=1", "ppo.value_start=zero"),
        ("ppo.value_warmup_updates=1", "ppo.total_episodes=16", "ppo.entropy_coef=0.01", "reward_model=length"),
    ],
)
def test_a_run_records_these_names_and_no_others(
    tmp_path: Path, compose_config: Compose, overrides: tuple[str, ...]
) -> None:
    config = compose_config(*ONE_UPDATE, *overrides)
    train(config, tmp_path)
    names = list_metric_names(config)
    row = Run(tmp_path).metrics()[-1]
    assert {*row} - {*names} == set(), "recorded, and not among the names"
    assert {*names} - {*row} == set(), "among the names, and not recorded"
    assert len(names) == len(set(names))
    assert all(isinstance(value, int | float) for value in row.values())


def test_a_name_that_no_run_records_is_one_line(compose_config: Compose) -> None:
    lines = check(
        compose_config(
            "objective.metrics=[eval/scor,kl_coef]",
            "objective.directions=[maximize,minimize]",
            "objective.constraints=['eval/lenght<=1','eval/length<=1']",
        )
    )
    assert [line.partition(" (")[0] for line in lines] == [
        "objective.metrics=eval/scor: no run with these settings records eval/scor; did you mean eval/score?",
        "objective.metrics=kl_coef: no run with these settings records kl_coef; did you mean objective/kl_coef?",
        "objective.constraints=eval/lenght<=1: no run with these settings records eval/lenght; did you mean "
        "eval/length?",
    ]
    assert "(allowed: eval/score, eval/base_score, eval/win_rate, eval/kl, " in lines[0]


def test_what_there_is_of_a_kind_is_listed_and_else_the_kinds(compose_config: Compose) -> None:
    (known,) = check(compose_config("objective.metrics=[loss/x]"))
    assert known.endswith(" records loss/x (allowed: loss/policy_avg, loss/value_avg)")
    (unknown,) = check(compose_config("objective.metrics=[x/y]"))
    assert "records x/y (allowed: eval/score, eval/base_score, eval/win_rate, eval/kl, " in unknown
    assert (
        "; and eval/..., judge/..., loss/..., objective/..., perf/..., policy/..., tokens/..., val/..., value/..., see "
        in unknown
    )


def test_judges_and_trls_metrics_exist_where_they_are_asked_for(compose_config: Compose) -> None:
    metrics = "objective.metrics=[judge/length/win_rate,trl_compat/val/ratio]"
    constraint = "objective.constraints=['judge/a[b=1]/score<=1','judge/length/win_rate>=0.5']"
    directions = "objective.directions=[maximize,minimize]"
    check_metrics(compose_config(JUDGES, metrics, constraint, directions, "ppo.trl_metrics=true"))
    lines = check(compose_config("eval.judges=[]", metrics, constraint, directions))
    assert len(lines) == 4
    assert "(judges of the run: none; see eval.judges. Of each: score, base_score, win_rate)" in lines[0]
    assert lines[1].endswith("(needs ppo.trl_metrics=true)")
    lines = check(compose_config(JUDGES, "objective.metrics=[judge/x/score]"))
    assert "(judges of the run: length, a[b=1]; " in lines[0]


def refused(done: "subprocess.CompletedProcess[str]", line: str) -> bool:
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    return done.stderr.startswith(f"error: {line}")


def test_a_run_is_refused_before_torch_is_loaded(command_line: CommandLine, tmp_path: Path) -> None:
    # A module of that name on the path of the process: importing it would end the run otherwise.
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was loaded')")
    done = command_line("objective.constraints=['eval/lenght<=1']", "hydra.run.dir=run")
    assert refused(done, "objective.constraints=eval/lenght<=1: no run with these settings records eval/lenght; did ")
    assert not Run(tmp_path / "run").metrics_file.exists()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("ppo.kl_coef=0.01,0.02", "objective.metrics=[eval/scor]"), "objective.metrics=eval/scor: "),
        # The second point has no such metric.
        (
            ("ppo.trl_metrics=true,false", "objective.metrics=[trl_compat/val/ratio]"),
            "objective.metrics=trl_compat/val/ratio: ",
        ),
        (("ppo.lr=interval(1e-6,1e-4)", "objective.constraints=['judge/tiny/score>=1']"), "objective.constraints="),
    ],
)
def test_a_sweep_is_refused_before_its_first_run(
    command_line: CommandLine, tmp_path: Path, overrides: tuple[str, ...], line: str
) -> None:
    done = command_line("-m", "hydra.sweep.dir=sweep", "hydra.sweeper.workers=0", *overrides)
    assert refused(done, line)
    assert not (tmp_path / "sweep" / "0").exists()


@pytest.mark.slow
def test_reward_models_that_a_comparison_adds_as_judges_are_known(command_line: CommandLine, tmp_path: Path) -> None:
    overrides = ("-m", "hydra.sweep.dir=sweep", "hydra.sweeper.workers=0", "reward_model=tiny,length", *ONE_UPDATE)
    done = command_line(*overrides, "objective.metrics=[judge/length/win_rate]", "sweep.report=false")
    assert done.returncode == 0, done.stderr
    assert all("judge/length/win_rate" in Run(tmp_path / "sweep" / str(n)).metrics()[-1] for n in (0, 1))


def test_a_trial_function_of_ones_own_records_what_it_likes(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def trial(folder, watch):\n    raise SystemExit(7)\n")
    done = command_line(
        "-m", "hydra.sweep.dir=sweep", "hydra.sweeper.workers=0", "hydra.sweeper.trial=own.trial", "sweep.retries=0",
        "ppo.kl_coef=0.01,0.02", "objective.metrics=[own/metric]", "tracking=disabled", "sweep.report=false",
    )  # fmt: skip
    assert (tmp_path / "sweep" / "0").exists()
    assert "no run with these settings" not in done.stderr
