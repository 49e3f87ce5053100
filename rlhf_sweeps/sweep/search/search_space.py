"""The search space of a sweep: Hydra overrides -> Optuna distributions, and points of the space -> overrides.

A point is a dict, parameter -> value, as in Optuna. This module reads no file and no study.
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
from rlhf_sweeps.record import Axis, describe_axes
from rlhf_sweeps.sweep.search.axes import Interval, Values, parse_overrides, rescale
from rlhf_sweeps.sweep.search.relations import Conditions, Group, read_conditions, read_ties
from rlhf_sweeps.sweep.search.seed_axis import SEED, take_seeds

log = logging.getLogger("rlhf_sweeps")


@dataclass(frozen=True)
class Parameter:
    """A parameter of Optuna: a swept key, or several tied ones.

    Attributes:
        name: the Hydra key as typed, such as ppo.lr, reward_model or +x; of tied keys the leading one.
        distribution: of its values.
        texts: Hydra's text for each choice of a list; None for an interval.
        when: parameter -> texts at which this one is active, including its parents' conditions; empty: always.
    """

    name: str
    distribution: BaseDistribution
    texts: tuple[str, ...] | None = None
    when: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class _Key:
    """A swept Hydra key, whose value follows from its parameter's."""

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
        number = value if self.name == self.parameter.name else rescale(value, leader, self.axis.interval)
        # Samplers may return NumPy numbers.
        return repr(int(number) if isinstance(self.axis.interval, IntDistribution) else float(number))

    def recorded(self) -> Axis:
        """The key's axis for the record."""
        tied_to = None if self.name == self.parameter.name else self.parameter.name
        if self.parameter.texts is not None:
            return Axis(self.name, self.axis.texts or (), tied_to=tied_to, when=self.parameter.when)
        assert self.axis.interval is not None
        low, high, step = self.axis.interval.low, self.axis.interval.high, self.axis.interval.step
        is_int = isinstance(self.axis.interval, IntDistribution)
        return Axis(self.name, (), low, high, self.axis.interval.log, is_int, step, tied_to, self.parameter.when)


