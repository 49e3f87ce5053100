"""Record what TRL 1.12.0's PPOTrainer computes, as the numbers that the parity tests compare with.

TRL 1.12 was the last with PPO, and our environment holds a newer one, so recording takes an environment of its own:

    python -m venv trl112
    trl112/bin/pip install trl==1.12.0 torch==2.13.0 transformers==5.23.0 datasets==5.2.0 numpy safetensors
    trl112/bin/python tests/parity/record.py

Each case is a real `PPOTrainer.train()` on random Llama models of some thousand weights. It leaves <case>.safetensors
(rollouts, and weights before and after) and <case>.json (settings, metrics, losses, gradient norms). Their last digits
depend on the processor; what is there was recorded with AVX-512.
Masks are True where a position counts; logprobs are 0 outside `mask` (TRL has 1.0 there).
"""

import copy
import importlib.metadata
import json
import multiprocessing
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer

HERE = Path(__file__).parent
PACKAGES = ("trl", "torch", "transformers", "accelerate", "datasets", "numpy")
PAD, EOS, FIRST_WORD, VOCABULARY = 0, 3, 4, 24
MODEL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    # Large, so that random models have opinions: a reward that varies, a KL that is not 0.
    "initializer_range": 0.5,
    "tie_word_embeddings": False,
    "pad_token_id": PAD,
    "bos_token_id": None,
    "eos_token_id": EOS,
}
COMMON = {
    "num_mini_batches": 2,
    "num_ppo_epochs": 3,
    "response_length": 10,
    "stop_token": "eos",
    "temperature": 0.7,
    "kl_coef": 0.05,
    "cliprange": 0.2,
    "cliprange_value": 0.2,
    "vf_coef": 0.1,
    "learning_rate": 3e-3,
    "per_device_train_batch_size": 8,
}
# Seeds were picked so that every rollout holds responses that end early and some that reach the limit.
CASES: dict[str, dict[str, Any]] = {
    # The data outlast the run, so TRL's steps at the end of a pass over the data never happen.
    "minibatches": {
        "num_prompts": 40,
        "num_updates": 3,
        "settings": {
            **COMMON,
            "seed": 37,
            "gradient_accumulation_steps": 1,
            "kl_estimator": "k1",
            "missing_eos_penalty": 1.0,
            "whiten_rewards": False,
            "gamma": 0.95,
            "lam": 0.9,
        },
    },
    # Updates 2 and 4 are the last batch of a pass over the data: TRL then steps after every microbatch.
    "accumulation": {
        "num_prompts": 32,
        "num_updates": 4,
        "settings": {
            **COMMON,
            "seed": 18,
            "gradient_accumulation_steps": 2,
            "kl_estimator": "k3",
            "missing_eos_penalty": None,
            "whiten_rewards": True,
            "gamma": 1.0,
            "lam": 0.95,
        },
    },
}


class Recorder:
    """Listens to a trainer: to its local variables where it draws a permutation or calls backward, and to its steps."""

    def __init__(self, trainer: PPOTrainer) -> None:
        self.trainer = trainer
        self.tensors: dict[str, Tensor] = {}
        self.updates: list[dict[str, Any]] = []
        self._permutation, self._backward = np.random.permutation, trainer.accelerator.backward

    def train(self) -> None:
        """Run the trainer to its end."""
        self.trainer.optimizer.optimizer.register_step_pre_hook(self._before_step)
        self.trainer.accelerator.backward = self._on_backward
        with mock.patch.object(np.random, "permutation", self._on_permutation):
            self.trainer.train()
        for update, metrics in zip(self.updates, self.trainer.state.log_history, strict=True):
            # eps is a timing, the only number that another run would not repeat.
            update["metrics"] = {name: value for name, value in metrics.items() if name not in ("eps", "step")}
            update["lr"] = metrics["lr"]

    def _on_permutation(self, size: int) -> np.ndarray:
        permutation = self._permutation(size)
        local = sys._getframe(1).f_locals
        if local["ppo_epoch_idx"] == 0:
            self.updates.append({"lr": None, "metrics": {}, "permutations": [], "microbatches": [], "steps": []})
            rollout = rollout_tensors(local, self.trainer.args.missing_eos_penalty or 0.0)
            self.tensors |= {f"{len(self.updates)}.{name}": tensor for name, tensor in rollout.items()}
        self.updates[-1]["permutations"].append(permutation.tolist())
        return permutation

    def _on_backward(self, loss: Tensor, **kwargs: Any) -> None:
        local = sys._getframe(1).f_locals
        losses = {"policy_loss": local["pg_loss"].item(), "value_loss": local["vf_loss"].item()}
        self.updates[-1]["microbatches"].append(losses)
        self._backward(loss, **kwargs)

    def _before_step(self, *_: Any) -> None:
        model = self.trainer.model
        norms = {"policy_grad_norm": grad_norm(model.policy), "value_grad_norm": grad_norm(model.value_model)}
        self.updates[-1]["steps"].append(norms)


