"""Every key of a reward model's training, followed to what TRL and peft are given."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from packaging.version import Version

from rlhf_sweeps.reward_training.config import RewardTrainingConfig, TrainingConfig
from rlhf_sweeps.reward_training.fitting import _configure_adapters, _make_arguments

# What gradient checkpointing is called.
IS_RENAMED = Version(transformers.__version__) >= Version("5.23")
CHECKPOINTING = "activation_checkpointing" if IS_RENAMED else "gradient_checkpointing"
SETTINGS: dict[str, Any] = {
    "base": None, "num_epochs": 3, "max_steps": None, "lr": 0.0125, "warmup_ratio": 0.35, "weight_decay": 0.045,
    "max_grad_norm": 0.75, "batch_size": 12, "microbatch_size": 4, "max_length": 33,
    "center_rewards_coefficient": 0.055, "lora_rank": 5, "lora_alpha": 15, "precision": "bfloat16",
    "gradient_checkpointing": True,
}  # fmt: skip
CPU = torch.device("cpu")
# Key -> RewardConfig's argument and its value; None: the key goes elsewhere.
ARGUMENTS: dict[str, tuple[str, Any] | None] = {
    "base": None,  # is loaded
    "num_epochs": ("max_steps", 3 * 9),  # of 100 pairs, 12 at a time
    "max_steps": ("max_steps", 3 * 9),
    "lr": ("learning_rate", 0.0125),
    "warmup_ratio": ("warmup_steps", 0.35),
    "weight_decay": ("weight_decay", 0.045),
    "max_grad_norm": ("max_grad_norm", 0.75),
    "batch_size": ("per_device_train_batch_size", 12),
    "microbatch_size": None,  # PairTrainer's own
    "max_length": None,  # pairs are cut before
    "center_rewards_coefficient": ("center_rewards_coefficient", 0.055),
    "lora_rank": None,
    "lora_alpha": None,
    "precision": ("bf16", True),
    "gradient_checkpointing": (CHECKPOINTING, True),
}


def arguments(folder: Path, **changes: Any) -> Any:
    config = RewardTrainingConfig(name="x", seed=7, device="cpu", reward_model=TrainingConfig(**(SETTINGS | changes)))
    return _make_arguments(config, 100, folder, CPU)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(TrainingConfig)])
def test_each_key_reaches_trl(key: str, tmp_path: Path) -> None:
    expected = ARGUMENTS[key]
    if expected is not None:
        name, value = expected
        assert getattr(arguments(tmp_path), name) == value


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"max_steps": 5}, "max_steps", 5),
        ({"max_steps": 99}, "max_steps", 27),  # no more than the epochs hold
        ({"max_grad_norm": None}, "max_grad_norm", 0.0),  # which clips nothing
        ({"center_rewards_coefficient": None}, "center_rewards_coefficient", None),
        ({"precision": "float32"}, "bf16", False),
        ({"precision": "auto"}, "bf16", False),
        ({"gradient_checkpointing": False}, CHECKPOINTING, False),
        ({}, "seed", 7),
        ({}, "max_length", None),
        ({}, "use_cpu", True),
        ({}, "logging_steps", 2),
    ],
)
def test_what_follows_from_several_keys(changes: dict[str, Any], name: str, value: Any, tmp_path: Path) -> None:
    assert getattr(arguments(tmp_path, **changes), name) == value


def test_adapters_have_rank_and_alpha() -> None:
    adapters = _configure_adapters(TrainingConfig(**SETTINGS))
    assert adapters is not None
    assert (adapters.r, adapters.lora_alpha, adapters.lora_dropout) == (5, 15, 0.0)
    assert (adapters.task_type, adapters.target_modules) == ("SEQ_CLS", "all-linear")
    assert _configure_adapters(TrainingConfig(**(SETTINGS | {"lora_rank": None}))) is None
