"""A swept key as data: its possible values, the position of a value among them, tied keys, and conditions."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LIST, INTERVAL, UNKNOWN = "list", "interval", "unknown"


@dataclass(frozen=True)
class Axis:
    """One swept key.

    Attributes:
        name: the Hydra key as typed, such as ppo.lr, reward_model or +x.
        choices: the values of a list, as Hydra's texts, in the order typed; empty for an interval.
        low, high: the bounds of an interval; 0 and 1 for a list; nan if the possible values are unknown.
        is_log: whether positions are on a logarithmic scale.
        is_int: whether an interval holds whole numbers only.
        step: the distance between an interval's values, from the low bound on; None: any value between the bounds.
        tied_to: the name of the axis whose index or value this axis shares; None for an independent axis.
        when: parameter -> the values of it at which this axis is swept; empty: always.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    is_int: bool = False
    step: float | None = None
    tied_to: str | None = None
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """LIST, INTERVAL, or UNKNOWN if the record does not tell the possible values."""
        if self.choices:
            return LIST
        return UNKNOWN if math.isnan(self.low) or math.isnan(self.high) else INTERVAL

    @property
    def key(self) -> str:
        """The Hydra key without plus signs."""
        return self.name.lstrip("+")

    @property
    def parameter(self) -> str:
        """The axis's name in the study: tied keys share the name of the first one."""
        return self.tied_to or self.name

    @property
    def is_seed(self) -> bool:
        """Whether the axis is the seed of a run, which belongs to no setting."""
        return self.key == "seed"

    @property
    def is_interval(self) -> bool:
        """Whether it is drawn from an interval rather than from a list."""
        return self.kind == INTERVAL

    @property
    def is_numeric(self) -> bool:
        """Whether the values have an order: an interval, or a list of numbers."""
        return self.is_interval or all(as_number(text) is not None for text in self.choices)

    @property
    def is_single(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.choices) == 1 or (self.is_interval and self.low == self.high)

    def position(self, text: str | None) -> float:
        """The position of a value: 0 at the low bound, 1 at the high bound; for a choice without order, its index.

        It is nan if the value is unknown.

        Args:
            text: as the user would type it.
        """
        if text is None:
            return math.nan
        if not self.is_numeric:
            return float(self.choices.index(text)) if text in self.choices else math.nan
        value = as_number(text)
        if value is None or self.low == self.high or (self.is_log and value <= 0):
            return 0.5 if value is not None and self.low == self.high else math.nan
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def value(self, position: float) -> float:
        """The number at a position; the inverse of `position` for an axis of numbers."""
        if self.is_log:
            return float(self.low * (self.high / self.low) ** position)
        return float(self.low + position * (self.high - self.low))

    @property
    def text(self) -> str:
        """The possible values in Hydra's syntax; one spelling for all ways to write the same axis."""
        if not self.is_interval:
            return f"choice({','.join(self.choices)})"
        tags = ["int"] * self.is_int + ["log"] * self.is_log
        # Whole numbers have a step of 1 anyway.
        if self.step is not None and not (self.is_int and self.step == 1):
            tags.append(f"step:{self.step!r}")
        text = f"interval({self.low!r},{self.high!r})"
        return f"tag({','.join(tags)},{text})" if tags else text


def as_number(text: Any) -> float | None:
    """The number that a text stands for; None for any other text, such as true."""
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):  # a whole number of hundreds of digits
        return None
    return value if math.isfinite(value) else None


def describe_axes(axes: Iterable[Axis]) -> dict[str, str]:
    """Parameter -> its search space as text. Two search spaces are the same if and only if these texts are equal."""
    axes = list(axes)
    described = {}
    for axis in axes:
        if axis.tied_to is None:
            others = sorted((tied for tied in axes if tied.tied_to == axis.name), key=lambda tied: tied.name)
            ties = "".join(f" with {tied.name}={tied.text}" for tied in others)
            needs = " and ".join(f"{name}={','.join(texts)}" for name, texts in sorted(axis.when.items()))
            described[axis.name] = axis.text + ties + (f" if {needs}" if needs else "")
    return described


def as_data(axes: Iterable[Axis]) -> list[dict[str, Any]]:
    """Axes as the record keeps them; `read_axes` reads them."""
    return [_as_data(axis) for axis in axes]


def _as_data(axis: Axis) -> dict[str, Any]:
    content: dict[str, Any] = {"key": axis.name, "kind": axis.kind}
    if axis.kind == LIST:
        content["choices"] = list(axis.choices)
    if axis.kind == INTERVAL:
        content |= {"low": axis.low, "high": axis.high, "log": axis.is_log, "int": axis.is_int, "step": axis.step}
    return content | {"tied_to": axis.tied_to, "when": {name: list(texts) for name, texts in axis.when.items()}}


def read_axes(content: Any) -> tuple[Axis, ...]:
    """The axes in a record; damaged entries are read as far as possible."""
    entries = content if isinstance(content, list) else []
    sound = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("key"), str)]
    leaders = {entry["key"] for entry in sound if entry.get("tied_to") is None}
    return tuple(_read(entry, leaders) for entry in sound)


def _read(entry: Mapping[str, Any], leaders: Collection[str]) -> Axis:
    name, when, leader = entry["key"], entry.get("when"), entry.get("tied_to")
    tied_to = leader if isinstance(leader, str) and leader in leaders else None
    needs = {str(parent): _as_texts(texts) for parent, texts in when.items()} if isinstance(when, dict) else {}
    if choices := _as_texts(entry.get("choices")):
        return Axis(name, choices, tied_to=tied_to, when=needs)
    low, high, step = (_as_number(entry.get(bound)) for bound in ("low", "high", "step"))
    if low is None or high is None:
        return Axis(name, (), math.nan, math.nan, tied_to=tied_to, when=needs)
    is_log = bool(entry.get("log")) and low > 0
    return Axis(name, (), low, high, is_log, bool(entry.get("int")), step, tied_to, needs)


def _as_texts(content: Any) -> tuple[str, ...]:
    return tuple(map(str, content)) if isinstance(content, Sequence) and not isinstance(content, str) else ()


def _as_number(value: Any) -> float | None:
    """A finite number, unchanged: whole numbers stay whole."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and as_number(value) is not None else None
