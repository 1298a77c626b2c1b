"""How long one answer takes: single inputs, in turn over all contestants, medians and spread.

Contestants take turns within every repeat, so that a slow moment of the machine hits all of them alike; the ratio of
two latencies is the median of the ratios within repeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from subarch.errors import ConfigError

Request = TypeVar("Request")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds per answer: the median over repeats of the mean over requests, with the quartiles."""

    median_ms: float
    low_ms: float
    high_ms: float
    rounds_ms: tuple[float, ...]

    def speedup_over(self, other: Latency) -> float:
        """How many times faster this one was than `other`, measured in turn with it: the median over repeats."""
        return float(np.median(np.asarray(other.rounds_ms) / np.asarray(self.rounds_ms)))


def measure_latency(
    contestants: Mapping[str, tuple[Callable[[Request], object], Sequence[Request]]],
    *,
    repeats: int = 15,
    warmup: int = 2,
    seconds: float | None = None,
) -> dict[str, Latency]:
    """Time every contestant on its own form of the same requests.

    Args:
        contestants: Name to (answer one request, the requests). All have equally many requests.
        repeats: Counted rounds; in each, every contestant answers all requests once.
        warmup: Rounds before, not counted.
        seconds: Stop after the round that passes this time (at least three rounds are counted).

    Raises:
        ConfigError: No contestants or no requests.
    """
    if not contestants or not all(requests for _, requests in contestants.values()):
        raise ConfigError("nothing to time: expected at least one model and one request")
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    start = time.monotonic()
    for number in range(warmup + repeats):
        for name, (call, requests) in contestants.items():
            begun = time.perf_counter()
            for request in requests:
                call(request)
            if number >= warmup:
                rounds[name].append((time.perf_counter() - begun) * 1000 / len(requests))
        if seconds is not None and number >= warmup + 2 and time.monotonic() - start > seconds:
            break
    return {name: _summary(values) for name, values in rounds.items()}


def _summary(values: Sequence[float]) -> Latency:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Latency(median_ms=float(median), low_ms=float(low), high_ms=float(high), rounds_ms=tuple(values))
