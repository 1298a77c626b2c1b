"""One dimension of a search: numbers, whole numbers, or a choice.

Each knows its values' places in the unit interval, so that sampling, quasi-random points, the encoding and local moves
agree about scales and grids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from subarch.errors import ConfigError

Value = float | int | str | bool
Params = Mapping[str, Value]
Kind = Literal["numeric", "ordinal", "category", "activity"]
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Float:
    """Numbers from `low` to `high`, uniform or uniform in their logarithm.

    Raises:
        ConfigError: An empty or unbounded range, or a logarithm of what is not above zero.
    """

    low: float
    high: float
    log: bool = False

    kind: ClassVar[Kind] = "numeric"
    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    @property
    def size(self) -> int | None:
        """How many values there are; None for a continuum."""
        return 1 if self.low == self.high else None

    def from_unit(self, u: float) -> float:
        """The value at the share u of the range, u in [0, 1]."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        return float(min(max(value, self.low), self.high))

    def encode(self, values: Sequence[Value]) -> Array:
        """Shares of the range, shape (values, 1)."""
        return _scaled(np.asarray(values, dtype=float), self.low, self.high, self.log)[:, None]

    def place(self, value: Value) -> float:
        """`encode` of one value, without an array."""
        return _place(float(value), self.low, self.high, self.log)

    def accept(self, value: object) -> float | None:
        """The value as this parameter holds it; None where it cannot be one."""
        return float(value) if is_number(value) and self.low <= value <= self.high else None

    def moved(self, value: Value, rng: np.random.Generator, scale: float) -> float:
        """A normal step with a standard deviation of `scale` of the range, reflected at its ends."""
        return self.from_unit(_reflected(self.place(value) + scale * rng.standard_normal()))

    def to_json(self) -> dict[str, Any]:
        """The table that `Domain.parse` reads as this parameter."""
        return {"low": float(self.low), "high": float(self.high), "log": self.log}

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Int:
    """Whole numbers `low`, `low + step`, … up to `high`.

    Raises:
        ConfigError: An empty range, bounds that are not whole, a step below 1 or together with `log`.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    kind: ClassVar[Kind] = "ordinal"
    width: ClassVar[int] = 1

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        for name in ("low", "high", "step"):
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected a whole number")
        if self.step < 1:
            raise ConfigError(f"step is {self.step}, expected 1 or more")
        if self.log and self.step != 1:
            raise ConfigError(f"step is {self.step} on a log scale, expected 1", "list the values as choices")

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def top(self) -> int:
        """The largest value; below `high` where the step does not reach it."""
        return self.low + (self.size - 1) * self.step

    def from_unit(self, u: float) -> int:
        """The value whose bin holds u in [0, 1]; bins are equally wide, or as wide as in the logarithm."""
        if not self.log:
            return self.low + min(int(u * self.size), self.size - 1) * self.step
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(low + u * (high - low))), self.low), self.high)

    def encode(self, values: Sequence[Value]) -> Array:
        """Shares of the range, shape (values, 1)."""
        return _scaled(np.asarray(values, dtype=float), self.low, self.top, self.log)[:, None]

    def place(self, value: Value) -> float:
        """`encode` of one value, without an array."""
        return _place(float(value), self.low, self.top, self.log)

    def accept(self, value: object) -> int | None:
        """The value as this parameter holds it; None where it cannot be one."""
        if not is_number(value) or value != int(value) or not self.low <= value <= self.high:
            return None
        return int(value) if (int(value) - self.low) % self.step == 0 else None

    def moved(self, value: Value, rng: np.random.Generator, scale: float) -> int:
        """The grid's value nearest to a normal step of `scale` of the range; another one than `value`."""
        change = scale * float(rng.standard_normal())
        place = _reflected(self.place(value) + change)
        if self.log:
            target = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        else:
            target = self.low + place * (self.top - self.low)
        now = (int(value) - self.low) // self.step
        return self.low + _other(now, round((target - self.low) / self.step), self.size, change) * self.step

    def to_json(self) -> dict[str, Any]:
        """The table that `Domain.parse` reads as this parameter."""
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A few values. Ordered ones lie on a line at equal distances, in the order given; others are all equally far.

    Raises:
        ConfigError: No values, equal ones, or some that are neither a text, a finite number nor true or false.
    """

    values: tuple[Value, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise ConfigError("no choices, expected at least one")
        seen = set()
        for value in self.values:
            if not isinstance(value, (str, bool)) and not is_number(value):
                raise ConfigError(f"the choice {value!r} is no text, finite number, true or false")
            if exact(value) in seen:
                raise ConfigError(f"the choice {value!r} is listed twice")
            seen.add(exact(value))

    @property
    def kind(self) -> Kind:
        """How the encoding treats it."""
        return "ordinal" if self.ordered else "category"

    @property
    def width(self) -> int:
        """Features of the encoding."""
        return 1 if self.ordered else len(self.values)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def from_unit(self, u: float) -> Value:
        """The value whose share holds u in [0, 1]; shares are equally wide."""
        return self.values[min(int(u * self.size), self.size - 1)]

    def encode(self, values: Sequence[Value]) -> Array:
        """Places in [0, 1], shape (values, 1), or one-hot rows, shape (values, choices)."""
        places = {exact(value): index for index, value in enumerate(self.values)}
        indices = np.array([places[exact(value)] for value in values], dtype=int)[:, None]
        if self.ordered:
            return np.asarray(indices / max(1, self.size - 1), dtype=float)
        return np.asarray(indices == np.arange(self.size), dtype=float)

    def accept(self, value: object) -> Value | None:
        """The value as this parameter holds it; None where it cannot be one."""
        return next((own for own in self.values if exact(own) == exact(value)), None)

    def moved(self, value: Value, rng: np.random.Generator, scale: float) -> Value:
        """Another value: along the line by about `scale` of it where ordered, else any."""
        now = [exact(own) for own in self.values].index(exact(value))
        if not self.ordered:
            return self.values[(now + 1 + int(rng.integers(max(1, self.size - 1)))) % self.size]
        last = max(1, self.size - 1)
        change = scale * float(rng.standard_normal())
        return self.values[_other(now, round(_reflected(now / last + change) * last), self.size, change)]

    def to_json(self) -> dict[str, Any]:
        """The table that `Domain.parse` reads as this parameter."""
        return {"choices": list(self.values), "ordered": self.ordered}

    def __str__(self) -> str:
        return f"one of {', '.join(repr(value) for value in self.values)}"


Parameter = Float | Int | Choice


def is_number(value: Any) -> TypeGuard[float]:
    """A finite number; true and false are none."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def exact(value: object) -> tuple[bool, object]:
    """A key under which 1 and 1.0 are the same, and 1 and true are not."""
    return isinstance(value, bool), value


