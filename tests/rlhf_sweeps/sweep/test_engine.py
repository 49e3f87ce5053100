"""The engine's logic, with a trainer that takes no time: what is asked, started, stopped, retried, told, continued."""

import json
import math
import signal
from pathlib import Path

import optuna
import pytest
import yaml
from helpers.fake_trainer import value
from helpers.sweeping import contents, misbehave, starts, sweep, trials
from optuna.trial import TrialState

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Run, Sweep
from rlhf_sweeps.sweep import SweepFailedError, SweepInterruptedError

SEARCH = ("ppo.lr=tag(log,interval(1e-5,1e-2))", "ppo.kl_coef=tag(log,interval(0.001,1))")
COMPLETE, PRUNED, FAIL, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING


def states(folder: Path) -> list[TrialState]:
    return [trial.state for trial in trials(folder)]


def causes(folder: Path) -> list[str | None]:
    return [trial.user_attrs.get("cause") for trial in trials(folder)]


def test_a_grid_runs_every_point_once_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,5e-4", "ppo.kl_coef=0.01,0.02,0.1")
    points = [(lr, kl) for lr in (1e-4, 5e-4) for kl in (0.01, 0.02, 0.1)]
    found = trials(tmp_path)
    assert [(t.params["ppo.lr"], t.params["ppo.kl_coef"]) for t in found] == points
    assert [t.value for t in found] == pytest.approx([value(lr, kl, 0) for lr, kl in points])
    assert [starts(tmp_path / str(number)) for number in range(6)] == [1] * 6
    overrides = yaml.safe_load((tmp_path / "3" / ".hydra" / "overrides.yaml").read_text())
    assert overrides == ["tracking=disabled", "sweep.report=false", "ppo.lr=0.0005", "ppo.kl_coef=0.01"]
    best = max(points, key=lambda point: value(*point, 0))
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["name"], results["best_params"]) == ("optuna", {"ppo.lr": best[0], "ppo.kl_coef": best[1]})
    assert results["best_value"] == pytest.approx(value(*best, 0))
    assert f"best: trial {points.index(best)}, objective {value(*best, 0):.4g}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_finds_the_best_setting_and_prunes_bad_ones(tmp_path: Path) -> None:
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=40")
    found = trials(tmp_path)
    assert len(found) == 40
    best = max(t.value for t in found if t.state == COMPLETE)
    assert best > 2 - 0.04
    pruned = [t for t in found if t.state == PRUNED]
    assert len(pruned) >= 10
    assert all(max(t.intermediate_values) < 30 for t in pruned)
    assert all((Run(tmp_path / str(t.number)).summary() or {})["stop_reason"] == "pruned" for t in pruned)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_to_the_same_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a trial, several times; and an exception within the engine, as if it were killed."""
    arguments = (*SEARCH, "hydra.sweeper.n_trials=15")
    sweep(tmp_path / "whole", *arguments)
    append, moments = Run.append_metrics, {23: "interrupt", 61: "die", 62: "die", 97: "interrupt", 140: "die"}
    count = 0

    def append_and_disturb(self: Run, row: dict[str, float]) -> None:
        nonlocal count
        append(self, row)
        count += 1
        if moments.get(count) == "interrupt":
            signal.raise_signal(signal.SIGINT)
        if moments.get(count) == "die":
            raise KeyboardInterrupt  # goes through trainer and engine

    monkeypatch.setattr(Run, "append_metrics", append_and_disturb)
    broken = tmp_path / "broken" / "whole"  # the study has the folder's name
    for _ in moments:
        with pytest.raises(KeyboardInterrupt):
            sweep(broken, *arguments)
    sweep(broken, *arguments)
    assert contents(broken) == contents(tmp_path / "whole")
    numbers = [trial.number for trial in trials(broken)]
    assert numbers == list(range(15))
    undisturbed = sum(starts(tmp_path / "whole" / str(number)) for number in numbers)
    # A disturbance at a moment when the trial was told to wait anyway costs no start.
    assert 0 < sum(starts(broken / str(number)) for number in numbers) - undisturbed <= len(moments)


def test_the_same_command_again_runs_nothing_and_a_larger_n_trials_extends(tmp_path: Path) -> None:
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=4")
    before, first_starts = contents(tmp_path), [starts(tmp_path / str(number)) for number in range(4)]
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=4")
    assert contents(tmp_path) == before
    sweep(tmp_path, *SEARCH, "hydra.sweeper.n_trials=7")
    assert contents(tmp_path)[:4] == before
    assert [starts(tmp_path / str(number)) for number in range(4)] == first_starts


def test_another_space_or_config_is_refused_with_the_difference_or_accepted(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    before = contents(tmp_path)
    with pytest.raises(
        ConfigError, match=r"ppo\.kl_coef was choice\(0\.01,0\.02\), is choice\(0\.01,0\.05\)\).*accept_changes"
    ):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.05")
    with pytest.raises(ConfigError, match=r"ppo\.clip_range was 0\.2, is 0\.1"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", "ppo.clip_range=0.1")
    with pytest.raises(ConfigError, match=r"\(ppo\.lr was None, is choice\(0\.1,0\.2\)\)"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", "ppo.lr=0.1,0.2")
    assert contents(tmp_path) == before
    sweep(tmp_path, "ppo.kl_coef=0.01,0.05", "hydra.sweeper.accept_changes=true")
    found = trials(tmp_path, f"{tmp_path.name}.2")
    assert [(t.number, t.params.get("ppo.kl_coef"), t.state) for t in found] == [
        (0, 0.01, COMPLETE),
        (1, None, FAIL),
        (2, 0.05, COMPLETE),
    ]
    assert [starts(tmp_path / str(number)) for number in range(3)] == [1] * 3


def test_failures_cost_themselves_alone_and_have_causes(tmp_path: Path) -> None:
    misbehave(
        tmp_path,
        trial_0={"3": "raise"},
        trial_1={"2": "diverged"},
        trial_2={"9": "out_of_memory"},
        trial_3={"1": "exit"},
    )
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04,0.05", "hydra.sweeper.max_failure_rate=1", "sweep.retries=0")
    assert causes(tmp_path) == ["error", "diverged", "out_of_memory", "lost_process", None]
    assert states(tmp_path) == [FAIL] * 4 + [COMPLETE]
    assert trials(tmp_path)[0].user_attrs["message"] == "ValueError: no"
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04,0.05", "hydra.sweeper.max_failure_rate=1", "sweep.retries=0")
    assert [starts(tmp_path / str(number)) for number in range(5)] == [1] * 5


def test_the_sweep_ends_at_the_maximum_failure_rate(tmp_path: Path) -> None:
    misbehave(tmp_path, **{f"trial_{number}": {"1": "raise"} for number in range(20)})
    with pytest.raises(SweepFailedError, match=r"max_failure_rate=0\.5: 6 of 6 trials failed"):
        sweep(tmp_path, "ppo.kl_coef=range(0.01,0.21,0.01)")
    misbehave(tmp_path / "strict", trial_0={"1": "raise"})
    with pytest.raises(SweepFailedError, match="max_failure_rate=0: 1 of 1"):
        sweep(tmp_path / "strict", "ppo.kl_coef=0.01,0.02,0.03", "hydra.sweeper.max_failure_rate=0")


def test_a_setting_that_contradicts_itself_fails_as_config_without_a_process(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.num_minibatches=1,4,8", "ppo.batch_size=tag(int,interval(8,12))", "hydra.sweeper.n_trials=12",
          "hydra.sweeper.sampler=random", "hydra.sweeper.max_failure_rate=1")  # fmt: skip
    first = {tuple(trial.params.values()): trial for trial in reversed(trials(tmp_path))}
    for trial in first.values():
        fits = trial.params["ppo.batch_size"] % trial.params["ppo.num_minibatches"] == 0
        assert trial.state != FAIL if fits else trial.user_attrs["cause"] == "config"
        assert (tmp_path / str(trial.number) / "starts").exists() == fits


def test_seeds_are_averaged_and_pruned_between_and_test_seeds_are_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("ppo.lr=1e-4,5e-4,7e-4", "sweep.seeds=3", "sweep.test_seeds=2", "sweep.num_tested=2", "seed=10")
    sweep(tmp_path, *arguments)
    means = [sum(value(lr, 0.02, seed) for seed in (10, 11, 12)) / 3 for lr in (1e-4, 5e-4, 7e-4)]
    assert [t.value for t in trials(tmp_path)] == pytest.approx(means)
    assert all(starts(tmp_path / "0" / f"seed_{seed}") == 1 for seed in (10, 11, 12))
    tested = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert tested == [f"{number}_seed_{seed}" for number in (1, 2) for seed in (1000010, 1000011)]
    best = (1e-4, 5e-4, 7e-4)[means.index(max(means))]
    held_out = [value(best, 0.02, seed) for seed in (1000010, 1000011)]
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert results["test"]["mean"] == pytest.approx(sum(held_out) / 2)
    error = abs(held_out[0] - held_out[1]) / 2
    assert f"to report: objective {sum(held_out) / 2:.4g} +- {error:.2g}" in capsys.readouterr().out
    sweep(tmp_path, *arguments)
    assert all(starts(tmp_path / "test" / name) == 1 for name in tested)


def test_a_setting_can_be_pruned_between_seeds(tmp_path: Path) -> None:
    sweep(
        tmp_path, "ppo.lr=1e-5,5e-4", "sweep.seeds=6", "hydra.sweeper.pruner=wilcoxon",
    )  # fmt: skip
    assert states(tmp_path) == [COMPLETE, COMPLETE]
    worse = tmp_path / "worse"
    sweep(worse, "ppo.lr=5e-4,1e-5", "sweep.seeds=6", "hydra.sweeper.pruner=wilcoxon")
    assert states(worse) == [COMPLETE, PRUNED]
    assert sorted(path.name for path in (worse / "1").glob("seed_*")) == [f"seed_{seed}" for seed in range(4)]


def test_several_objectives_with_constraints_are_pruned_by_a_declared_one(tmp_path: Path) -> None:
    sweep(
        tmp_path,
        *SEARCH,
        "objective.metrics=[eval/score,eval/kl]",
        "objective.directions=[maximize,minimize]",
        "objective.constraints=['eval/kl<=8','eval/length>=10']",
        "hydra.sweeper.prune_on=eval/score",
        "hydra.sweeper.n_trials=25",
    )
    found = trials(tmp_path)
    assert {t.state for t in found} == {COMPLETE, PRUNED}
    for trial in (t for t in found if t.state == COMPLETE):
        assert trial.values[1] == pytest.approx(10 * trial.params["ppo.lr"] / 5e-4)
        assert trial.constraints == pytest.approx({"eval/kl<=8": trial.values[1] - 8, "eval/length>=10": -10})
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    kept = [t for t in found if t.state == COMPLETE and t.values[1] <= 8]
    front = [
        t for t in kept if not any(o.values[0] >= t.values[0] and o.values[1] < t.values[1] for o in kept)
    ]  # the fake KL is the learning rate, which no two trials share
    assert sorted(one["trial"] for one in results["solutions"]) == [trial.number for trial in front]
    assert {one["trial"]: one["values"] for one in results["solutions"]} == {t.number: t.values for t in front}


def test_direction_of_hydras_plugin_is_kept(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=5e-4,1e-4", "hydra.sweeper.direction=minimize", "objective.metrics=[eval/kl]")
    assert (
        optuna.load_study(study_name=tmp_path.name, storage=f"sqlite:///{tmp_path}/study.db").direction.name
        == "MINIMIZE"
    )
    results = yaml.safe_load((tmp_path / "optimization_results.yaml").read_text())
    assert (results["best_trial"], results["best_value"]) == (1, pytest.approx(2.0))
    config = yaml.safe_load((tmp_path / "0" / ".hydra" / "config.yaml").read_text())
    assert config["objective"]["directions"] == ["minimize"]


def test_a_trial_over_its_kl_budget_for_good_is_stopped_and_worth_what_it_was_within(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.lr=5e-4,1e-3")  # the fake KL is 10 and 20 throughout
    within, beyond = trials(tmp_path)
    assert (within.state, beyond.state) == (COMPLETE, COMPLETE)
    assert beyond.value == 0.0  # the base policy's score
    assert (Run(tmp_path / "1").summary() or {})["stop_reason"] == "kl_budget"
    assert len(Run(tmp_path / "1").metrics()) == 10  # two evaluations


@pytest.mark.slow
def test_what_diverges_is_learned_from_and_what_is_lost_is_not(tmp_path: Path) -> None:
    """TPE keeps away from where trials diverge, as it does from low values; four fifths of the space are bad."""
    shares = {}
    for how in ("diverged", "exit"):
        misbehave(tmp_path / how, above={"lr": 6e-4, "how": how})
        sweep(
            tmp_path / how,
            "ppo.lr=interval(0.0001,0.003)",
            "hydra.sweeper.n_trials=30",
            "hydra.sweeper.pruner=none",
            "hydra.sweeper.max_failure_rate=1",
            "sweep.retries=0",
            "objective.kl_budget=null",
        )
        late = trials(tmp_path / how)[15:]
        shares[how] = sum(trial.params["ppo.lr"] > 6e-4 for trial in late) / len(late)
    assert shares["diverged"] + 0.2 < shares["exit"]


def test_a_trial_whose_reward_model_failed_goes_on_once_that_is_mended(tmp_path: Path) -> None:
    arguments = ("ppo.lr=1e-4,5e-4,1e-3", "objective.kl_budget=null")
    sweep(tmp_path / "undisturbed", *arguments)
    misbehave(tmp_path / "mended", trial_1={"12": "reward_model_once"})
    for expected in (RUNNING, COMPLETE):
        sweep(tmp_path / "mended", *arguments)
        assert states(tmp_path / "mended") == [COMPLETE, expected, COMPLETE]
    assert contents(tmp_path / "mended") == contents(tmp_path / "undisturbed")
    assert [starts(tmp_path / "mended" / str(number)) for number in range(3)] == [1, 2, 1]


@pytest.mark.slow
def test_the_budget_ends_the_sweep_and_more_of_it_continues(tmp_path: Path) -> None:
    misbehave(tmp_path, seconds_each=0.05)
    arguments = (*SEARCH, "hydra.sweeper.pruner=none", "hydra.sweeper.n_trials=3")
    sweep(tmp_path, *arguments, f"sweep.budget_hours={1 / 3600}")
    assert states(tmp_path)[-1] == RUNNING
    assert len(states(tmp_path)) < 3
    sweep(tmp_path, *arguments, "sweep.budget_hours=1")
    assert states(tmp_path) == [COMPLETE] * 3


def test_a_sweep_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """What stands for something in a URL stands for itself in a path."""
    folder = tmp_path / "a?b%20c"
    sweep(folder, "ppo.lr=1e-4")
    assert (folder / "study.db").exists()


def test_a_budget_that_ends_before_the_first_trial_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, *SEARCH, f"sweep.budget_hours={1e-6 / 3600}")
    printed = capsys.readouterr().out
    assert "no trial was run" in printed
    assert "the time is over; the same command with a larger sweep.budget_hours" in printed


def test_a_trial_has_a_time_limit(tmp_path: Path) -> None:
    with pytest.raises(SweepFailedError, match="every trial failed"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02", f"sweep.trial_hours={0.095 / 3600}")
    assert causes(tmp_path) == ["timeout", "timeout"]
    assert len(Run(tmp_path / "0").metrics()) == 10  # each says that it took 0.01 s


def test_fewer_trials_than_points_search_the_lists(tmp_path: Path) -> None:
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02,0.03,0.04", "ppo.lr=1e-4,2e-4,3e-4", "hydra.sweeper.n_trials=5")
    assert len(trials(tmp_path)) == 5


def test_a_setting_is_run_once(tmp_path: Path) -> None:
    space = ("ppo.kl_coef=0.01,0.02,0.03", "ppo.lr=tag(step:1e-4,interval(1e-4,2e-4))")
    sweep(tmp_path, *space, "hydra.sweeper.n_trials=9", "hydra.sweeper.sampler=random", "hydra.sweeper.pruner=none")
    found = trials(tmp_path)
    values = [value(trial.params["ppo.lr"], trial.params["ppo.kl_coef"], 0) for trial in found]
    assert [trial.value for trial in found] == pytest.approx(values)
    settings = {tuple(trial.params.values()) for trial in found}
    assert len(found) == len(list(tmp_path.glob("[0-9]*"))) == len(settings) == 6  # all there are


def test_a_second_sweeper_is_refused_with_the_firsts_process_and_host(tmp_path: Path) -> None:
    with Sweep(tmp_path).claim(), pytest.raises(ConfigError, match="another process is sweeping there; choose"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    with Sweep(tmp_path).claim(), pytest.raises(ConfigError, match=r"process \d+ on \S+ is sweeping there since"):
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")


def test_a_journal_file_or_another_study_name_on_request(tmp_path: Path) -> None:
    url = f"journal:{tmp_path / 'study.jnl'}"
    for n_trials in (2, 3):
        sweep(tmp_path / "s", *SEARCH, f"hydra.sweeper.storage={url}", "hydra.sweeper.study_name=mine",
              f"hydra.sweeper.n_trials={n_trials}")  # fmt: skip
        with (tmp_path / "study.jnl").open("a") as journal:
            journal.write('{"torn')
    assert not (tmp_path / "s" / "study.db").exists()
    assert [starts(tmp_path / "s" / str(number)) for number in range(3)] == [1] * 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials=0: must be >= 1"),
        ("hydra.sweeper.sampler=magic", "hydra.sweeper.sampler=magic: "),
        ("hydra.sweeper.pruner=magic", "hydra.sweeper.pruner=magic: "),
        ("hydra.sweeper.direction=up", "hydra.sweeper.direction=up: "),
        ("hydra.sweeper.prune_on=eval/kl", "hydra.sweeper.prune_on=eval/kl: must be one of objective.metrics"),
        ("hydra.sweeper.n_jobs=3", "hydra.sweeper.workers=0: the same as"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir: "),
        ("hydra.sweeper.ties=3", "hydra.sweeper.ties=3: must be null or a list"),
        ("hydra.sweeper.storage=nonsense://x", "hydra.sweeper.storage=nonsense://x: "),
        ("ppo.clip_range=interval(0.1,1.5)", "ppo.clip_range=1.5: must be > 0 and < 1"),
        ("objective.constraints=['eval/kl=3']", "objective.constraints=eval/kl=3: must be"),
        ("objective.metrics=[]", "objective.metrics"),
    ],
)
def test_bad_settings_are_told_before_anything_starts(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        sweep(tmp_path / "s", "ppo.lr=1e-4,1e-3", override)
    assert message in str(error.value)
    assert not list(tmp_path.glob("s/[0-9]*"))


def test_seeds_are_chosen_in_one_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sweep\.seeds=2: chooses seeds, and so does seed"):
        sweep(tmp_path, "seed=0,1", "sweep.seeds=2")
    with pytest.raises(ConfigError, match="seed: a search does not choose seeds"):
        sweep(tmp_path, "seed=0,1", *SEARCH)


def test_interruption_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Run.append_metrics

    def append_and_interrupt(self: Run, row: dict[str, float]) -> None:
        append(self, row)
        if row["update"] == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Run, "append_metrics", append_and_interrupt)
    with pytest.raises(SweepInterruptedError) as interrupt:
        sweep(tmp_path, "ppo.kl_coef=0.01,0.02")
    assert interrupt.value.folder == tmp_path
    assert states(tmp_path) == [RUNNING]
    seconds = json.loads((tmp_path / "sweep.json").read_text())["seconds"]
    assert 0 < seconds < 60
    assert math.isfinite(seconds)


@pytest.mark.slow
def test_a_metric_that_nobody_records_ends_a_trial_at_its_first_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trial function of one's own may record what it likes, so that nothing can be checked before."""
    names = ("eval/scor", "eval/lenght", "loss/x")
    given = ("metrics=[eval/scor]", "constraints=['eval/lenght<=1']", "metrics=[loss/x]")
    for number, (name, objective) in enumerate(zip(names, given, strict=True)):
        folder = tmp_path / str(number)
        with pytest.raises(SweepFailedError, match="every trial failed"):
            sweep(folder, "ppo.kl_coef=0.01,0.02", "hydra.sweeper.max_failure_rate=1", f"objective.{objective}")
        both = trials(folder)
        assert [trial.state for trial in both] == [FAIL] * 2
        for trial in both:
            assert trial.user_attrs["cause"] == "config"
            assert f"no update has {name} (recorded: eval/base_score, eval/kl" in trial.user_attrs["message"]
            assert len(Run(folder / str(trial.number)).metrics()) == 5


