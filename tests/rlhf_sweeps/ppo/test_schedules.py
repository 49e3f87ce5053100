"""Learning rate, KL coefficient and score scale by hand."""

import math

import pytest
import torch

from rlhf_sweeps.ppo.equations import adapted_kl_coef
from rlhf_sweeps.ppo.schedules import RunningStatistics, lr_factor


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("constant", [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_rates_over_four_updates(schedule: str, factors: list[float]) -> None:
    assert [lr_factor(schedule, update, 4, 0) for update in (1, 2, 3, 4)] == pytest.approx(factors)
    # After a warm-up of three: the same course.
    warm = [lr_factor(schedule, update, 7, 3) for update in range(1, 8)]
    assert warm == pytest.approx([0.25, 0.5, 0.75, *factors])


def test_the_kl_coefficient_by_hand() -> None:
    # Error 6.6 / 6 - 1 = 0.1; 256 of 10,000 episodes.
    assert adapted_kl_coef(0.2, 6.6, 6.0, 10_000, 256) == pytest.approx(0.2 * (1 + 0.1 * 0.0256))
    # Beyond a fifth it counts as a fifth, either way.
    assert adapted_kl_coef(0.2, 60.0, 6.0, 10_000, 256) == pytest.approx(0.2 * (1 + 0.2 * 0.0256))
    assert adapted_kl_coef(0.2, -60.0, 6.0, 10_000, 256) == pytest.approx(0.2 * (1 - 0.2 * 0.0256))


def test_running_statistics_are_those_of_all_numbers() -> None:
    parts = [torch.randn(n, generator=torch.Generator().manual_seed(n)) * n + 100 for n in (1, 5, 32)]
    running = RunningStatistics()
    for part in parts:
        running.add(part)
    everything = torch.cat(parts)
    assert running.mean == pytest.approx(everything.mean().item(), rel=1e-6)
    assert running.deviation == pytest.approx(everything.std().item(), rel=1e-5)
    scores = torch.tensor([90.0, 110.0])
    scaled = scores / everything.std()
    assert torch.allclose(running.scale(scores, "none", None), scores)
    assert torch.allclose(running.scale(scores, "scale", None), scaled, rtol=1e-4)
    normalized = (scores - everything.mean()) / everything.std()
    assert torch.allclose(running.scale(scores, "normalize", None), normalized, rtol=1e-4)
    assert torch.allclose(running.scale(scores, "normalize", 0.1), normalized.clamp(-0.1, 0.1))


def test_scores_that_do_not_vary_are_not_blown_up() -> None:
    running = RunningStatistics()
    running.add(torch.tensor([3.0]))
    assert running.deviation == 1.0
    running.add(torch.tensor([3.0, 3.0]))
    assert running.scale(torch.tensor([3.0]), "normalize", None).item() == 0.0