class SearchSpace:
    """The search space of a sweep.

    Attributes:
        fixed: overrides of every trial, as typed.
        parameters: in the order typed.
        seeds: the seeds over which a grid averages each setting, if they are listed; they are no parameter.
        is_grid: whether every axis is a list, so that the sweep runs each point once; an interval makes it a search.
    """

    def __init__(
        self, fixed: list[str], keys: Sequence[_Key], is_grid: bool, seeds: tuple[int, ...] | None = None
    ) -> None:
        self.fixed, self.seeds = fixed, seeds
        self.is_grid = is_grid
        self._keys = keys
        self._by_name = {key.parameter.name: key.parameter for key in keys}
        self.parameters = list(self._by_name.values())
        # A parameter has more conditions than its parents: theirs and one of its own.
        self._parents_first = sorted(self.parameters, key=lambda parameter: len(parameter.when))
        shuffled = {key.parameter.name for key in keys if key.axis.is_shuffled}
        self._order = {name: _choose_order(self._by_name[name], name in shuffled) for name in self._by_name}

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
        """Parse the space of a command line.

        Args:
            overrides: in Hydra's syntax, without those of hydra itself.
            params: key -> the text after the equals sign, or a plain value, or a mapping with type (float, int,
                categorical), low, high, step, log, choices. An override of the same key replaces it.
            conditions: key -> other swept key -> the value, or list of values, at which the first key is swept; at
                other values it stays as configured. If there are several other keys, all must have such a value.
            ties: lists of keys that change together: lists item by item, intervals by the position between the bounds.
            config_loader: Hydra's, for glob().
            same: (key, value, text) -> an object that is equal for equal values of the key, each of which is tried
                once.

        Raises:
            ConfigError: naming the key, what was given and what is allowed.
        """
        fixed, axes = parse_overrides(overrides, params, config_loader)
        tied = {key.lstrip("+") for tie in ties for key in tie}
        axes = {key: axis if key.lstrip("+") in tied else _drop_repeated(key, axis, same) for key, axis in axes.items()}
        is_grid = all(axis.texts is not None for axis in axes.values())
        if not is_grid and SEED in {key.lstrip("+") for key in axes}:
            raise ConfigError("seed: a search does not choose seeds; sweep.seeds=3 averages over them")
        seeds = take_seeds(axes, ties, conditions)
        if seeds:  # the first seed is used wherever a setting has one run
            fixed = [*fixed, f"{SEED}={seeds[0]}"]
        groups = read_ties(axes, ties)
        when = read_conditions(groups, conditions)
        parents = {parent for conditions in when.values() for parent in conditions}
        parameters = {
            name: _make_parameter(name, group, when[name], is_grid or name in parents) for name, group in groups.items()
        }
        owners = {key: name for name, group in groups.items() for key in group}
        keys = [_Key(key, parameters[owners[key]], groups[owners[key]][key]) for key in axes]
        return cls(fixed, keys, is_grid, seeds)

    def grid(self) -> list[dict[str, Any]]:
        """All points of a grid in Hydra's order, the last key fastest; each once, without inactive parameters."""
        assert self.is_grid, "a search has no list of points"
        points: list[dict[str, Any]] = [{}]
        for parameter in self._parents_first:
            points = list(self._extend(points, parameter, self._order[parameter.name]))
        return sorted(points, key=self._rank)

    def choices(self, most: int) -> list[dict[str, Any]] | None:
        """All points if there are at most `most`; else None."""
        points: list[dict[str, Any]] = [{}]
        for parameter in self._parents_first:
            values = _list_values(parameter.distribution)
            if values is None or len(values) > most:
                return None
            points = list(itertools.islice(self._extend(points, parameter, values), most + 1))
            if len(points) > most:
                return None
        return points

    def _extend(
        self, points: Sequence[dict[str, Any]], parameter: Parameter, values: Sequence[Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield each point with each value of a further parameter; without it where it is not active."""
        for point in points:
            if self._is_active(parameter, point):
                yield from ({**point, parameter.name: value} for value in values)
            else:
                yield point

    def suggest(self, suggest: Callable[[str, BaseDistribution], Any]) -> dict[str, Any]:
        """A point with values from `suggest(name, distribution)`, called for active parameters, parents first."""
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
        """Points that test the whole space: each changes one parameter, and its parents if needed."""
        points = [self._make_point({})]
        for parameter in self.parameters:
            needed = {name: _find_choice(self._by_name[name], texts[0]) for name, texts in parameter.when.items()}
            ends = _list_ends(parameter.distribution)
            points += [self._make_point({**needed, parameter.name: value}) for value in ends]
        return list({tuple(point.items()): point for point in points}.values())

    def axes(self) -> list[Axis]:
        """The axes of all swept keys for the record; tied keys follow their leading key."""
        groups = [[key for key in self._keys if key.parameter is parameter] for parameter in self.parameters]
        # The leading key is first.
        ordered = (sorted(group, key=lambda key: (key.name != key.parameter.name, key.name)) for group in groups)
        return [key.recorded() for group in ordered for key in group]

    def describe(self) -> dict[str, str]:
        """Parameter -> a description of its values; see `axes.describe_axes`."""
        return describe_axes(self.axes())

    def _is_active(self, parameter: Parameter, point: Mapping[str, Any]) -> bool:
        return all(
            name in point and point[name] in [_find_choice(self._by_name[name], text) for text in texts]
            for name, texts in parameter.when.items()
        )

    def _make_point(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The point with the wanted values, and the first value of all other active parameters."""
        return self.suggest(lambda name, distribution: wanted.get(name, _list_ends(distribution)[0]))

    def _rank(self, point: Mapping[str, Any]) -> tuple[int, ...]:
        """The position of a point in Hydra's order, with the first value of inactive parameters."""
        return tuple(order.index(point[name]) if name in point else 0 for name, order in self._order.items())


def _drop_repeated(key: str, axis: Values, same: Callable[[str, Any, str], Hashable]) -> Values:
    """The axis with each value once; warns of repeated values."""
    distinct = axis.unique(lambda value, text: same(key, value, text))
    if axis.texts is not None and distinct.texts is not None and len(distinct.texts) < len(axis.texts):
        log.warning(
            "%s=%s: a value is given more than once; each is run once (%s)",
            key,
            ",".join(axis.texts),
            ",".join(distinct.texts),
        )
    return distinct


def _make_parameter(name: str, group: Group, when: Conditions, must_be_list: bool) -> Parameter:
    """Make a parameter: a list becomes a categorical distribution, and so does a range if `must_be_list`."""
    axis = group[name]
    if axis.interval is not None and (axis.texts is None or not (must_be_list or len(group) > 1)):
        return Parameter(name, axis.interval, None, when)
    assert axis.values is not None
    assert axis.texts is not None
    are_numbers = all(type(value) in (int, float) and math.isfinite(value) for value in axis.values)
    # A sampler, and a reader of the study, can use numbers better than texts; but 2 and 2.0 would be equal.
    choices = axis.values if are_numbers and len(set(axis.values)) == len(axis.values) else axis.texts
    return Parameter(name, CategoricalDistribution(choices), axis.texts, when)


def _choose_order(parameter: Parameter, is_shuffled: bool) -> list[Any]:
    """The order of the choices in a grid. The distribution keeps the order typed, so that a study can be continued."""
    if not isinstance(parameter.distribution, CategoricalDistribution):
        return []
    choices = list(parameter.distribution.choices)
    return random.sample(choices, len(choices)) if is_shuffled else choices


def _find_choice(parameter: Parameter, text: str) -> Any:
    assert isinstance(parameter.distribution, CategoricalDistribution)
    assert parameter.texts is not None
    return parameter.distribution.choices[parameter.texts.index(text)]


def _list_values(distribution: BaseDistribution) -> Sequence[Any] | None:
    """All values of a parameter; None for real numbers without a step."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution)
    if (step := distribution.step) is None:
        return None
    last = round((distribution.high - distribution.low) / step)
    return [min(distribution.low + index * step, distribution.high) for index in range(last + 1)]


def _list_ends(distribution: BaseDistribution) -> tuple[Any, ...]:
    """All choices of a list, or both bounds of an interval."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, Interval)
    return distribution.low, distribution.high
