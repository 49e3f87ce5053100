"""How often weights are cast at a lower precision: once, whoever reads them; counted in what torch dispatches."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import toy
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from rlhf_sweeps.models import loading as models
from rlhf_sweeps.ppo import language_model
from rlhf_sweeps.ppo.language_model import LanguageModel
from rlhf_sweeps.ppo.memory import BatchSize
from rlhf_sweeps.ppo.packing import enable_packing
from rlhf_sweeps.ppo.precision import compute_in
from rlhf_sweeps.ppo.rollout import Responses
from rlhf_sweeps.ppo.sampling import Sampler

LOW = torch.bfloat16


class Casts(TorchDispatchMode):
    """Counts the casts of a module's weights, by name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names = {parameter.data_ptr(): name for name, parameter in module.named_parameters()}
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten._to_copy and args[0].data_ptr() in self.names:
            self.counts[self.names[args[0].data_ptr()]] += 1
        return func(*args, **(kwargs or {}))


def policy(ties: bool = False) -> PreTrainedModel:
    model = toy.policy(ties=ties)
    enable_packing(model.base_model)
    return model


def with_adapter() -> PreTrainedModel:
    model = policy()
    models.add_adapter(model, toy.settings(lora_rank=4), seed=0)
    return model


MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "trained": policy,
    "frozen": lambda: models.freeze(policy()),
    "frozen, tied": lambda: models.freeze(policy(ties=True)),
    "adapter": with_adapter,
}
EACH = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def matrices(model: nn.Module) -> set[str]:
    """The weights of the linear layers, an output layer that is tied by its other name."""
    names = {parameter.data_ptr(): name for name, parameter in model.named_parameters()}
    return {names[m.weight.data_ptr()] for m in model.modules() if type(m) is nn.Linear}


def flags(model: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in model.parameters()]


def sample(model: PreTrainedModel, dtype: torch.dtype | None = LOW) -> Responses:
    """Eight tokens of six responses in three batches."""
    sampler = Sampler((), 0, 8, 1.0, BatchSize("", 2), autocast=dtype)
    return sampler.sample(model, toy.PROMPTS, torch.Generator().manual_seed(0))


@EACH
def test_sampling_casts_each_matrix_once(make: Callable[[], PreTrainedModel]) -> None:
    model = make()
    before = flags(model)
    with Casts(model) as casts:
        sample(model)
    assert casts.counts == dict.fromkeys(matrices(model), 1)
    assert len(casts.counts) == (2 * 7 + 1 if make is not with_adapter else 2 * 7 * 3 + 1)
    assert flags(model) == before


@EACH
@pytest.mark.parametrize("is_packed", [True, False])
def test_reading_casts_each_matrix_once(
    make: Callable[[], PreTrainedModel], is_packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "CHUNK_BYTES", 20 * 4 * 3)  # three tokens a chunk
    if not is_packed:
        monkeypatch.setattr(language_model, "reads_packed", lambda _: False)
    model = make()
    batch, before = sample(model), flags(model)
    with Casts(model) as casts:
        LanguageModel(model, 1.0, LOW, has_plain_head=True).logprobs(batch, size=2)
    assert casts.counts == dict.fromkeys(matrices(model), 1)
    assert flags(model) == before


def test_a_policy_without_its_adapter_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    model = policy()
    adapter = models.add_adapter(model, toy.settings(lora_rank=4), seed=0)
    before = flags(model)
    with Casts(model) as casts, models.open_reference(model, adapter) as reference:
        batch = sample(reference)
        LanguageModel(reference, 1.0, LOW, has_plain_head=True).logprobs(batch, size=2)
    adapted = {name for name in matrices(model) if "lora_" in name}
    assert casts.counts == dict.fromkeys(matrices(model) - adapted, 2)  # once to sample, once to read
    assert flags(model) == before


@EACH
def test_the_numbers_are_those_of_casts_at_every_use(
    make: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "CHUNK_BYTES", 20 * 4 * 3)
    model = make()
    batch = sample(model)
    read = LanguageModel(model, 1.0, LOW, has_plain_head=True).logprobs(batch, size=2)
    monkeypatch.setattr(torch, "autocast", _autocast_without_cache(torch.autocast))
    with Casts(model) as casts:
        again = sample(model)
    assert min(casts.counts.values()) >= 3 * 8  # each step of each batch
    assert torch.equal(batch.response_ids, again.response_ids)
    assert torch.equal(batch.logprobs, again.logprobs)
    assert torch.equal(read, LanguageModel(model, 1.0, LOW, has_plain_head=True).logprobs(batch, size=2))


def _autocast_without_cache(autocast: Any) -> Any:
    return lambda *arguments, **keywords: autocast(*arguments, **keywords, cache_enabled=False)


def test_no_cast_outlives_a_change_of_the_weights() -> None:
    for model in (policy(), models.freeze(policy())):
        first = sample(model).logprobs
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
        fresh = policy()
        fresh.load_state_dict(model.state_dict())
        assert not torch.equal(first, sample(model).logprobs)
        assert torch.equal(sample(fresh).logprobs, sample(model).logprobs)


def test_an_exception_leaves_the_weights_frozen() -> None:
    model = models.freeze(policy())
    seen: list[bool] = []

    def fail(*_: Any) -> None:
        seen.extend(flags(model))
        raise KeyboardInterrupt

    model.lm_head.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        sample(model)
    assert all(seen)
    assert not any(flags(model))


def test_weights_stay_frozen_where_gradients_are_recorded() -> None:
    model = with_adapter()
    batch, before = sample(model), flags(model)
    seen: list[list[bool]] = []
    model.lm_head.register_forward_hook(lambda *_: seen.append(flags(model)))
    reader = LanguageModel(model, 1.0, LOW, has_plain_head=True)
    features = reader.features(batch)
    reader.logits(features.values).sum().backward()
    assert seen == [before]
    assert [parameter.grad is not None for parameter in model.parameters()] == before


@pytest.mark.parametrize("dtype", [None, LOW])
def test_integer_weights_stay_as_they_are(dtype: torch.dtype | None) -> None:
    module = nn.Linear(2, 2)
    module.codes = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    module.weight.requires_grad_(False)
    with torch.no_grad(), compute_in(module, dtype):
        output: Tensor = module(torch.ones(1, 2))
    assert output.dtype == (dtype or torch.float32)
    assert [module.weight.requires_grad, module.codes.requires_grad] == [False, False]
