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
from rlhf_sweeps.models import ValueModel, load
from rlhf_sweeps.ppo.rollout import Responses


class RewardModel:
    """A frozen sequence classifier with one output."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        policy_tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.policy_tokenizer = policy_tokenizer
        self.batch_size = batch_size
        self.reads_tokens = (
            tokenizer.get_vocab() == policy_tokenizer.get_vocab()
            and tokenizer.chat_template == policy_tokenizer.chat_template
        )

    def score(self, prompts: Sequence[Messages], batch: Responses) -> Tensor:
        """Scores (batch,) in float32 of the responses to these prompts."""
        if self.reads_tokens:
            sequences = [p + r for p, r in zip(batch.prompt_lists(), batch.response_lists(), strict=True)]
        else:
            texts = self.policy_tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
            sequences = [self._encode(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
        # Sorted by length, so that little is padding.
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        scores = torch.empty(len(sequences), device=self.model.device)
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            scores[part] = self._score([sequences[i] for i in part])
        return scores

    def value_model(self) -> ValueModel:
        """A value model that starts as this reward model.

        Raises:
            ConfigError: if its tokens are not the policy's, or it has no linear head on a trunk.
        """
        if not self.reads_tokens or not hasattr(self.model, "score"):
            raise ConfigError(
                "ppo.value_model=reward_model: the reward model must be a decoder with the policy's tokenizer "
                "(allowed: policy)"
            )
        trunk, head = copy.deepcopy(self.model.base_model), copy.deepcopy(self.model.score)
        return ValueModel(trunk, head).requires_grad_(True).eval()

    def _encode(self, prompt: Messages, response: str) -> list[int]:
        if self.tokenizer.chat_template:
            messages = [*prompt, {"role": "assistant", "content": response}]
            return list(map(int, self.tokenizer.apply_chat_template(messages, return_dict=False)))
        question = "\n".join(message["content"] for message in prompt)
        pair: list[int] = self.tokenizer(question, response)["input_ids"]
        return pair

    @torch.no_grad()
    def _score(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Padded on the right and read at each one's last token, whatever id the model takes for padding."""
        device = self.model.device
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
    config: RewardModelConfig, policy_tokenizer: PreTrainedTokenizerBase, batch_size: int, device: torch.device
) -> RewardModel:
    """The reward model that a config names.

    Raises:
        ConfigError: if it cannot be loaded or has more than one output.
    """
    kwargs = {"dtype": getattr(torch, config.dtype), "num_labels": 1, "output_loading_info": True}
    model, info = load(AutoModelForSequenceClassification, config, "reward_model", **kwargs)
    if info["missing_keys"]:
        # transformers fills them with random numbers and only warns: a language model would give random scores.
        missing = ", ".join(sorted(info["missing_keys"]))
        raise ConfigError(f"reward_model.path={config.path}: not a trained reward model, its weights lack {missing}")
    tokenizer = load(AutoTokenizer, config, "reward_model")
    return RewardModel(model.to(device), tokenizer, policy_tokenizer, batch_size)