@pytest.mark.parametrize(("direction", "limits"), [("maximize", "lower"), ("minimize", "upper")])
def test_optunas_pruners_see_the_metric_as_it_is(tmp_path: Path, direction: str, limits: str) -> None:
    """Of four learning rates the two that end at a score above 1.5; limits keep their meaning where one minimizes."""
    sweep(
        tmp_path, "ppo.lr=5e-4,4e-4,1e-5,1e-6", "objective.kl_budget=null", "objective.reduction=last",
        f"objective.directions=[{direction}]", "hydra.sweeper.pruner=optuna.pruners.ThresholdPruner",
        f"hydra.sweeper.pruner_args={{{limits}: 0.0}}",
    )  # fmt: skip
    is_above = [value(trial.params["ppo.lr"], 0.02, 0) > 0 for trial in trials(tmp_path)]
    assert sorted(is_above) == [False, False, True, True]
    is_complete = [trial.state == COMPLETE for trial in trials(tmp_path)]
    assert is_complete == (is_above if limits == "lower" else [not above for above in is_above])


def test_a_constraint_on_evaluations_binds_an_objective_of_every_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "ppo.lr=1e-4,5e-4", "objective.metrics=[objective/scores]", "objective.reduction=best",
          "objective.constraints=['eval/length<=10']")  # fmt: skip
    assert [dict(trial.constraints) for trial in trials(tmp_path)] == [{"eval/length<=10": 10.0}] * 2
    assert "no complete trial keeps objective.constraints" in capsys.readouterr().out


def test_constraints_are_held_in_the_mean_over_seeds(tmp_path: Path) -> None:
    """The fake trainer's scores at the end of each seed are known; the limit is 1."""
    limit = ("objective.constraints=['eval/score<=1']", "objective.reduction=last")
    sweep(tmp_path, "ppo.lr=1e-4", "sweep.seeds=3", *limit)
    excess = sum(value(1e-4, 0.02, seed) for seed in range(3)) / 3 - 1
    assert trials(tmp_path)[0].constraints["eval/score<=1"] == pytest.approx(excess)
