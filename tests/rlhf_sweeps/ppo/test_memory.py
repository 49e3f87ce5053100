"""Running out of memory costs time, not numbers."""

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers import toy
from torch import nn

from rlhf_sweeps.config.fields import TooLargeError
from rlhf_sweeps.platforms import system
from rlhf_sweeps.platforms.memory import room
from rlhf_sweeps.ppo import optimization
from rlhf_sweeps.ppo.memory import BatchSize, keep_freed_memory, require_memory


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
    scarce = Scarce(trainer.policy.model.model, 0, torch.OutOfMemoryError)
    with pytest.raises(TooLargeError, match=r"^ppo.rollout_batch_size=1: out of memory \(") as caught:
        trainer.step()
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert "\n" not in str(caught.value)
    assert scarce.refused[-1] == 1


def test_sizes_are_halved_down_to_one_and_stay() -> None:
    tried: list[int] = []
    most = 1

    def work(size: int) -> int:
        tried.append(size)
        if size > most:
            raise MemoryError
        return 10 * size

    batch = BatchSize("key", 13)
    assert batch.run(work) == 10
    assert (tried, batch.size) == ([13, 6, 3, 1], 1)
    batch = BatchSize("key", 2)
    tried.clear()
    assert (batch.run(work), batch.run(work)) == (10, 10)
    assert tried == [2, 1, 1]
    most = 0
    with pytest.raises(TooLargeError, match=r"^key=1: "):
        batch.run(work)
    assert tried[3:] == [1]


def test_what_is_read_before_memory_runs_out_is_not_counted_twice() -> None:
    """Short responses are read first, so that here it runs out at a later part of a step, the first ones counted."""
    settings = toy.settings(num_ppo_epochs=2, microbatch_size=2)
    seen = optimized_tokens(plenty := toy.trainer(settings))
    expected = plenty.step()
    assert seen[0] < seen[2]
    short = toy.trainer(settings)
    refused: list[int] = []

    def check(_: nn.Module, __: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        num = inputs["input_ids"].shape[1]
        if torch.is_grad_enabled() and num > seen[1]:
            refused.append(num)
            raise torch.OutOfMemoryError

    short.policy.model.model.register_forward_pre_hook(check, with_kwargs=True)
    row = short.step()
    assert refused == [seen[2]]
    for name, number in expected.items():
        if not name.startswith("perf/") and name != "eps":
            assert row[name] == pytest.approx(number, rel=1e-4, abs=1e-6), name


def optimized_tokens(trainer: toy.PPOTrainer) -> list[int]:
    """Grows with the tokens of every forward pass that gradients are recorded in."""
    seen: list[int] = []

    def note(_: nn.Module, __: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            seen.append(inputs["input_ids"].shape[1])

    trainer.policy.model.model.register_forward_pre_hook(note, with_kwargs=True)
    return seen


@pytest.mark.parametrize(
    ("size", "room", "parts"),
    [
        # Of 5, 2, 9 and 4 tokens.
        (4, 100, [[1, 3, 0, 2]]),
        (3, 100, [[1, 3, 0], [2]]),
        (1, 100, [[1], [3], [0], [2]]),
        (4, 11, [[1, 3, 0], [2]]),
        (4, 10, [[1, 3], [0], [2]]),
        (4, 6, [[1, 3], [0], [2]]),
        (4, 5, [[1], [3], [0], [2]]),
        (4, 1, [[1], [3], [0], [2]]),  # one at least, however long
    ],
)
def test_microbatches_by_hand(size: int, room: int, parts: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Indices into a step's rows, the shortest first."""
    monkeypatch.setattr(optimization, "CPU_TOKENS", room)
    sequences = [[1] * length for length in (4, 9, 2, 5)]
    rollout: Any = SimpleNamespace(sequences=sequences, prompt_ids=torch.zeros(1))
    step: Any = SimpleNamespace(rows=[3, 2, 1, 0])
    trainer = toy.trainer(toy.settings())
    assert list(trainer.optimization._parts(rollout, step, size)) == parts


def test_freed_memory_is_kept_by_glibcs_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """M_TRIM_THRESHOLD is -1 and M_MMAP_THRESHOLD is -3 in its malloc.h."""
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_freed_memory()
    assert calls == [(-1, 2**31 - 1), (-3, 2**30)]


def test_under_a_limit_of_the_users_freed_memory_is_left_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not system.is_limited_by_the_user()
    monkeypatch.setattr(system, "is_limited_by_the_user", lambda: True)
    calls: list[Any] = []
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *arguments: calls.append(arguments))
    )
    keep_freed_memory()
    assert calls == []


def test_without_glibc_freed_memory_is_left_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherLibrary:
        def __init__(self, name: None) -> None:
            pass

    monkeypatch.setattr(ctypes, "CDLL", OtherLibrary)
    keep_freed_memory()  # raises nothing


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

    batch = BatchSize("key", 8)
    with pytest.raises(RuntimeError, match="shapes"):
        batch.run(work)
    assert batch.size == 8


def test_plenty_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknown = toy.trainer(toy.settings()), toy.trainer(toy.settings())
    known.step()
    with monkeypatch.context() as patched:
        patched.setattr(room, "most_data", lambda: None)
        unknown.step()
    for one, other in zip(known.policy.model.parameters(), unknown.policy.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("is_initialized", "most", "limits"), [(False, 5, [5]), (True, 5, []), (False, None, [])])
def test_a_gpu_and_a_system_that_says_nothing_limit_nothing(
    is_initialized: bool, most: int | None, limits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Limit:
        def __init__(self, most: int) -> None:
            asked.append(most)

        __enter__ = __exit__ = lambda *_: None

    monkeypatch.setattr(system, "data_limit", Limit)
    monkeypatch.setattr(room, "most_data", lambda: most)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_initialized)
    assert BatchSize("key", 3).run(lambda size: size) == 3
    with require_memory("key=1", "less"):
        pass
    assert asked == 2 * limits


def test_what_an_attempt_held_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """malloc_trim's argument: bytes to keep at the heap's top; M_MMAP_THRESHOLD is -3."""
    calls: list[Any] = []
    library = SimpleNamespace(malloc_trim=calls.append, mallopt=lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)

    def work(size: int) -> None:
        if size > 1:
            raise MemoryError

    BatchSize("key", 4).run(work)
    assert calls == [0, (-3, 2**20)] * 2