def rollout_tensors(local: dict[str, Any], penalty: float) -> dict[str, Tensor]:
    """A rollout out of the local variables of TRL's train()."""
    mask, ended, response_ids = ~local["padding_mask"], local["contain_eos_token"], local["responses"]
    if ((response_ids == PAD) & ((response_ids == EOS).cumsum(-1) == 0)).any():
        raise RuntimeError("the pad token was sampled, which TRL takes for the end of a response: pick another seed")
    rollout = {
        "prompt_ids": local["queries"],
        "prompt_mask": local["queries"] != PAD,
        "response_ids": response_ids,
        "logprobs": local["logprobs"].masked_fill(~mask, 0.0),
        "ref_logprobs": local["ref_logprobs"].masked_fill(~mask, 0.0),
        "values": local["values"],
        "scores": local["scores"],
        "raw_scores": local["scores"] + penalty * ~ended,
        "rewards": local["rewards"],
        "advantages": local["advantages"],
        "returns": local["returns"],
        "mask": mask,
        "state_mask": ~local["padding_mask_p1"],
    }
    return {name: tensor.detach().clone().contiguous() for name, tensor in rollout.items()}


def grad_norm(model: nn.Module) -> float:
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm().item()


def weights(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in model.state_dict().items()}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Every id is a word; nothing is downloaded."""
    words = ["<pad>", "<unk>", "<bos>", "<eos>", *(f"word{i}" for i in range(FIRST_WORD, VOCABULARY))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>", padding_side="left"
    )


def build_models() -> dict[str, nn.Module]:
    """Four models, each with weights of its own; the reference policy is near the policy, so that the KL is small."""
    policy = LlamaForCausalLM(LlamaConfig(**MODEL))
    policy.generation_config.pad_token_id = PAD
    with torch.no_grad():
        # Makes pad unlikely, which TRL would take for the end of the response, and the end token likely.
        policy.lm_head.weight[PAD] = 0.0
        policy.lm_head.weight[EOS] *= 1.5
        ref_policy = copy.deepcopy(policy)
        for parameter in ref_policy.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    config = LlamaConfig(**MODEL, num_labels=1)
    value_model, reward_model = LlamaForSequenceClassification(config), LlamaForSequenceClassification(config)
    return {"policy": policy, "ref_policy": ref_policy, "value_model": value_model, "reward_model": reward_model}


def record(name: str) -> None:
    """Run one case and write its two files."""
    case = CASES[name]
    settings = case["settings"]
    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    # TRL seeds torch, but not NumPy, with which it shuffles.
    np.random.seed(settings["seed"])  # noqa: NPY002
    prompts = [torch.randint(FIRST_WORD, VOCABULARY, (3 + i % 5,)).tolist() for i in range(case["num_prompts"])]
    parts = build_models()
    tensors = {key: tensor for part, model in parts.items() for key, tensor in weights(part, model).items()}
    batch_size = settings["per_device_train_batch_size"] * settings["gradient_accumulation_steps"]
    with tempfile.TemporaryDirectory() as folder:
        machine = {"bf16": False, "gradient_checkpointing": False, "use_cpu": True, "disable_tqdm": True}
        quiet = {"output_dir": folder, "report_to": "none", "save_strategy": "no", "num_sample_generations": 0}
        config = PPOConfig(**settings, **machine, **quiet, total_episodes=batch_size * case["num_updates"])
        trainer = PPOTrainer(
            config,
            build_tokenizer(),
            model=parts["policy"],
            ref_model=parts["ref_policy"],
            reward_model=parts["reward_model"],
            value_model=parts["value_model"],
            train_dataset=Dataset.from_dict({"input_ids": prompts}),
        )
        recorder = Recorder(trainer)
        recorder.train()
    tensors |= recorder.tensors
    tensors |= weights("final.policy", parts["policy"]) | weights("final.value_model", parts["value_model"])
    HERE.mkdir(exist_ok=True)
    path = HERE / f"{name}.safetensors"
    save_file(tensors, path)
    path.chmod(0o644)
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    content = {"versions": versions, "settings": settings, "model": MODEL, "num_prompts": len(prompts)}
    text = json.dumps(content | {"updates": recorder.updates}, indent=1)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    # A process for each: accelerate keeps the end of the data in a global state.
    for case_name in CASES:
        process = multiprocessing.get_context("spawn").Process(target=record, args=(case_name,))
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{case_name} was not recorded")
