"""Ask several policies the same questions. A chat computes, so it loads torch."""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rlhf_sweeps.config.schema import ModelConfig, PPOConfig
from rlhf_sweeps.data import Messages, encode
from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo.agreement import check_reader
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.sampling import Sampler
from rlhf_sweeps.process.activity import report_activity

REMEDY = "a shorter question, or --response-length"


@dataclass
class Chat:
    """Asks all policies the same questions.

    Attributes:
        policies: name -> policy.
        longest: the number of tokens of the longest question for which the policies were checked.
    """

    policies: dict[str, PreTrainedModel]
    tokenizer: PreTrainedTokenizerBase
    ppo: PPOConfig
    sampler: Sampler
    longest: int = 0

    def answer(self, question: Messages, seed: int) -> None:
        """Print all answers to a prompt, sampled with the same random numbers.

        Raises:
            ConfigError: if a policy cannot read such a long question, or fails the checks of `check_reader`.
        """
        prompt = encode([question], self.tokenizer, max_length=sys.maxsize)
        if len(prompt.ids[0]) > self.longest:
            self._try_policies(prompt.ids)
        width = max(len("trained"), *map(len, self.policies))
        for name, policy in self.policies.items():
            noise = torch.Generator(policy.device).manual_seed(seed)
            batch = self.sampler.sample(policy, prompt.ids, noise)
            (text,) = self.tokenizer.batch_decode(batch.response_lists(), skip_special_tokens=True)
            print(f"{name:>{width}}: {text.strip()}")

    def _try_policies(self, prompts: list[list[int]]) -> None:
        """Check the policies in the same way, and with the same errors, as a run does."""
        for policy in self.policies.values():
            given = f"model.path={policy.name_or_path}"
            check_reader(models.make_language_model(policy, self.ppo), self.sampler, prompts[0], given, REMEDY)
        self.longest = len(prompts[0])


def open_chat(policies: Mapping[str, ModelConfig], ppo: PPOConfig, device: str) -> Chat:
    """Load policies in the same way, and with the same errors, as a run does.

    Args:
        policies: name -> what to load, which `preflight.check_policy` has checked. The last one has the tokenizer.
        ppo: how to sample; tokens are computed one by one, since compiling takes longer than any answer.
        device: as in the config.

    Raises:
        ConfigError: if one cannot be loaded, or there is no such device.
    """
    transformers_logging.disable_progress_bar()
    place = models.pick_device(device)
    tokenizer = models.load_tokenizer(list(policies.values())[-1])
    ready: dict[str, PreTrainedModel] = {}
    with report_activity("loading the policies", len(policies)) as activity:
        for name, model in policies.items():
            ready[name] = models.load_policy(model, place)
            models.check_ids(ready[name], tokenizer, f"model.path={model.path}")
            activity.done += 1
    settings = dataclasses.replace(ppo, static_decoding=False)
    sampler = models.make_sampler(next(iter(ready.values())), tokenizer, settings, BatchSize("batch", 1))
    return Chat(ready, tokenizer, settings, sampler)
