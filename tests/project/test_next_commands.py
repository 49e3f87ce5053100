"""What a sweep and its report propose runs as it is printed: with all overrides, quoted for a shell, and with no search
where nothing is searched."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.pasting import FAKE, SWEEP, Paste, composed, configs, printed, written
from helpers.pasting import paste as paste

from analysis.reading.folders import read_folder
from analysis.sweep.next_steps import choose_seeds
from rlhf_sweeps.record import Sweep, SweepPlan, write_override

QUOTED = ["name='it\\'s \"ä\" $b'", "tracking.tags=[a\\,b,'c d']", "~experiment"]
AFTER = "run the best settings on test seeds: "


@pytest.mark.parametrize(
    "words",
    [
        ["ppo.kl_coef=0.01,0.02", *QUOTED],
        ["search=lr_kl_clip", "hydra.sweeper.n_trials=2", "++eval.every=7"],
        ["search=mine", "hydra.sweeper.n_trials=2", "experiment=mine"],
        pytest.param(["ppo.lr=1e-4,1e-3", "seed=0,1"], marks=pytest.mark.slow),
    ],
)
def test_the_commands_of_a_sweep_run_as_printed(words: list[str], paste: Paste) -> None:
    path = write_override("hydra.searchpath", [f"file://{configs('given ä')}"])
    given = ["-m", *FAKE, "sweep.report=false", write_override("hydra.sweep.dir", "s ä"), path, *words]
    text = printed(SWEEP, *given)
    ((number, again),) = re.findall("^run trial ([0-9]+) again: (.*)$", text, re.MULTILINE)
    run = paste(again)
    trial = Path("s ä") / number
    assert composed(run)[1] == written(trial / "seed_0" if (trial / "seed_0").is_dir() else trial)
    assert not any(word.lstrip("+~").startswith(("search", "hydra.sweep")) for word in run[2:] if "path" not in word)
    (tests,) = re.findall(f"^{AFTER}(.*)$", text, re.MULTILINE)
    after = paste(tests)
    assert sorted(after) == sorted(["-m", "rlhf_sweeps", *given, "sweep.test_seeds=3"])
    config, _ = composed(after)
    assert config.sweep.test_seeds == 3


def test_what_is_proposed_is_done_by_its_command_and_not_proposed_again(paste: Paste) -> None:
    words = ["ppo.kl_coef=0.01,0.02", *QUOTED]
    text = printed(SWEEP, "-m", *FAKE, "sweep.report=false", "hydra.sweep.dir=s", *words)
    (line,) = re.findall(f"^{AFTER}(.*)$", text, re.MULTILINE)
    after = printed(SWEEP, *shlex.split(line)[3:])
    assert "on 3 test seeds" in after
    assert AFTER not in after
    plan = read_folder(Sweep(Path("s"))).plan
    assert list(plan.test_seeds) == [1_000_000, 1_000_001, 1_000_002]


def test_an_axis_is_replaced_and_everything_else_stays() -> None:
    plan = SweepPlan(
        arguments=["-m", "--config-dir", "a b", "search=x", "++ppo.lr=1e-4,1e-3", "ppo.clip_range=0.1,0.2"]
    )
    line = plan.changed_command("ppo.lr=tag(log,interval(1e-5,1e-4))")
    assert shlex.split(line)[3:] == [
        "-m", "--config-dir", "a b", "search=x", "ppo.clip_range=0.1,0.2", "ppo.lr=tag(log,interval(1e-5,1e-4))",
    ]  # fmt: skip
    assert shlex.split(plan.changed_command("sweep.test_seeds=3", folder=Path("o p")))[-2:] == [
        "sweep.test_seeds=3",
        "hydra.sweep.dir=o p",
    ]
    assert SweepPlan().changed_command("a=1") == ""


def test_a_new_sweep_takes_no_name_that_is_taken_and_replaces_listed_parameters() -> None:
    """Its continuation keeps the name: in a shared storage, it is the study's."""
    plan = SweepPlan(arguments=["-m", "hydra.sweeper.study_name=n", "hydra.sweeper.params.a=[1,2]"])
    assert shlex.split(plan.changed_command("a=3,4"))[3:] == ["-m", "a=3,4"]
    assert "hydra.sweeper.study_name=n" in shlex.split(plan.changed_command("a=3", folder=Path("o")))


def test_more_seeds_are_listed_where_a_grid_lists_them() -> None:
    """sweep.seeds beside seed=0,1 is refused."""
    listed = SweepPlan(seeds=(3, 5), arguments=["-m", "seed=3,5", "ppo.lr=1,2"])
    assert choose_seeds(listed, 4) == "seed=3,5,6,7"
    counted = SweepPlan(seeds=(3, 4), arguments=["-m", "seed=3", "sweep.seeds=2", "ppo.lr=1,2"])
    assert choose_seeds(counted, 4) == "sweep.seeds=4"
