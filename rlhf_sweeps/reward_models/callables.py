"""Any Python function of prompts and responses as a reward model; errors quote the text at which it failed."""

import hashlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sized
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.config.functions import find_callable
from rlhf_sweeps.config.references import redact
from rlhf_sweeps.config.reward_models import CallableConfig
from rlhf_sweeps.data import as_text
from rlhf_sweeps.process.failures import RewardModelError
from rlhf_sweeps.reward_models.base import Exchanges, RewardModel, quote_exchange
from rlhf_sweeps.reward_models.time_limit import TimeLimit, TimeLimitError
from rlhf_sweeps.wording import cut, describe_error

LARGEST = torch.finfo(torch.float32).max


def load_callable(config: CallableConfig, key: str) -> "CallableRewardModel":
    """The reward model of a config's function or class.

    A class gets `arguments` once, when an object of it is made; a function gets them at every call.

    Args:
        key: the config's key, for error messages.

    Raises:
        ConfigError: if it cannot be imported or called, or no object of the class can be made.
    """
    function = find_callable(config, key)
    given = f"{key}.function={config.function}"
    if not isinstance(function, type):
        return CallableRewardModel(partial(function, **config.arguments), config.timeout, given, _read_source(function))
    try:
        return CallableRewardModel(function(**config.arguments), config.timeout, given, _read_source(function))
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{key}.arguments={redact(config.arguments)}: {config.function} cannot be made with these "
            f"({describe_error(error)})"
        ) from error


def _read_source(function: Callable[..., Any]) -> str:
    """The source text of the module of a function or class; empty if it cannot be read."""
    try:
        return inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError):
        return ""


class CallableRewardModel(RewardModel):
    """Scores by a function, which is called once for all responses.

    Args:
        function: (prompts, responses), two lists of texts -> one number each, as a list, array, tensor or generator.
        timeout: seconds that a call may take; outside the main thread there is no limit.
        given: the setting that names it, for error messages.
        source: its source text; the scores may change when it changes.
    """

    def __init__(
        self, function: Callable[[list[str], list[str]], Any], timeout: float, given: str, source: str = ""
    ) -> None:
        self._function = function
        self._source = source
        self._timeout = timeout
        self._given = given

    def score(self, exchanges: Exchanges) -> Tensor:
        """One score each, (batch,), float32 on the CPU.

        Raises:
            RewardModelError: if the function raises, exits, takes too long, or returns no finite number for each.
        """
        try:
            with TimeLimit(self._timeout):
                returned = self._call(exchanges)
        except TimeLimitError as error:
            raise self._make_error(f"{error} for", exchanges) from error
        except (Exception, SystemExit) as error:
            row = self._find_raising(exchanges)
            raise self._make_error(f"raised {describe_error(error)} for", exchanges, row) from error
        if not isinstance(returned, list):
            raise self._make_error(f"returned a {type(returned).__name__} and not one number each for", exchanges)
        if len(returned) != len(exchanges):
            raise self._make_error(f"returned {len(returned)} and not {len(exchanges)} numbers for", exchanges)
        scores = [self._number(value, exchanges, row) for row, value in enumerate(returned)]
        return torch.tensor(scores, dtype=torch.float32)

    def digest(self) -> str:
        """A hash of the source text of its module; modules and files that this one uses are not included."""
        return hashlib.sha256(self._source.encode()).hexdigest()

    def _call(self, exchanges: Exchanges) -> Any:
        """The function's result, as a list if it is a sequence of any kind."""
        returned = self._function([as_text(prompt) for prompt in exchanges.prompts], list(exchanges.responses))
        if hasattr(returned, "tolist"):  # arrays and tensors, from a GPU in one transfer
            return returned.tolist()
        if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | Mapping | AbstractSet):
            return returned
        # A generator runs here. It may be endless; one number too many is enough to refuse it.
        return list(returned if isinstance(returned, Sized) else itertools.islice(returned, len(exchanges) + 1))

    def _find_raising(self, exchanges: Exchanges) -> int | None:
        """The first exchange at which the function fails when it gets only this one; None if the time limit ends it."""
        if len(exchanges) == 1:
            return 0
        try:
            with TimeLimit(self._timeout):
                for row in range(len(exchanges)):
                    try:
                        self._call(exchanges.rows([row]))
                    except (Exception, SystemExit):
                        return row
        except TimeLimitError:
            pass
        return None

    def _number(self, value: Any, exchanges: Exchanges, row: int) -> float:
        if getattr(value, "ndim", None) == 0:  # scalars of numpy and torch
            value = value.item()
        returned = f"returned {cut(repr(value), 100)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._make_error(f"{returned}, a {type(value).__name__} and not a number, for", exchanges, row)
        if not abs(value) <= LARGEST:
            raise self._make_error(f"{returned}, which is not finite in float32, for", exchanges, row)
        return float(value)

    def _make_error(self, problem: str, exchanges: Exchanges, row: int | None = None) -> RewardModelError:
        """The error for one exchange, or for all of them together."""
        if row is not None or len(exchanges) == 1:
            return RewardModelError(f"{self._given}: {problem} {quote_exchange(exchanges, row or 0)}")
        return RewardModelError(
            f"{self._given}: {problem} {len(exchanges)} responses; the first: {quote_exchange(exchanges, 0)}"
        )
