"""The wall-clock promise: durations as people write them, deadlines, and a total handed out to stages.

Every duration is in seconds; clocks are monotonic and injectable, so that tests do not wait.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from subarch.errors import ConfigError, did_you_mean

Clock = Callable[[], float]

_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(
    rf"(?P<plain>{_NUMBER})|(?:(?P<d>{_NUMBER})d)?(?:(?P<h>{_NUMBER})h)?(?:(?P<m>{_NUMBER})m)?(?:(?P<s>{_NUMBER})s)?"
)
_SECONDS = {"plain": 1.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str) -> float:
    """Read `10m`, `90s`, `1h30m`, `1.5h`, `2d` or plain seconds (`600`).

    Returns:
        Seconds, above zero.

    Raises:
        ConfigError: The text is no duration, or is zero.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = {} if match is None else {unit: part for unit, part in match.groupdict().items() if part}
    seconds = sum(float(part) * _SECONDS[unit] for unit, part in parts.items())
    if seconds <= 0 or math.isinf(seconds):
        raise ConfigError(
            f"the duration is {text!r}, expected a time above zero such as 10m",
            "write 90s, 10m, 1h30m or 600",
        )
    return seconds


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A moment on a monotonic clock after which work should stop; `at` is infinite for no limit."""

    at: float
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        """The deadline `seconds` from now; None for never."""
        return cls(at=math.inf if seconds is None else clock() + seconds, clock=clock)

    def remaining(self) -> float:
        """Seconds left: never negative, infinite without a limit."""
        return max(0.0, self.at - self.clock())

    @property
    def expired(self) -> bool:
        """Whether the moment has come."""
        return self.clock() >= self.at

    def share(self, fraction: float) -> Deadline:
        """A deadline after `fraction` (0 to 1) of the seconds that remain now.

        Raises:
            ConfigError: `fraction` lies outside 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ConfigError(f"the share of a deadline is {fraction}, expected 0 to 1")
        if math.isinf(self.at):
            return self
        return Deadline(at=self.clock() + fraction * self.remaining(), clock=self.clock)


class Stopwatch:
    """Seconds spent under each name; a name measured twice adds up."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to `name`, also when the block raises."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - start


class Budget:
    """A total handed out to stages by weight.

    A stage gets its share of what *remains*, against the stages that are still to come; so what one stage
    leaves unused flows to the later ones, and what one overruns is taken from them.

    Args:
        total: Seconds for all stages together; None for no limit.
        weights: Stage name to relative weight (above zero).
        clock: A monotonic clock, seconds.

    Raises:
        ConfigError: A weight is not above zero.
    """

    def __init__(self, total: float | None, weights: Mapping[str, float], clock: Clock = time.monotonic) -> None:
        for stage, weight in weights.items():
            if not weight > 0:
                raise ConfigError(f"the weight of {stage} is {weight}, expected a number above zero")
        self.deadline = Deadline.after(total, clock)
        self._weights = dict(weights)
        self._pending = dict(weights)
        self._stopwatch = Stopwatch(clock)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds spent in each stage so far."""
        return self._stopwatch.seconds

    def skip(self, stage: str) -> None:
        """Leave a stage out, because it is not needed or was done before: its share goes to the others."""
        self._check(stage)
        self._pending.pop(stage, None)

    @contextmanager
    def stage(self, name: str, least: float = 0.0) -> Iterator[Deadline]:
        """Measure a stage, and yield the deadline of its share, or after `least` seconds where that is later.

        Raises:
            ConfigError: The plan has no such stage.
        """
        self._check(name)
        self._pending.pop(name, None)
        weight = self._weights[name]
        deadline = self.deadline.share(weight / (weight + sum(self._pending.values())))
        if deadline.remaining() < least:
            deadline = replace(deadline, at=deadline.clock() + least)
        with self._stopwatch.measure(name):
            yield deadline

    def _check(self, stage: str) -> None:
        if stage not in self._weights:
            raise ConfigError(f"the budget has no stage {stage!r}", did_you_mean(stage, self._weights))
