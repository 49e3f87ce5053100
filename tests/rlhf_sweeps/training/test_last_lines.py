"""The last lines of a run say that the KL budget stopped it, and a KL above the budget only if there is one."""

from types import SimpleNamespace
from typing import Any

import pytest

from rlhf_sweeps.training.last_lines import _describe_end


@pytest.mark.parametrize(
    ("summary", "kl", "text"),
    [
        ({"status": "complete", "stop_reason": None, "is_beyond_budget": False}, 3.0, "complete"),
        (
            {"status": "complete", "stop_reason": None, "is_beyond_budget": True},
            23.1,
            "complete, but beyond the KL budget (last KL 23.1 > 15)",
        ),
        (
            {"status": "stopped", "stop_reason": "kl_budget", "is_beyond_budget": True},
            23.1,
            "stopped by the KL budget (last KL 23.1 > 15)",
        ),
        # Its KL in training was above the budget, its last evaluation is not.
        (
            {"status": "stopped", "stop_reason": "kl_budget", "is_beyond_budget": False},
            14.0,
            "stopped by the KL budget",
        ),
    ],
)
def test_the_end_of_a_run(summary: dict[str, Any], kl: float, text: str) -> None:
    config: Any = SimpleNamespace(objective=SimpleNamespace(kl_budget=15.0))
    assert _describe_end({**summary, "last": {"kl": kl, "kl_bound": kl + 0.5}}, config) == text
