"""A run on the embedded default: its record, and that it survives being killed, stopped and started again."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, SMALL, CommandLine, Compose
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_sweeps.record import Run
from rlhf_sweeps.training.train import train

METRICS = [
    "objective/kl",
    "objective/entropy",
    "objective/non_score_reward",
    "objective/scores",
    "objective/rlhf_reward",
    "policy/approxkl_avg",
    "policy/clipfrac_avg",
    "loss/policy_avg",
    "loss/value_avg",
    "val/clipfrac_avg",
    "policy/entropy_avg",
    "val/ratio",
    "val/ratio_var",
    "val/num_eos_tokens",
    "lr",
    "episode",
    "eps",
    "epoch",
    "update",
    "tokens/sample",
    "tokens/score",
    "tokens/optimize",
    "perf/sample_seconds",
    "perf/score_seconds",
    "perf/optimize_seconds",
    "perf/update_seconds",
    "perf/peak_memory_mb",
]
EVALUATED = [
    "eval/score",
    "eval/base_score",
    "eval/win_rate",
    "eval/kl",
    "eval/kl_bound",
    "eval/net_score",
    "eval/length",
    "eval/eos_rate",
    "eval/question_rate",
    "eval/exclamation_rate",
    "eval/emoji_rate",
    "judge/grammar/score",
    "judge/grammar/base_score",
    "judge/grammar/win_rate",
]


def without_timings(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if not k.startswith("perf/") and k != "eps"} for row in run.metrics()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, run_command: CommandLine) -> Run:
    """An undisturbed run, by the command line."""
    folder = tmp_path_factory.mktemp("finished")
    run_command(f"hydra.run.dir={folder}", *SMALL, cwd=folder.parent).check_returncode()
    return Run(folder)


def start(folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """A process that writes what it prints beside its folder."""
    command = [sys.executable, "-m", "rlhf_sweeps", f"hydra.run.dir={folder}", *SMALL, *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with folder.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output)


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_record_holds_every_metric_of_every_update(finished: Run) -> None:
    rows = finished.metrics()
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(set(METRICS) <= set(row) for row in rows)
    assert all(math.isfinite(number) for row in rows for number in row.values())
    assert [row["episode"] for row in rows] == [8, 16, 24, 32, 40, 48]
    # 480 prompts of the embedded data set; the rate falls to 0 after the last update.
    assert [row["epoch"] for row in rows] == pytest.approx([number / 60 for number in range(1, 7)])
    assert [row["lr"] for row in rows] == pytest.approx([5e-4 * left / 6 for left in (6, 5, 4, 3, 2, 1)])
    for row in rows:
        seconds = sum(row[f"perf/{phase}_seconds"] for phase in ("sample", "score", "optimize"))
        assert row["eps"] == pytest.approx(8 / seconds)
        assert row["perf/update_seconds"] >= seconds
        assert 8 <= row["tokens/sample"] <= 8 * 16
        assert row["tokens/sample"] == pytest.approx(8 * row["objective/length"])
        assert row["tokens/optimize"] == 2 * row["tokens/score"]
        assert 100 < row["perf/peak_memory_mb"] < 100_000
    assert [row["update"] for row in rows if set(EVALUATED) <= set(row)] == [2, 4, 6]
    for row in rows[1::2]:  # objective.kl_price is 0.1
        assert row["eval/net_score"] == pytest.approx(row["eval/score"] - 0.1 * row["eval/kl"])
    samples = finished.samples()
    assert {sample["update"] for sample in samples} == {2, 4, 6}
    own = {"update", "prompt", "response", "score", "base_response", "base_score"}
    assert set(samples[0]) == own | {"judge/grammar/score", "judge/grammar/base_score"}


def test_the_summary_follows_from_the_metrics(finished: Run) -> None:
    summary = finished.summary()
    assert summary is not None
    rows = [row for row in finished.metrics() if "eval/score" in row and row["eval/kl_bound"] <= 5]
    best = max(rows, key=lambda row: row["eval/score"])
    assert (summary["status"], summary["objective"], summary["best_update"]) == (
        "complete",
        best["eval/score"],
        best["update"],
    )
    names = ("tokens/sample", "tokens/score", "tokens/optimize")
    assert summary["tokens"] == sum(row[name] for row in finished.metrics() for name in names)
    assert summary["versions"]["torch"] == torch.__version__
    last = finished.samples()[-7:]
    won = [(sample["score"] > sample["base_score"]) + (sample["score"] == sample["base_score"]) / 2 for sample in last]
    assert sum(won) / 7 == pytest.approx(finished.metrics()[-1]["eval/win_rate"])


def test_the_export_loads_plainly_and_has_a_card(finished: Run) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished.model)
    tokenizer = AutoTokenizer.from_pretrained(finished.model)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_tensors="pt"
    )
    model.generate(**ids, max_new_tokens=3, do_sample=False)
    card = (finished.model / "README.md").read_text(encoding="utf-8")
    assert "| ppo.kl_coef | 0.1 |" in card
    assert "embedded:tiny_policy" in card
    assert "| eval/win_rate |" in card


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_the_same(finished: Run, tmp_path: Path) -> None:
    """SIGKILL after the first update, amid a checkpoint, after an evaluation between checkpoints, amid the export."""
    run = Run(tmp_path / "killed")
    moments: list[Callable[[], bool]] = [
        lambda: len(run.metrics()) >= 1,
        lambda: any(run.checkpoint.glob("unfinished/policy*")),
        lambda: len(run.metrics()) >= 5,
        lambda: (run.folder / "model.unfinished").exists() or run.model.exists(),
    ]
    for moment in moments:
        process = start(run.folder)
        wait_for(moment, process)
        process.kill()
        process.wait()
        assert run.summary() is None
    process = start(run.folder)
    assert process.wait(timeout=120) == 0
    assert without_timings(run) == without_timings(finished)
    assert run.samples() == finished.samples()
    for name in ("model.safetensors", "config.json"):
        assert (run.model / name).read_bytes() == (finished.model / name).read_bytes()


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_the_same(finished: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "killed")
    for round_ in range(12):
        process = start(run.folder)
        try:
            process.wait(timeout=4 + 0.37 * round_)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert start(run.folder).wait(timeout=120) == 0
    assert without_timings(run) == without_timings(finished)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_saves_a_checkpoint_and_says_how_to_continue(
    number: signal.Signals, finished: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "stopped")
    process = start(run.folder, "checkpoint.every=100", "eval.every=100")
    wait_for(lambda: len(run.metrics()) >= 2, process)
    process.send_signal(number)
    assert process.wait(timeout=60) == 130
    output = run.folder.with_suffix(".out").read_text(encoding="utf-8")
    done = len(run.metrics())
    summary = run.summary()
    assert summary is not None
    assert (summary["status"], summary["stop_reason"], summary["updates"]) == ("stopped", "interrupted", done)
    assert [path.name for path in run.checkpoint.iterdir()] == [f"{done:07d}"]
    (line,) = [line for line in output.splitlines() if line.startswith("Continue with: ")]
    assert "hydra.run.dir=" in line
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_complete_run_is_not_run_again(finished: Run, command_line: CommandLine) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.json*")}
    result = command_line(f"hydra.run.dir={finished.folder}", *SMALL)
    assert result.returncode == 0
    assert "complete already" in result.stdout
    assert before == {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*.json*")}


def test_a_folder_with_other_settings_is_refused_and_kept(finished: Run, command_line: CommandLine) -> None:
    before = (finished.folder / ".hydra" / "config.yaml").read_bytes()
    result = command_line(f"hydra.run.dir={finished.folder}", *SMALL, "ppo.lr=0.1")
    assert result.returncode == 2
    assert "ppo.lr was 0.000" in result.stderr
    assert "is 0.1" in result.stderr
    assert (finished.folder / ".hydra" / "config.yaml").read_bytes() == before


@pytest.mark.gpu
def test_a_run_on_a_gpu(compose_config: Compose, tmp_path: Path) -> None:
    summary = train(compose_config(*SMALL, "device=cuda"), tmp_path)
    assert (summary["status"], summary["device"]) == ("complete", "cuda:0")


@pytest.mark.slow
def test_samples_of_base_and_trained_side_by_side(finished: Run, command_line: CommandLine) -> None:
    result = command_line(str(finished.folder), "What do you do on weekends?", module="rlhf_sweeps.sample")
    assert result.returncode == 0, result.stderr
    names = [line.split(":")[0].strip() for line in result.stdout.splitlines()]
    assert names == ["base", "trained"]
    missing = command_line("no/such/run", "Hi", module="rlhf_sweeps.sample")
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: run=no/such/run: holds no run")
