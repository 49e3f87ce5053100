"""Training a reward model in little memory: microbatches are halved, and the numbers stay."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from helpers.reward_trainings import ComposeTraining, weights
from helpers.reward_trainings import compose_training as compose_training
from helpers.reward_trainings import small as small
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from rlhf_sweeps.assets import folder as asset
from rlhf_sweeps.config.fields import TooLargeError
from rlhf_sweeps.reward_training import training
from rlhf_sweeps.reward_training.pair_trainer import sort_pairs, take_pairs


def watch_passes(monkeypatch: pytest.MonkeyPatch, fails: Callable[[list[int]], bool]) -> list[int]:
    """A list into which the pairs of every pass come; what it holds says whether the last one did not fit."""
    passes: list[int] = []
    forward = LlamaDecoderLayer.forward

    def watched(layer: Any, hidden: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        if torch.is_grad_enabled() and layer.self_attn.layer_idx == 1:
            passes.append(len(hidden) // 2)
            if fails(passes):
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes.")
        return forward(layer, hidden, *arguments, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", watched)
    return passes


def test_microbatches_are_halved_and_the_numbers_stay(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = compose_training(*small, "reward_model.batch_size=12", "reward_model.microbatch_size=6")
    caplog.set_level("INFO")
    passes, lines = {}, {}
    # A batch's second pass does not fit, where its first one has been counted already.
    for name, second in {"plenty": [], "short": [6, 6]}.items():
        caplog.clear()
        with pytest.MonkeyPatch.context() as patched:
            passes[name] = watch_passes(patched, second.__eq__)
            training.train(config, tmp_path / name)
        lines[name] = [line for line in caplog.messages if line.startswith("step ")]
    assert passes == {"plenty": [6, 6, 6, 6], "short": [6, 6, *[3] * 8]}
    found = {name: weights(tmp_path / name) for name in passes}
    for name, value in found["plenty"].items():
        assert torch.allclose(value, found["short"][name], atol=1e-4), name
    # What an attempt that failed has measured is not counted.
    assert lines["plenty"] == lines["short"]
    assert "reward_model.microbatch_size is 3 from here on; the numbers stay the same" in caplog.text


@pytest.mark.slow
def test_a_training_that_fits_in_no_way_says_so_in_a_line(
    compose_training: ComposeTraining, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = watch_passes(monkeypatch, bool)
    with pytest.raises(TooLargeError, match=r"^reward_model.microbatch_size=1: out of memory .*must be a smaller") as e:
        training.train(compose_training(*small), tmp_path / "trained")
    assert passes == [8, 4, 2, 1]
    assert "\n" not in str(e.value)


def test_pairs_are_taken_from_a_batch_by_hand() -> None:
    """Four pairs: chosen answers first, then the rejected ones; the second and third need two columns."""
    ids = torch.tensor([[1, 2, 3], [4, 0, 0], [5, 0, 0], [6, 0, 0], [1, 2, 0], [4, 5, 0], [6, 0, 0], [7, 8, 9]])
    part = take_pairs({"input_ids": ids, "attention_mask": (ids > 0).long()}, range(1, 3))
    assert part["input_ids"].tolist() == [[4, 0], [5, 0], [4, 5], [6, 0]]
    assert part["attention_mask"].tolist() == [[1, 0], [1, 0], [1, 1], [1, 0]]


def test_the_longest_pairs_come_first_by_hand() -> None:
    """The longer answers of four pairs have 2, 3, 2 and 1 tokens; equal pairs keep their order."""
    ids = torch.tensor([[1, 0, 0], [4, 0, 0], [5, 6, 0], [6, 0, 0], [1, 2, 0], [4, 5, 1], [6, 0, 0], [7, 0, 0]])
    assert sort_pairs({"input_ids": ids, "attention_mask": (ids > 0).long()}) == [1, 0, 2, 3]


def train_on_a_pretended_machine(gibibytes: float, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """A step of the README's own training of a real model, in a process that may come to have so many GiB."""
    code = f"""
import atexit, sys
from rlhf_sweeps.platforms.memory import room
room.share = int({gibibytes} * 2**30)
def tell():
    with open("/proc/self/status") as file:
        print("PEAK", next(line.split()[1] for line in file if line.startswith("VmHWM")))
atexit.register(tell)
from rlhf_sweeps.reward_training.command import main
main()
"""
    given = ["train", "model=smollm2_135m_pypi", "reward_model.lora_rank=16", "device=cpu", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-c", code, *given, *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder.parent, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody knows what there is")
def test_a_real_model_on_a_small_machine_ends_well(tmp_path: Path) -> None:
    """16 pairs at once take about 3 GiB, of which 2.2 are there; on 0.7 GiB not even the model and one pair fit."""
    lines = (asset("human_like_mini") / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for split, chosen in (("train", lines[:16]), ("test", lines[16:36])):
        (tmp_path / f"{split}.jsonl").write_text("".join(chosen), encoding="utf-8")
    data = ["dataset=local", f"dataset.path={tmp_path}/train.jsonl", f"dataset.eval_path={tmp_path}/test.jsonl"]
    data += ["reward_model.batch_size=16", "reward_model.microbatch_size=16"]
    small = train_on_a_pretended_machine(2.2, tmp_path / "small", *data)
    assert small.returncode == 0, small.stderr
    assert "reward_model.microbatch_size is 8 from here on; the numbers stay the same" in small.stdout
    assert (tmp_path / "small" / "report.json").exists()
    peak = int(small.stdout.rpartition("PEAK ")[2]) / 2**20
    assert peak < 2.2 + 0.8  # the weights' file, and libraries, are in nobody's way
    tiny = train_on_a_pretended_machine(0.7, tmp_path / "tiny", *data)
    assert tiny.returncode == 2
    errors = [line for line in tiny.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "out of memory (more is needed than the 0.7 GiB that this process may have); must be " in errors[0]
    assert "Traceback" not in tiny.stderr
