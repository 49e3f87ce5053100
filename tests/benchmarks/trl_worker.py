"""TRL 1.12.0's PPOTrainer, one update a turn; runs in TRL's environment: python trl_worker.py JOB.json.

The models, prompts and their order are the job's; sample is TRL's batch_generation, optimize runs from the first
permutation to the update's end, score is the rest.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer
from turns import Turns, read_job


class TimedTraining:
    """Runs a trainer, waits for a turn before each update and answers after it."""

    def __init__(self, trainer: PPOTrainer, turns: Turns) -> None:
        self.trainer = trainer
        self.turns = turns
        self.numbers: dict[str, float] = {}
        self._start = self._optimize_start = 0.0
        self._generate, self._permutation = ppo_trainer.batch_generation, np.random.permutation

    def train(self) -> None:
        """All updates."""
        trainer, batch_size = self.trainer, self.trainer.local_dataloader_batch_size
        # Not shuffled: both trainers see the same batches.
        trainer.dataloader = self._turns(
            DataLoader(trainer.train_dataset, batch_size=batch_size, collate_fn=trainer.data_collator)
        )
        with (
            mock.patch.object(ppo_trainer, "batch_generation", self._on_generate),
            mock.patch.object(np.random, "permutation", self._on_permutation),
        ):
            trainer.train()
        self._answer()

    def _turns(self, batches: DataLoader) -> Iterator[Any]:
        """The batches; TRL asks for one where an update begins."""
        for batch in batches:
            if self.numbers:
                self._answer()
            self.turns.wait()
            self._start = time.perf_counter()
            yield batch

    def _on_generate(self, *args: Any) -> Any:
        start = time.perf_counter()
        generated = self._generate(*args)
        self.numbers["sample"] = time.perf_counter() - start
        return generated

    def _on_permutation(self, size: int) -> np.ndarray:
        local = sys._getframe(1).f_locals
        if local["ppo_epoch_idx"] == 0:
            self._optimize_start = time.perf_counter()
            self.numbers["episodes"] = size
            self.numbers["response_tokens"] = (local["sequence_lengths"] + 1).sum().item()
            self.numbers["scores"] = local["scores"].mean().item()
        return self._permutation(size)

    def _answer(self) -> None:
        end = time.perf_counter()
        numbers, self.numbers = self.numbers, {}
        numbers["score"] = self._optimize_start - self._start - numbers["sample"]
        self.turns.answer(**numbers, optimize=end - self._optimize_start, update=end - self._start)


def load_tokenizer(job: dict[str, Any]) -> PreTrainedTokenizerBase:
    """The policy's tokenizer with a pad token that is not in use: TRL takes every pad token for padding."""
    tokenizer = AutoTokenizer.from_pretrained(job["policy"], padding_side="left")
    used = {tokenizer.eos_token_id, *(token for prompt in job["prompt_ids"] for token in prompt)}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in used:
        tokenizer.pad_token_id = next(token for token in sorted(tokenizer.added_tokens_decoder) if token not in used)
    return tokenizer


def build_trainer(job: dict[str, Any], folder: str) -> PPOTrainer:
    """TRL's trainer on the CPU in float32, its value model a copy of the reward model."""
    tokenizer = load_tokenizer(job)
    policy = AutoModelForCausalLM.from_pretrained(job["policy"], dtype=torch.float32)
    policy.generation_config.pad_token_id = tokenizer.pad_token_id
    value_model, reward_model = (
        AutoModelForSequenceClassification.from_pretrained(job["reward_model"], num_labels=1, dtype=torch.float32)
        for _ in range(2)
    )
    accumulation_steps = job.get("accumulation_steps", 1)
    config = PPOConfig(
        output_dir=folder,
        per_device_train_batch_size=job["batch_size"] // accumulation_steps,
        gradient_accumulation_steps=accumulation_steps,
        num_mini_batches=job["num_minibatches"],
        num_ppo_epochs=job["num_ppo_epochs"],
        total_episodes=job["batch_size"] * job["num_updates"],
        response_length=job["response_length"],
        stop_token="eos",
        learning_rate=job["lr"],
        kl_coef=job["kl_coef"],
        temperature=job["temperature"],
        missing_eos_penalty=job["missing_eos_penalty"],
        seed=job["seed"],
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        report_to="none",
        save_strategy="no",
        num_sample_generations=0,
    )
    return PPOTrainer(
        config,
        tokenizer,
        model=policy,
        ref_model=None,
        reward_model=reward_model,
        value_model=value_model,
        train_dataset=Dataset.from_dict({"input_ids": job["prompt_ids"]}),
    )


def main() -> None:
    """All updates of the job."""
    turns, job = Turns(), read_job()
    torch.set_num_threads(job["threads"])
    np.random.seed(job["seed"])  # noqa: NPY002 (TRL seeds torch alone)
    with tempfile.TemporaryDirectory() as folder:
        TimedTraining(build_trainer(job, folder), turns).train()


if __name__ == "__main__":
    main()
