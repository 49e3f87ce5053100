"""Running out of memory costs time, not numbers."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch
import toy
from torch import nn

from rlhf_sweeps.ppo import optimization
from rlhf_sweeps.ppo.memory import Halving, keep_freed_memory


class Scarce:
    """A memory in which a forward pass of more than so many sequences does not fit."""

    def __init__(self, module: nn.Module, limit: int, error: Callable[[], Exception]) -> None:
        self.refused: list[int] = []

        def check(_: nn.Module, arguments: tuple[Any, ...], inputs: dict[str, Any]) -> None:
            mask = inputs["attention_mask"]
            num = mask.shape[2] if mask.dim() == 4 else len(mask)  # of packed sequences, or of a padded batch
            if num > limit:
                self.refused.append(num)
                raise error()

        module.register_forward_pre_hook(check, with_kwargs=True)


ERRORS: list[Callable[[], Exception]] = [
    torch.OutOfMemoryError,
    MemoryError,
    lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
]


@pytest.mark.parametrize("error", ERRORS)
def test_batches_are_halved_and_the_numbers_stay(
    error: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    settings = toy.settings(num_ppo_epochs=2, num_minibatches=2, batch_size=12, microbatch_size=6)
    plenty, short = toy.trainer(settings), toy.trainer(settings)
    scarce = Scarce(short.policy.model.model, 2, error)
    rows = [trainer.step() for trainer in (plenty, short)]
    assert set(scarce.refused) == {4, 6, 3}
    assert (rows[0]["perf/microbatch_size"], rows[1]["perf/microbatch_size"]) == (6, 1)
    assert (rows[0]["perf/rollout_batch_size"], rows[1]["perf/rollout_batch_size"]) == (4, 2)
    for name, number in rows[0].items():
        if not name.startswith("perf/") and name != "eps":
            assert rows[1][name] == pytest.approx(number, rel=1e-4, abs=1e-6), name
    for plain, halved in zip(plenty.policy.model.parameters(), short.policy.model.parameters(), strict=True):
        assert torch.allclose(plain, halved, atol=1e-5)
    assert "ppo.microbatch_size is 3 from here on" in caplog.text


def test_not_even_one_fits() -> None:
    trainer = toy.trainer(toy.settings())
    Scarce(trainer.policy.model.model, 0, torch.OutOfMemoryError)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.step()


def test_without_glibc_freed_memory_is_left_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherLibrary:
        def __init__(self, name: None) -> None:
            pass

    monkeypatch.setattr(ctypes, "CDLL", OtherLibrary)
    keep_freed_memory()


def test_a_cpu_is_given_no_more_tokens_than_it_gains_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers stay the same then, too."""
    plenty, few = toy.trainer(toy.settings()), toy.trainer(toy.settings())
    rows = [plenty.step()]
    monkeypatch.setattr(optimization, "CPU_TOKENS", 20)
    seen: list[int] = []
    few.policy.model.model.register_forward_pre_hook(
        lambda _, arguments, inputs: seen.append(inputs["input_ids"].shape[1] if torch.is_grad_enabled() else 0),
        with_kwargs=True,
    )
    rows.append(few.step())
    assert 0 < max(seen) <= 20
    assert rows[1]["loss/policy_avg"] == pytest.approx(rows[0]["loss/policy_avg"], rel=1e-4, abs=1e-6)
    assert rows[1]["policy/grad_norm"] == pytest.approx(rows[0]["policy/grad_norm"], rel=1e-4)


def test_other_errors_are_not_hidden() -> None:
    def work(size: int) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    batch = Halving("key", 8)
    with pytest.raises(RuntimeError, match="shapes"):
        batch.run(work)
    assert batch.size == 8
