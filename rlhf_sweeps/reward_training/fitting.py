"""Training with TRL's RewardTrainer, by the config.

The trainer gets tokens, not text: the same tokens that the finished reward model will read when it scores. TRL's own
tokenization would append an end token to plain text, and drop every pair that is longer than its max_length.
"""

import functools
import logging
import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.figures import format_number, format_share
from rlhf_sweeps.ppo.memory import BatchSize, require_memory
from rlhf_sweeps.process.failures import DivergedError
from rlhf_sweeps.reward_training.config import RewardTrainingConfig, TrainingConfig
from rlhf_sweeps.reward_training.constants import NUM_LOG_LINES, SECONDS_BETWEEN_LOG_LINES
from rlhf_sweeps.reward_training.pair_tokens import Row, collate

if TYPE_CHECKING:
    from trl import RewardConfig  # type: ignore[attr-defined]

    from rlhf_sweeps.reward_training.pair_trainer import PairTrainer

log = logging.getLogger("rlhf_sweeps")


def fit(
    config: RewardTrainingConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    folder: Path,
    device: torch.device,
) -> tuple[PreTrainedModel, int]:
    """The trained model, with adapters merged, and the number of steps.

    Args:
        rows: from `encode_pairs`.
        folder: required by TRL; nothing is written there.

    Raises:
        ConfigError: if no adapter fits the model, or memory does not suffice.
        DivergedError: if the loss or a weight is no longer a number.
    """
    blamed = f"reward_model.lr={config.highest_lr:g}"
    arguments = _make_arguments(config, len(rows), folder, device)
    trainer = _make_trainer(config.reward_model, model, tokenizer, rows, arguments)
    trainer.add_callback(_Log(blamed))
    trained: Any = trainer.model
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    log.info(
        "%.3g M weights are trained, lr %g, in %d steps of %d pairs",
        sum(map(torch.Tensor.numel, weights)) / 1e6, config.highest_lr, arguments.max_steps,
        config.reward_model.batch_size,
    )  # fmt: skip
    # PairTrainer handles a lack of memory in its passes; here it can only be the optimizer's state that does not fit.
    given = f"reward_model.lora_rank={config.reward_model.lora_rank}"
    with require_memory(given, "adapters, of a low rank, or a smaller model"):
        trainer.train()
    # The loss of the last step was computed before that step changed the weights.
    if not all(weight.isfinite().all() for weight in weights):
        raise DivergedError(f"{blamed}: not all weights are numbers after step {trainer.state.global_step}")
    adapters = config.reward_model.lora_rank is not None
    return (trained.merge_and_unload() if adapters else trained), trainer.state.global_step


def _make_trainer(
    settings: TrainingConfig,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    arguments: "RewardConfig",
) -> "PairTrainer":
    from rlhf_sweeps.reward_training.pair_trainer import PairTrainer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses an old name of transformers
            trainer = PairTrainer(
                BatchSize("reward_model.microbatch_size", settings.microbatch_size),
                model=model,
                args=arguments,
                train_dataset=Dataset.from_list(list(rows)),
                data_collator=functools.partial(collate, pad_id=tokenizer.pad_token_id),
                processing_class=tokenizer,
                peft_config=_configure_adapters(settings),
            )
    except ValueError as error:
        if settings.lora_rank is None:
            raise
        given = f"reward_model.lora_rank={settings.lora_rank}"
        raise ConfigError(f"{given}: no adapter fits the model ({error})") from error
    trainer.remove_callback(PrinterCallback)
    return trainer


def _make_arguments(config: RewardTrainingConfig, num_pairs: int, folder: Path, device: torch.device) -> "RewardConfig":
    from trl import RewardConfig  # type: ignore[attr-defined]

    settings = config.reward_model
    all_steps = settings.num_epochs * math.ceil(num_pairs / settings.batch_size)
    num_steps = min(settings.max_steps or all_steps, all_steps)
    is_on_cpu = device.type == "cpu"
    # Transformers 5.23 renamed it.
    name = "activation_checkpointing" if hasattr(RewardConfig, "activation_checkpointing") else "gradient_checkpointing"
    checkpointing: dict[str, Any] = {name: settings.gradient_checkpointing}
    return RewardConfig(
        output_dir=str(folder),
        seed=config.seed,
        max_steps=num_steps,
        learning_rate=config.highest_lr,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm or 0.0,
        per_device_train_batch_size=settings.batch_size,
        center_rewards_coefficient=settings.center_rewards_coefficient,
        max_length=None,  # pairs are cut already
        remove_unused_columns=False,
        # On a CPU TRL's defaults would be bfloat16, which is slow there, and recomputed activations.
        use_cpu=is_on_cpu,
        bf16=settings.precision == "bfloat16" or (settings.precision == "auto" and device.type == "cuda"),
        **checkpointing,
        dataloader_pin_memory=not is_on_cpu,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=max(1, num_steps // NUM_LOG_LINES),
        logging_nan_inf_filter=False,  # it would hide a loss that is not finite
    )


def _configure_adapters(settings: TrainingConfig) -> LoraConfig | None:
    """LoRA adapters on all linear layers; the new head is trained as a whole."""
    if settings.lora_rank is None:
        return None
    return LoraConfig(
        task_type="SEQ_CLS",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
    )


class _Log(TrainerCallback):
    """Logs a line every few steps or seconds, and raises an error that names `blamed` if the loss is not finite."""

    def __init__(self, blamed: str) -> None:
        self.blamed = blamed
        self.last_line = self.start = time.monotonic()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Begin to count the time: between the making of the callback and the first step the trainer is set up."""
        self.last_line = self.start = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask TRL to log if the last line is long ago."""
        control.should_log |= time.monotonic() - self.last_line > SECONDS_BETWEEN_LOG_LINES

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the figures that TRL measured since the last line."""
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise DivergedError(f"{self.blamed}: the loss is {logs['loss']} at step {state.global_step}")
        self.last_line = time.monotonic()
        log.info(
            "step %d of %d: loss %s, %s of the pairs right%s",
            state.global_step, state.max_steps, format_number(logs["loss"]), format_share(logs["accuracy"]),
            describe_time_left(self.last_line - self.start, state.global_step, state.max_steps),
        )  # fmt: skip


def describe_time_left(seconds: float, num_done: int, num_steps: int) -> str:
    """The time left at the speed so far, for the end of a line; empty if it is less than a minute.

    Args:
        seconds: the time that the steps so far took.
    """
    minutes = seconds / num_done * (num_steps - num_done) / 60
    return f", about {minutes:.0f} min left" if minutes >= 1 else ""
