"""Hydra overrides <-> Optuna distributions: what a sweep varies, on which conditions, and how a point is written.

A point is a dict, parameter -> value, as Optuna has it. Neither files nor a study are touched here.
"""

import itertools
import logging
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rlhf_sweeps.config.fields import ConfigError
from rlhf_sweeps.record import Axis, describe
from rlhf_sweeps.sweep.search.axes import Interval, Values, read, stretched
from rlhf_sweeps.sweep.search.relations import Conditions, Group, read_conditions, read_ties
from rlhf_sweeps.sweep.search.seed_axis import SEED, take_seeds

log = logging.getLogger("rlhf_sweeps")


@dataclass(frozen=True)
class Parameter:
    """What Optuna chooses; one swept key, or several that are tied.

    Attributes:
        name: the Hydra key as typed, such as ppo.lr, reward_model or +x; of tied keys the one that stands for all.
        distribution: where its values come from.
        texts: Hydra's text for each choice of a list; None for an interval.
        when: parameter -> texts at which this one is active, its parents' own conditions included; empty: always.
    """

    name: str
    distribution: BaseDistribution
    texts: tuple[str, ...] | None = None
    when: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class _Key:
    """A swept Hydra key, and how it follows its parameter's value."""

    name: str
    parameter: Parameter
    axis: Values

    def text(self, value: Any) -> str:
        leader = self.parameter.distribution
        if isinstance(leader, CategoricalDistribution):
            assert self.axis.texts is not None
            return self.axis.texts[leader.choices.index(value)]
        assert isinstance(leader, Interval)
        assert self.axis.interval is not None
        number = value if self.name == self.parameter.name else stretched(value, leader, self.axis.interval)
        # Samplers may hand out NumPy's numbers.
        return repr(int(number) if isinstance(self.axis.interval, IntDistribution) else float(number))

    def recorded(self) -> Axis:
        """As the record has it."""
        tied_to = None if self.name == self.parameter.name else self.parameter.name
        if self.parameter.texts is not None:
            return Axis(self.name, self.axis.texts or (), tied_to=tied_to, when=self.parameter.when)
        assert self.axis.interval is not None
        low, high, step = self.axis.interval.low, self.axis.interval.high, self.axis.interval.step
        is_int = isinstance(self.axis.interval, IntDistribution)
        return Axis(self.name, (), low, high, self.axis.interval.log, is_int, step, tied_to, self.parameter.when)


