"""Search spaces from overrides, what refuses them, and Hydra's own parser to compare with."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.sweep.search.search_space import Parameter, SearchSpace

HYDRA = OverridesParser.create()
SEARCH = "ppo.gamma=interval(0.9,1)"  # one interval makes the others part of a search


def space(
    *overrides: str,
    params: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
    ties: Sequence[Sequence[str]] = (),
    config_loader: Any = None,
) -> SearchSpace:
    return SearchSpace.parse(list(overrides), params or {}, conditions or {}, ties, config_loader)


def parameter(*overrides: str, **keywords: Any) -> Parameter:
    return space(*overrides, **keywords).parameters[0]


def error(*overrides: str, **keywords: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        space(*overrides, **keywords)
    assert "\n" not in str(raised.value)
    return str(raised.value)
