"""Parse the user's overrides in Hydra's syntax: fixed overrides, and the values of swept keys."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
    Transformer,
)
from hydra.errors import HydraException
from optuna.distributions import FloatDistribution, IntDistribution

from rlhf_sweeps.config.choices import list_choices
from rlhf_sweeps.config.fields import ConfigError

Interval = FloatDistribution | IntDistribution
# Keys of a parameter that is given as a mapping: the required and the optional ones.
BOUNDS = ({"low", "high"}, {"step", "log"})
KEYS = {"float": BOUNDS, "int": BOUNDS, "categorical": ({"choices"}, set[str]())}
# A longer range is a typing error, or should be an interval; to list it would take too long. Chosen.
LONGEST_RANGE = 1_000_000


@dataclass(frozen=True)
class Values:
    """The possible values of a swept key.

    Attributes:
        values: the items of a list, in the order typed, also equal ones; None for an interval.
        texts: Hydra's texts of the same items; None for an interval.
        interval: the distribution that a search draws from; None for lists, except for a range that is not shuffled.
        is_shuffled: whether a grid goes through the list in random order.
    """

    values: tuple[Any, ...] | None = None
    texts: tuple[str, ...] | None = None
    interval: Interval | None = None
    is_shuffled: bool = False

    def unique(self, same: Callable[[Any, str], Hashable] = lambda value, text: text) -> "Values":
        """Each value of a list once; of equal ones the first.

        Args:
            same: (value, text) -> an object that is equal for equal values; by default the text.
        """
        if self.texts is None or self.values is None:
            return self
        items: dict[Hashable, tuple[str, Any]] = {}
        for text, value in zip(self.texts, self.values, strict=True):
            items.setdefault(same(value, text), (text, value))
        return replace(self, texts=tuple(t for t, _ in items.values()), values=tuple(v for _, v in items.values()))


def parse_overrides(
    overrides: Sequence[str], params: Mapping[str, Any], config_loader: ConfigLoader | None
) -> tuple[list[str], dict[str, Values]]:
    """Return the overrides that are not swept, as typed, and key -> values of the others, in Hydra's order.

    Args:
        overrides: of the command line.
        params: key -> values of hydra.sweeper.params; overrides replace them.
        config_loader: Hydra's, for glob(); None: glob() is refused.

    Raises:
        ConfigError: naming the key, what was given and what is allowed.
    """
    defaults = [_read_param(key, value, config_loader) for key, value in params.items()]
    typed = [_read_override(line, config_loader) for line in overrides]
    keys, names = {key for key, _ in typed}, {_strip_plus(key) for key, _ in typed}
    # As in Hydra, an override replaces the entry of params, and takes its place.
    given = [(key, entry) for key, entry in defaults if key in keys or _strip_plus(key) not in names]
    merged = dict([*given, *typed])
    counts = Counter(_strip_plus(key) for key, _ in typed)
    counts.update(_strip_plus(key) for key, _ in given if key not in keys)
    for key, entry in [*typed, *merged.items()]:
        if isinstance(entry, Values) and counts[_strip_plus(key)] > 1:
            raise ConfigError(f"{key}: given {counts[_strip_plus(key)]} times; a key that is swept must be given once")
    fixed = [entry for entry in merged.values() if isinstance(entry, str)]
    return fixed, {key: entry for key, entry in merged.items() if isinstance(entry, Values)}


def to_text(value: Any) -> str:
    """Hydra's text for a value; Hydra parses it to exactly this value."""
    return str(Transformer.str(_quote(value)))


def rescale(value: float, source: Interval, target: Interval) -> float:
    """The number between the target's bounds at the same relative position as the value between the source's bounds."""
    width = source.high - source.low
    position = (value - source.low) / width if width else 0.0
    if source.log and width:
        position = math.log(value / source.low) / math.log(source.high / source.low)
    number: float = target.low + position * (target.high - target.low)
    if target.log:
        number = target.low * (target.high / target.low) ** position
    if target.step is not None:
        steps = round((number - target.low) / target.step)
        number = float(_to_decimal(target.low) + steps * _to_decimal(target.step))
    number = min(max(number, target.low), target.high)
    return int(number) if isinstance(target, IntDistribution) else number


