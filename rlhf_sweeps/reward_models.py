"""Reward models: one score for a prompt and its response.

A classifier with the policy's vocabulary and template reads the policy's tokens as they are; any other gets the text,
templated anew by its own tokenizer.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf_sweeps.config import ConfigError, RewardModelConfig
from rlhf_sweeps.data import Messages
from rlhf_sweeps.models import load
from rlhf_sweeps.ppo.language_model import ValueModel
from rlhf_sweeps.ppo.memory import Halving
from rlhf_sweeps.ppo.packing import enable_packing, pack, packs
from rlhf_sweeps.ppo.rollout import Responses


class RewardModel:
    """A frozen sequence classifier with one output."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        policy_tokenizer: PreTrainedTokenizerBase,
        batch: Halving,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.policy_tokenizer = policy_tokenizer
        self.batch = batch
        self.reads_tokens = (
            tokenizer.get_vocab() == policy_tokenizer.get_vocab()
            and tokenizer.chat_template == policy_tokenizer.chat_template
        )

    def score(self, prompts: Sequence[Messages], batch: Responses) -> Tensor:
        """Scores (batch,) in float32 of the responses to these prompts."""
        if self.reads_tokens:
            sequences = batch.sequences
        else:
            texts = self.policy_tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
            sequences = [self._encode(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        return self.batch.run(lambda size: self._score_all(sequences, size))

    def value_model(self, key: str) -> ValueModel:
        """A value model that starts as this reward model; key: what asked for it.

        Raises:
            ConfigError: if its tokens are not the policy's, or it has no linear head on a trunk.
        """
        if not self.reads_tokens or not hasattr(self.model, "score"):
            raise ConfigError(
                f"{key}: must be a decoder with the policy's tokenizer (or take ppo.value_model=shared or policy)"
            )
        trunk, head = copy.deepcopy(self.model.base_model), copy.deepcopy(self.model.score)
        return ValueModel(head, trunk).requires_grad_(True).eval()

    def _encode(self, prompt: Messages, response: str) -> list[int]:
        if self.tokenizer.chat_template:
            messages = [*prompt, {"role": "assistant", "content": response}]
            return list(map(int, self.tokenizer.apply_chat_template(messages, return_dict=False)))
        question = "\n".join(message["content"] for message in prompt)
        pair: list[int] = self.tokenizer(question, response)["input_ids"]
        return pair

    def _score_all(self, sequences: Sequence[Sequence[int]], size: int) -> Tensor:
        # Sorted by length, so that little is padding.
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        scores = torch.empty(len(sequences), device=self.model.device)
        for start in range(0, len(order), size):
            part = order[start : start + size]
            scores[part] = self._score([sequences[i] for i in part])
        return scores

    @torch.no_grad()
    def _score(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Read at each one's last token, whatever id the model takes for padding."""
        device = self.model.device
        if packs(self.model.base_model):
            packed = pack(sequences, device)
            last = [start + len(sequence) - 1 for start, sequence in zip(packed.starts, sequences, strict=True)]
            packed_scores: Tensor = self.model.score(packed.read(self.model.base_model)[last])
            return packed_scores.squeeze(-1).float()
        lengths = torch.tensor([len(sequence) for sequence in sequences], device=device)
        pad_id = self.tokenizer.pad_token_id or 0
        width = int(lengths.max())
        ids = torch.tensor([[*s, *[pad_id] * (width - len(s))] for s in sequences], device=device)
        mask = (torch.arange(width, device=device) < lengths.unsqueeze(-1)).long()
        if hasattr(self.model, "score"):
            hidden = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            scores: Tensor = self.model.score(hidden[torch.arange(len(ids), device=device), lengths - 1])
        else:
            scores = self.model(input_ids=ids, attention_mask=mask).logits
        return scores.squeeze(-1).float()


def load_reward_model(
    config: RewardModelConfig,
    policy_tokenizer: PreTrainedTokenizerBase,
    batch: Halving,
    device: torch.device,
    key: str = "reward_model.path",
) -> RewardModel:
    """The reward model that a config names.

    Args:
        batch: sequences scored at once.
        key: the setting that its path comes from.

    Raises:
        ConfigError: if it cannot be loaded or has more than one output.
    """
    kwargs = {"dtype": getattr(torch, config.dtype), "num_labels": 1, "output_loading_info": True}
    model, info = load(AutoModelForSequenceClassification, config, key, **kwargs)
    if info["missing_keys"]:
        # transformers fills them with random numbers and only warns: a language model would give random scores.
        missing = ", ".join(sorted(info["missing_keys"]))
        raise ConfigError(f"{key}={config.path}: not a trained reward model, its weights lack {missing}")
    tokenizer = load(AutoTokenizer, config, key)
    model.to(device)
    if hasattr(model, "score"):
        enable_packing(model.base_model)
    return RewardModel(model, tokenizer, policy_tokenizer, batch)
