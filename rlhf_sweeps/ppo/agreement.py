"""Checks that a model gives the same results in batches, with a cache or packed as in a plain forward pass.

Not every model can be read in batches: some recurrent models treat padding as text, and others use no position ids.
Their logits would be wrong without any error, so a few tokens are tried before training.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.schema import PPOConfig
from rlhf_sweeps.ppo.constants import MOST_STEPS, MOST_TOKENS
from rlhf_sweeps.ppo.context_limits import check_context, check_positions, find_shortest_window
from rlhf_sweeps.ppo.equations import token_logprobs
from rlhf_sweeps.ppo.language_model import LanguageModel, ValueModel
from rlhf_sweeps.ppo.memory import BatchSize, is_out_of_memory, require_memory
from rlhf_sweeps.ppo.packing import FAILURES, count_ids, draw_trial_tokens, is_same
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler, pad_left, pad_right
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.failures import DivergedError

SMALLER = "a smaller model, or shorter sequences"


def check_models(
    ppo: PPOConfig,
    policy: LanguageModel,
    value_model: ValueModel,
    sampler: Sampler,
    prompts: Sequence[Sequence[int]],
    given: str,
) -> None:
    """Refuse a policy or a value model that gives other results in PPO's batches than in a plain forward pass.

    Args:
        given: key and value of the setting that names the policy.

    Raises:
        ConfigError: if one of them does.
    """
    prompt, value_given = max(prompts, key=len), f"ppo.value_model={ppo.value_model}"
    if value_model.trunk is None and not policy.has_plain_head:
        raise ConfigError(
            f"{value_given}: {given} changes its logits after its output layer, so its features cannot be used "
            "(allowed: policy, reward_model, path)"
        )
    remedy = "dataset.max_prompt_length and ppo.response_length make it shorter"
    check_reader(policy, sampler, prompt, given, remedy, int(ppo.trl_metrics))
    if isinstance(value_model.trunk, PreTrainedModel):
        longest = len(prompt) + sampler.response_length + int(ppo.trl_metrics)
        check_positions(value_model.trunk, longest, value_given, remedy)
    if ppo.value_model in ("reward_model", "path") and value_model.trunk is not None:
        with require_memory(given, SMALLER):
            check_trunk(policy, value_model.trunk, prompt, sampler.pad_id, value_given)


def check_reader(
    policy: LanguageModel, sampler: Sampler, prompt: Sequence[int], given: str, remedy: str, padding: int = 0
) -> None:
    """Refuse a policy whose context is too short for a prompt and its response, or that `check_policy` refuses.

    Args:
        prompt: the longest one.
        given: key and value of the setting that names the policy.
        remedy: the settings that make sequences shorter, for the message.
        padding: padding tokens after a response.

    Raises:
        ConfigError: if the policy is refused.
    """
    longest = len(prompt) + sampler.response_length + padding
    check_context(policy.model, longest, given, remedy)
    check_positions(policy.model, longest, given, remedy)
    with require_memory(given, SMALLER):
        check_policy(policy, sampler, prompt, given)


@torch.no_grad()
def check_policy(policy: LanguageModel, sampler: Sampler, prompt: Sequence[int], given: str) -> None:
    """Refuse a policy whose log-probabilities are not those of a plain forward pass over each sequence alone.

    Args:
        prompt: the longest one.
        given: key and value of the setting that names the policy.

    Raises:
        ConfigError: if one of the ways to read it fails, or gives other log-probabilities.
    """
    policy = replace(policy, autocast=None)
    prompts = _shorten(prompt)
    sampled = [prompts, *_make_window_prompts(policy.model, prompt, sampler.response_length)]
    trial = replace(
        sampler,
        response_length=min(sampler.response_length, MOST_STEPS),
        stop_strings=(),
        batch=BatchSize(given, len(prompts)),
        autocast=None,
        is_compiled=False,  # compiling would take longer than the whole check
    )

    def sample(sampler: Sampler, prompts: Sequence[Sequence[int]]) -> Responses:
        return sampler.sample(policy.model, prompts, torch.Generator(policy.model.device).manual_seed(0))

    def is_sampled_right(sampler: Sampler, prompts: Sequence[Sequence[int]]) -> bool:
        whole = sample(replace(sampler, stop_ids=()), prompts)
        # Again with the same random numbers, but one row ends before the others and leaves the batch.
        stop_id = int(whole.response_ids[1, whole.response_ids.shape[1] // 3])
        batch = sample(replace(sampler, stop_ids=(stop_id,)), prompts)
        return all(
            is_same(responses.logprobs, _read_plainly(policy, responses), policy.model.dtype)
            for responses in (whole, batch)
        )

    def check_sampling(sampler: Sampler) -> bool:
        return all(is_sampled_right(sampler, prompts) for prompts in sampled)

    def check_reading() -> bool:
        batch = _make_responses(policy.model, prompts, sampler.pad_id, min(sampler.response_length, MOST_TOKENS))
        return is_same(policy.logprobs(batch), _read_plainly(policy, batch), policy.model.dtype)

    way = "can be sampled from, step by step, with prompts of several lengths at once"
    check_agreement(lambda: check_sampling(replace(trial, is_static=False)), given, way)
    if sampler.is_static:
        check_agreement(lambda: check_sampling(trial), f"{given} with ppo.static_decoding=true", way)
    check_agreement(check_reading, given, "reads responses of several lengths at once")


@torch.no_grad()
def check_trunk(policy: LanguageModel, trunk: nn.Module, prompt: Sequence[int], pad_id: int, given: str) -> None:
    """Refuse a value model's trunk in the same way, or if it has no embedding for an id that the policy may sample.

    Raises:
        ConfigError: if the trunk is refused.
    """
    assert isinstance(trunk, PreTrainedModel)
    if (rows := count_ids(trunk)) < (wanted := count_ids(policy.model)):
        raise ConfigError(
            f"{given}: its embedding must have a row for each of the policy's {wanted} ids, has {rows} rows"
        )

    def check() -> bool:
        batch = _make_responses(policy.model, _shorten(prompt), pad_id, MOST_STEPS)
        features = replace(policy, autocast=None).trunk_features(trunk, batch)
        index, _ = features.places([length + 1 for length in batch.lengths])
        plain = [
            trunk(input_ids=torch.tensor([sequence], device=policy.model.device), use_cache=False).last_hidden_state[0]
            for sequence in batch.sequences
        ]
        states = [hidden[length - 1 :] for hidden, length in zip(plain, batch.prompt_lengths, strict=True)]
        return is_same(features.values[index], torch.cat(states), trunk.dtype)

    check_agreement(check, given, "reads responses of several lengths at once")


def _shorten(prompt: Sequence[int]) -> list[list[int]]:
    """A prompt and its beginnings of a third of its length and of one token."""
    return [list(prompt[:length]) for length in (len(prompt), -(-len(prompt) // 3), 1)]


def _make_window_prompts(model: PreTrainedModel, prompt: Sequence[int], response_length: int) -> list[list[list[int]]]:
    """Prompts whose responses become longer than the shortest attention window within a few steps.

    There are none if no sequence of the run is longer than the window.
    """
    longest, window = len(prompt) + response_length, find_shortest_window(model)
    if window is None or window >= longest:
        return []
    length = max(1, min(window - MOST_STEPS // 2, longest - min(response_length, MOST_STEPS)))
    return [_shorten(list(itertools.islice(itertools.cycle(prompt), length)))]


def check_agreement(agrees: Callable[[], bool], given: str, way: str) -> None:
    """Refuse a model that fails, or gives other numbers, when it is read in a certain way.

    Args:
        agrees: reads the model in that way and returns whether the numbers agree with a plain forward pass.
        given: key and value of the setting that names the model.
        way: the requirement, as the end of the sentence "must be of an architecture that ...".

    Raises:
        ConfigError: if the model is refused.
    """
    try:
        with report_activity(f"trying {given} on a few tokens"):
            is_right = agrees()
        if is_right:
            return
        reason = "this one gives other results in a batch than one by one"
    except (DivergedError, *FAILURES) as error:
        if is_out_of_memory(error):
            raise
        lines = str(error).splitlines()
        reason = f"this one fails: {lines[0] if lines else type(error).__name__}"
    raise ConfigError(f"{given}: must be of an architecture that {way} ({reason})")


def _make_responses(model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int, most: int) -> Responses:
    """Made-up responses of several lengths to the prompts."""
    lengths = [most, -(-most // 2), most][: len(prompts)]
    responses = [draw_trial_tokens(model, length) for length in lengths]
    response_ids, response_mask = pad_right(responses, pad_id, model.device)
    ended = torch.ones(len(prompts), dtype=torch.bool, device=model.device)
    logprobs = torch.zeros(response_ids.shape, device=model.device)
    return Responses(*pad_left(prompts, pad_id, model.device), response_ids, response_mask, logprobs, ended)


def _read_plainly(policy: LanguageModel, batch: Responses) -> Tensor:
    """Log-probabilities (batch, response) from a plain forward pass over each sequence: no mask, positions or cache."""
    logprobs = torch.zeros(batch.response_ids.shape, device=batch.response_ids.device)
    for row, (sequence, length) in enumerate(zip(batch.sequences, batch.lengths, strict=True)):
        ids = torch.tensor([sequence], device=policy.model.device)
        logits = policy.model(input_ids=ids, use_cache=False, logits_to_keep=length + 1).logits[0, :-1]
        logprobs[row, :length] = token_logprobs(logits.float() / policy.temperature, ids[0, -length:])
    return logprobs