def _strip_plus(key: str) -> str:
    """A key without Hydra's plus signs; ~ stays, since a deletion differs from the key itself."""
    return key.lstrip("+")


def _read_param(key: str, value: Any, config_loader: ConfigLoader | None) -> tuple[str, Values | str]:
    if isinstance(value, Mapping):
        return key, _read_mapping(f"{key}={dict(value)}", value)
    return _read_override(f"{key}={value if isinstance(value, str) else to_text(value)}", config_loader)


def _read_override(line: str, config_loader: ConfigLoader | None) -> tuple[str, Values | str]:
    try:
        override = OverridesParser.create().parse_override(line)
        override.config_loader = config_loader
        axis = _read_sweep(line, override) if override.is_sweep_override() else line
    except ConfigError:
        raise
    # Hydra does not wrap the errors of casts and ranges.
    except (HydraException, ValueError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{line}: must be an override in Hydra's syntax ({reason})") from error
    return override.get_key_element(), axis


def _read_sweep(given: str, override: Override) -> Values:
    match sweep := override.value():
        case IntervalSweep(start=float() | int() as low, end=float() | int() as high):
            is_int, is_log, step = _read_tags(given, sweep.tags)
            # int(interval(1, 10)) has integer bounds.
            is_int = is_int or (isinstance(low, int) and isinstance(high, int))
            return Values(interval=_make_interval(given, low, high, step, is_log, is_int))
        case RangeSweep():
            return _read_range(given, sweep)
        case ChoiceSweep():
            if sweep.tags:
                raise ConfigError(f"{given}: a list takes no tags (given: {', '.join(sorted(sweep.tags))})")
            return _read_list(given, sweep.list, sweep.shuffle)
        case Glob():
            if override.config_loader is None:
                raise ConfigError(f"{given}: there are no config groups here; must be a list of names")
            return _read_list(given, sweep.filter(list_choices(override.config_loader, override.key_or_group)))
    raise AssertionError(sweep)


def _read_list(given: str, values: Iterable[Any], is_shuffled: bool = False) -> Values:
    values = tuple(values)
    if not values:
        raise ConfigError(f"{given}: holds no value; must hold at least one")
    if any(isinstance(value, Sweep | Glob) for value in values):
        raise ConfigError(f"{given}: must hold plain values, not sweeps within a sweep")
    plain = tuple(value.text if isinstance(value, QuotedString) else value for value in values)
    return Values(plain, tuple(map(to_text, values)), is_shuffled=is_shuffled)


def _read_range(given: str, sweep: RangeSweep) -> Values:
    is_int, is_log, step_tag = _read_tags(given, sweep.tags)
    if step_tag is not None:
        raise ConfigError(f"{given}: a range has its step as third argument, not as a tag")
    assert sweep.start is not None
    assert sweep.stop is not None
    start, stop, step = sweep.start, sweep.stop, sweep.step
    if not all(map(math.isfinite, (start, stop, step))) or step == 0:
        raise ConfigError(f"{given}: must have finite bounds and a step other than 0")
    if is_int:
        start, stop, step = (_to_int(given, number) for number in (start, stop, step))
    if (stop - start) / step > LONGEST_RANGE:
        raise ConfigError(f"{given}: holds more than {LONGEST_RANGE} values; must be shorter, or an interval")
    listed = _read_list(given, RangeSweep(start=start, stop=stop, step=step).range(), sweep.shuffle)
    # A search counts in decimals, as typed; in binary, range(0,2.1,0.7) would contain its stop.
    exact_start, exact_step = _to_decimal(start), _to_decimal(step)
    num_steps = math.ceil((_to_decimal(stop) - exact_start) / exact_step) - 1
    exact_last = exact_start + num_steps * exact_step
    is_int = all(isinstance(number, int) for number in (start, stop, step))
    last = int(exact_last) if is_int else float(exact_last)
    if sweep.shuffle or _to_decimal(last) != exact_last:
        return listed
    low, high = sorted((start, last))
    return Values(listed.values, listed.texts, _make_interval(given, low, high, abs(step), is_log, is_int))


def _read_mapping(given: str, content: Mapping[str, Any]) -> Values:
    """`{type: float|int, low:, high:, step:, log:}` or `{type: categorical, choices: [...]}`."""
    kind = content.get("type")
    if kind not in KEYS:
        raise ConfigError(f"{given}: its type must be one of {', '.join(KEYS)}")
    required, optional = KEYS[kind]
    keys = set(content) - {"type"}
    if not required <= keys <= required | optional:
        allowed = " and ".join(sorted(required)) + "".join(f", perhaps {key}" for key in sorted(optional))
        raise ConfigError(f"{given}: with type {kind} it must have {allowed}")
    if kind == "categorical":
        if not isinstance(content["choices"], list | tuple):
            raise ConfigError(f"{given}: its choices must be a list")
        return _read_list(given, content["choices"])
    low, high, step, is_log = content["low"], content["high"], content.get("step"), content.get("log", False)
    if any(type(number) not in (int, float) for number in (low, high, 1 if step is None else step)):
        raise ConfigError(f"{given}: its {', '.join(sorted(keys - {'log'}))} must be numbers")
    if not isinstance(is_log, bool):
        raise ConfigError(f"{given}: its log must be true or false")
    return Values(interval=_make_interval(given, low, high, step, is_log, kind == "int"))


def _read_tags(given: str, tags: Iterable[str]) -> tuple[bool, bool, float | None]:
    """Whether tagged int, whether tagged log, and the step (written step:0.5 or 'step=0.5') or None."""
    step = None
    for tag in sorted(set(tags) - {"int", "log"}):
        name, _, number = tag.replace("=", ":").partition(":")
        try:
            if name.strip() != "step" or step is not None:
                raise ValueError
            step = float(number)
        except ValueError:
            raise ConfigError(f"{given}: has the tag {tag}; allowed are int, log and one step:<number>") from None
    return "int" in tags, "log" in tags, step


def _make_interval(given: str, low: float, high: float, step: float | None, is_log: bool, is_int: bool) -> Interval:
    """The distribution from low to high, both included; with a step, up to the last value that the steps reach."""
    if not all(map(math.isfinite, (low, high))) or low > high:
        raise ConfigError(f"{given}: must have finite bounds, the lower one first")
    if is_log and low <= 0:
        raise ConfigError(f"{given}: with log, the lower bound must be > 0")
    if step is not None and not 0 < step < math.inf:
        raise ConfigError(f"{given}: the step must be > 0")
    if is_log and step not in ((None, 1) if is_int else (None,)):
        raise ConfigError(f"{given}: log and a step exclude each other")
    if is_int:
        low, high, step = _to_int(given, low), _to_int(given, high), _to_int(given, step or 1)
        # Optuna warns about a bound that no step reaches.
        return IntDistribution(low, high - (high - low) % step, log=is_log, step=step)
    if step is not None:
        last = _to_decimal(low) + (_to_decimal(high) - _to_decimal(low)) // _to_decimal(step) * _to_decimal(step)
        high = float(last)
        # Otherwise Optuna would take the value before it as the last.
        if _to_decimal(high) != last:
            raise ConfigError(f"{given}: has too many digits for a step; bounds and step must have fewer")
    return FloatDistribution(low, high, log=is_log, step=step)


def _to_int(given: str, number: float) -> int:
    if number != int(number):
        raise ConfigError(f"{given}: must have whole numbers, as it is of type int (given: {number})")
    return int(number)


def _to_decimal(number: float) -> Decimal:
    """The number as the decimal that is written, not as its binary fraction."""
    return Decimal(str(number))


def _quote(value: Any) -> Any:
    """The value, with quotes around strings that Hydra would otherwise parse as something else."""
    if isinstance(value, list | tuple):
        return [_quote(item) for item in value]
    if isinstance(value, dict):
        return {key: _quote(item) for key, item in value.items()}
    # Hydra's functions drop quotes: choice('1','null') holds strings that look like a number and a null.
    return value if not isinstance(value, str) or _is_parsed_as_text(value) else QuotedString(value, Quote.single)


def _is_parsed_as_text(text: str) -> bool:
    try:
        # Parsed in a list, since an empty text is a valid override on its own but no item of a list.
        parsed = OverridesParser.create().parse_override(f"key=[{Transformer.str(text)}]").value()
    except HydraException:
        return False
    return isinstance(parsed, list) and [(type(item), item) for item in parsed] == [(str, text)]