class SearchSpace:
    """Everything that a sweep varies.

    Attributes:
        fixed: overrides that every trial gets, as typed.
        parameters: what varies, in the order typed.
        seeds: over which a grid averages each setting, where they are listed; they are no parameter.
        is_grid: every axis is a list, so that the sweep is its points, each once; one interval makes it a search.
    """

    def __init__(
        self, fixed: list[str], keys: Sequence[_Key], is_grid: bool, seeds: tuple[int, ...] | None = None
    ) -> None:
        self.fixed, self.seeds = fixed, seeds
        self.is_grid = is_grid
        self._keys = keys
        self._by_name = {key.parameter.name: key.parameter for key in keys}
        self.parameters = list(self._by_name.values())
        # A parameter has all conditions of its parents and one more.
        self._parents_first = sorted(self.parameters, key=lambda parameter: len(parameter.when))
        shuffled = {key.parameter.name for key in keys if key.axis.is_shuffled}
        self._order = {name: _order(self._by_name[name], name in shuffled) for name in self._by_name}

    @classmethod
    def parse(
        cls,
        overrides: Sequence[str],
        params: Mapping[str, Any],
        conditions: Mapping[str, Any],
        ties: Sequence[Sequence[str]],
        config_loader: ConfigLoader | None = None,
        same: Callable[[str, Any, str], Hashable] = lambda key, value, text: text,
    ) -> "SearchSpace":
        """The space of a command line.

        Args:
            overrides: in Hydra's syntax, without those of hydra itself.
            params: key -> what would be typed behind the equals sign, or a plain value, or a mapping with type (float,
                int, categorical), low, high, step, log, choices. An override of the same key wins.
            conditions: key -> other swept key -> the value, or list of values, at which the first is searched; at
                others it stays as configured. Several others must all have such values.
            ties: lists of keys that move together: lists item by item, intervals by the position between the bounds.
            config_loader: Hydra's, for glob().
            same: key, value and text -> what is equal for texts that are one value of the key, which is tried once.

        Raises:
            ConfigError: naming the key, what was given and what is allowed.
        """
        fixed, axes = read(overrides, params, config_loader)
        tied = {key.lstrip("+") for tie in ties for key in tie}
        axes = {key: axis if key.lstrip("+") in tied else _once(key, axis, same) for key, axis in axes.items()}
        is_grid = all(axis.texts is not None for axis in axes.values())
        if not is_grid and SEED in {key.lstrip("+") for key in axes}:
            raise ConfigError("seed: a search does not choose seeds; sweep.seeds=3 averages over them")
        seeds = take_seeds(axes, ties, conditions)
        if seeds:  # the first stands for the setting wherever one run is meant
            fixed = [*fixed, f"{SEED}={seeds[0]}"]
        groups = read_ties(axes, ties)
        when = read_conditions(groups, conditions)
        parents = {parent for conditions in when.values() for parent in conditions}
        parameters = {
            name: _parameter(name, group, when[name], is_grid or name in parents) for name, group in groups.items()
        }
        owners = {key: name for name, group in groups.items() for key in group}
        keys = [_Key(key, parameters[owners[key]], groups[owners[key]][key]) for key in axes]
        return cls(fixed, keys, is_grid, seeds)

    def grid(self) -> list[dict[str, Any]]:
        """All points of a grid in Hydra's order, the last key fastest; without inactive parameters, each point once."""
        assert self.is_grid, "a search has no list of points"
        points: list[dict[str, Any]] = [{}]
        for parameter in self._parents_first:
            points = list(self._extended(points, parameter, self._order[parameter.name]))
        return sorted(points, key=self._rank)

    def choices(self, most: int) -> list[dict[str, Any]] | None:
        """All points, where there are no more than so many; None where there are more."""
        points: list[dict[str, Any]] = [{}]
        for parameter in self._parents_first:
            values = _values(parameter.distribution)
            if values is None or len(values) > most:
                return None
            points = list(itertools.islice(self._extended(points, parameter, values), most + 1))
            if len(points) > most:
                return None
        return points

    def _extended(
        self, points: Sequence[dict[str, Any]], parameter: Parameter, values: Sequence[Any]
    ) -> Iterator[dict[str, Any]]:
        """Each point with each value of another parameter, or as it is where that one is not active."""
        for point in points:
            if self._is_active(parameter, point):
                yield from ({**point, parameter.name: value} for value in values)
            else:
                yield point

    def suggest(self, suggest: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        """A point whose values come from `suggest(name, distribution)`; asked for active parameters, parents first."""
        point: dict[str, Any] = {}
        for parameter in self._parents_first:
            if self._is_active(parameter, point):
                point[parameter.name] = suggest(parameter.name, parameter.distribution)
        return point

    def settings(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Hydra key -> text for every swept key that is active at this point, in the order typed."""
        return {
            key.name: key.text(params[key.parameter.name])
            for key in self._keys
            if self._is_active(key.parameter, params)
        }

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The point as Hydra overrides, fixed ones first."""
        return [*self.fixed, *(f"{key}={text}" for key, text in self.settings(params).items())]

    def probes(self) -> list[dict[str, Any]]:
        """Points that show whether all of the space can be run: one parameter changed at a time, parents if need be."""
        points = [self._point({})]
        for parameter in self.parameters:
            needed = {name: _choice(self._by_name[name], texts[0]) for name, texts in parameter.when.items()}
            points += [self._point({**needed, parameter.name: value}) for value in _ends(parameter.distribution)]
        return list({tuple(point.items()): point for point in points}.values())

    def axes(self) -> list[Axis]:
        """Every swept key as the record has it, those that move along with another one right after it."""
        groups = [[key for key in self._keys if key.parameter is parameter] for parameter in self.parameters]
        # Itself first.
        ordered = (sorted(group, key=lambda key: (key.name != key.parameter.name, key.name)) for group in groups)
        return [key.recorded() for group in ordered for key in group]

    def describe(self) -> dict[str, str]:
        """Parameter -> its space in words; see `runs.describe`."""
        return describe(self.axes())

    def _is_active(self, parameter: Parameter, point: Mapping[str, Any]) -> bool:
        return all(
            name in point and point[name] in [_choice(self._by_name[name], text) for text in texts]
            for name, texts in parameter.when.items()
        )

    def _point(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The wanted values, and the first of all other active parameters."""
        return self.suggest(lambda name, distribution: wanted.get(name, _ends(distribution)[0]))

    def _rank(self, point: Mapping[str, Any]) -> tuple[int, ...]:
        """Where Hydra comes to a point first: with the first value of what is inactive."""
        return tuple(order.index(point[name]) if name in point else 0 for name, order in self._order.items())


def _once(key: str, axis: Values, same: Callable[[str, Any, str], Hashable]) -> Values:
    """The axis with each value once; says what it leaves out."""
    found = axis.unique(lambda value, text: same(key, value, text))
    if axis.texts is not None and found.texts is not None and len(found.texts) < len(axis.texts):
        log.warning(
            "%s=%s: the same value stands there more than once; each is run once (%s)",
            key,
            ",".join(axis.texts),
            ",".join(found.texts),
        )
    return found


def _parameter(name: str, group: Group, when: Conditions, must_be_list: bool) -> Parameter:
    """A list becomes a categorical; so does a range, where its values are taken one by one."""
    axis = group[name]
    if axis.interval is not None and (axis.texts is None or not (must_be_list or len(group) > 1)):
        return Parameter(name, axis.interval, None, when)
    assert axis.values is not None
    assert axis.texts is not None
    are_numbers = all(type(value) in (int, float) and math.isfinite(value) for value in axis.values)
    # Numbers tell a sampler, and a reader of the study, more than their texts; but 2 and 2.0 are equal.
    choices = axis.values if are_numbers and len(set(axis.values)) == len(axis.values) else axis.texts
    return Parameter(name, CategoricalDistribution(choices), axis.texts, when)


def _order(parameter: Parameter, is_shuffled: bool) -> list[Any]:
    """How a grid goes through the choices. The distribution keeps the order typed, or no study could be continued."""
    if not isinstance(parameter.distribution, CategoricalDistribution):
        return []
    choices = list(parameter.distribution.choices)
    return random.sample(choices, len(choices)) if is_shuffled else choices


def _choice(parameter: Parameter, text: str) -> Any:
    assert isinstance(parameter.distribution, CategoricalDistribution)
    assert parameter.texts is not None
    return parameter.distribution.choices[parameter.texts.index(text)]


def _values(distribution: BaseDistribution) -> Sequence[Any] | None:
    """All that a parameter can be; None of a real number without a step."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution)
    if (step := distribution.step) is None:
        return None
    last = round((distribution.high - distribution.low) / step)
    return [min(distribution.low + index * step, distribution.high) for index in range(last + 1)]


def _ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    """All choices, or both bounds."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, Interval)
    return distribution.low, distribution.high
