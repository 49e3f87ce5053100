"""A reward model in a run: it scores every text once; scores are checked, and their cost is measured."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf_sweeps.config.reward_models import RewardModelConfig
from rlhf_sweeps.process.activity import report_activity
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel, quote_exchange
from rlhf_sweeps.reward_models.constants import MOST_REMEMBERED


@dataclass
class ScoringCost:
    """The cost of scoring so far.

    Attributes:
        responses: the number of requested scores.
        cached: the number of those that were known already.
        seconds: the time for the others.
    """

    responses: int = 0
    cached: int = 0
    seconds: float = 0.0

    @property
    def seconds_per_1000(self) -> float:
        """The time for a thousand scores that were not known."""
        return 1000 * self.seconds / max(1, self.responses - self.cached)


class Scorer:
    """Scores responses with a reward model, unscaled, and remembers the scores.

    Remembered scores are a part of checkpoints: the last bits of a score depend on the other responses in its batch.
    """

    def __init__(self, config: RewardModelConfig, reward_model: RewardModel) -> None:
        self.config = config
        self.name = config.name
        self.reward_model = reward_model
        self.cost = ScoringCost()
        self._scores: dict[str, float] = {}

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU.

        Raises:
            RewardModelError: if the reward model fails, or a score is not finite.
        """
        keys = _make_keys(exchanges)
        scores = {key: self._scores[key] for key in keys if key in self._scores}
        new = {key: row for row, key in enumerate(keys) if key not in scores}
        self.cost.responses += len(keys)
        self.cost.cached += len(keys) - len(new)
        if new:
            start = time.perf_counter()
            part = exchanges.rows(list(new.values()))
            with report_activity(f"scoring {len(new)} responses with {self.name}"):
                new_scores = self.reward_model.score(part)
            self.cost.seconds += time.perf_counter() - start
            self._check(new_scores, part)
            fresh = dict(zip(new, new_scores.tolist(), strict=True))
            self._remember(fresh)
            scores |= fresh
        return torch.tensor([scores[key] for key in keys])

    def remember(self, exchanges: Exchanges, scores: Sequence[float]) -> None:
        """Add scores that were computed elsewhere."""
        self._remember(dict(zip(_make_keys(exchanges), scores, strict=True)))

    def digest(self) -> str:
        """A text that identifies everything that a score depends on, except the exchange."""
        return f"{self.config} {self.reward_model.digest()}"

    @property
    def state(self) -> dict[str, Any]:
        """The state that a continued run needs, as plain values."""
        return {"scores": self._scores, "cost": asdict(self.cost)}

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        self._scores = dict(state["scores"])
        self.cost = ScoringCost(**state["cost"])

    def _remember(self, scores: Mapping[str, float]) -> None:
        self._scores |= scores
        for key in list(self._scores)[: max(0, len(self._scores) - MOST_REMEMBERED)]:
            del self._scores[key]

    def _check(self, scores: Tensor, exchanges: Exchanges) -> None:
        for row in (~scores.isfinite()).nonzero().flatten().tolist()[:1]:
            raise RewardModelError(
                f"reward model {self.name}: its score is {scores[row].item()} for {quote_exchange(exchanges, row)}"
            )


def _make_keys(exchanges: Exchanges) -> list[str]:
    """A hash of each exchange: of the policy's tokens if they are known, since different tokens may have the same text.

    Whether the response ended is included: the same tokens may have been cut at the length limit, or have ended with a
    stop string.
    """
    contents: list[Any]
    if exchanges.sequences is not None:
        contents = list(map(list, exchanges.sequences))
    else:
        contents = list(zip(exchanges.prompts, exchanges.responses, strict=True))
    if exchanges.ended is not None:
        contents = [[content, bool(has_ended)] for content, has_ended in zip(contents, exchanges.ended, strict=True)]
    contents = list(map(json.dumps, contents))
    return [hashlib.blake2b(content.encode(), digest_size=12).hexdigest() for content in contents]
