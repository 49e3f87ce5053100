"""The interface of all reward models: a reward model gives each response to a prompt one score."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rlhf_sweeps.data import Messages
from rlhf_sweeps.reward_models.constants import LONGEST_TEXT


@dataclass(frozen=True)
class Exchanges:
    """Prompts and the responses to them.

    Attributes:
        prompts: chat messages that end on a user turn, (batch,).
        responses: texts, (batch,).
        sequences: the policy's tokens of prompt and response, (batch,); None if they are not known.
        ended: whether each response ended by itself, (batch,), and was not cut at the length limit. None: all ended,
            and the policy's tokens need no completion.
        end_ids: the tokens that end the policy's responses.
    """

    prompts: Sequence[Messages]
    responses: Sequence[str]
    sequences: Sequence[Sequence[int]] | None = None
    ended: Sequence[bool] | None = None
    end_ids: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.responses if self.sequences is None else self.sequences)

    def rows(self, index: Sequence[int]) -> "Exchanges":
        """Some of the exchanges."""
        return Exchanges(
            [self.prompts[i] for i in index],
            [self.responses[i] for i in index],
            None if self.sequences is None else [self.sequences[i] for i in index],
            None if self.ended is None else [self.ended[i] for i in index],
            self.end_ids,
        )


class RewardModel(ABC):
    """Scores responses; frozen."""

    @abstractmethod
    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU.

        Raises:
            RewardModelError: if scoring fails, or a score is not finite.
        """

    def digest(self) -> str:
        """A text that identifies everything that the scores depend on, except the config and the exchanges."""
        return ""


def quote_exchange(exchanges: Exchanges, row: int) -> str:
    """A prompt and its response, quoted for an error message; long ones are cut."""
    texts = (exchanges.prompts[row][-1]["content"], exchanges.responses[row])
    prompt, response = (text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..." for text in texts)
    return f"prompt {prompt!r}, response {response!r}"