def _check_range(low: Any, high: Any, log: bool) -> None:
    for name, value in (("low", low), ("high", high)):
        if not is_number(value):
            raise ConfigError(f"{name} is {value!r}, expected a finite number")
    if low > high:
        raise ConfigError(f"the range from {low:g} to {high:g} is empty")
    if log and low <= 0:
        raise ConfigError(f"a log scale from {low:g}, expected a start above zero")
    if not math.isfinite(float(high) - float(low)):
        raise ConfigError(f"the range from {low:g} to {high:g} is too wide")


def _scaled(values: Array, low: float, high: float, log: bool) -> Array:
    if low == high:
        return np.zeros_like(values)
    if log:
        values, low, high = np.log(values), math.log(low), math.log(high)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _place(value: float, low: float, high: float, log: bool) -> float:
    """`_scaled` of one value, to the last bit: an array of one takes many times as long, and local moves are many."""
    if low == high:
        return 0.0
    if log:
        # NumPy's logarithm, which is not always the standard library's.
        value, low, high = float(np.log(value)), math.log(low), math.log(high)
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _reflected(place: float) -> float:
    place = abs(place) % 2.0
    return 2.0 - place if place > 1.0 else place


def _other(now: int, target: int, size: int, change: float) -> int:
    """The target's index within [0, size); a neighbour of `now`, towards the change, where that is the same."""
    target = min(max(target, 0), size - 1)
    if target != now or size == 1:
        return target
    step = 1 if change > 0 else -1
    return now + step if 0 <= now + step < size else now - step
