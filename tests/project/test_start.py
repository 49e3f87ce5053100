"""Every command answers at once: what may be loaded for a help, a version or a refusal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# Each takes between 0.1 and 5 s of CPU time to load.
SLOW = {
    "torch", "transformers", "trl", "datasets", "peft", "gguf", "wandb", "optuna", "sqlalchemy", "scipy", "sklearn",
    "pandas", "pyarrow", "matplotlib", "plotly",
}  # fmt: skip
# Runs commands one after another; the fork server, which would load torch at this command's expense, is not started.
TRACED = """
import runpy, sys
from multiprocessing import forkserver
forkserver.ensure_running = lambda: sys.modules.setdefault("torch", None)
module, *commands = sys.argv[1:]
for words in commands:
    sys.argv[1:] = words.split()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code
    print("ended:", status, *sorted(set({slow}) & set(sys.modules)), file=sys.stderr)
"""
RUNS, TRAININGS, ANALYSIS, ANSWERS = "rlhf_sweeps", "rlhf_sweeps.reward_models", "analysis", "rlhf_sweeps.sample"
COMMANDS = ("curves", "compare", "sweep", "health", "report", "screen", "watch", "workspace")


def start(module: str, *commands: str, folder: Path) -> set[str]:
    """Run commands in a folder; returns the different ends: exit status, slow packages that were loaded by then."""
    started = [sys.executable, "-c", TRACED.format(slow=sorted(SLOW)), module, *commands]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(started, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    ends = [line for line in done.stderr.splitlines() if line.startswith("ended:")]
    assert len(ends) == len(commands), done.stderr
    return {end.removeprefix("ended: ") for end in ends}


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        (RUNS, ["--version"]),
        (RUNS, ["--help"]),
        (RUNS, ["--cfg job --resolve"]),
        (RUNS, ["sample --help"]),
        (RUNS, ["reward-models train --help", "reward-models screen --help"]),
        (TRAININGS, ["--version"]),
        (ANSWERS, ["--help"]),
        (ANALYSIS, ["--version", "--help", *(f"{command} --help" for command in COMMANDS)]),
    ],
)
def test_a_question_about_the_program_loads_nothing_slow(module: str, commands: list[str], tmp_path: Path) -> None:
    assert start(module, *commands, folder=tmp_path) == {"0"}


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        (RUNS, ["ppo.klcoef=0.1"]),
        (RUNS, ["model=smolm2_135m"]),
        (RUNS, ["dataset=local dataset.path=none.jsonl"]),
        (RUNS, ["smaple outputs", "sample outputs"]),
        (ANSWERS, ["outputs"]),
        (TRAININGS, ["tarin", "train dataset=local dataset.path=none.jsonl", "screen reward_models=[tiny,lenght]"]),
        (ANALYSIS, ["cruves outputs", *(f"{command} outputs" for command in COMMANDS)]),
    ],
)
def test_a_refusal_loads_nothing_slow(module: str, commands: list[str], tmp_path: Path) -> None:
    assert start(module, *commands, folder=tmp_path) == {"2"}


@pytest.mark.parametrize("words", ["ppo.klcoef=0.1,0.2", "ppo.clip_range=0.1,2"])
def test_a_sweep_is_refused_with_optuna_alone(words: str, tmp_path: Path) -> None:
    assert start(RUNS, f"-m {words}", folder=tmp_path) == {"2 optuna"}
