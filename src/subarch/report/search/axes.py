"""Axes that metrics, parameters and the trials' order share in all figures of a search.

A value stands at a position: itself, its decimal logarithm, or the index of a choice. A trial without the value
(an inactive parameter) stands in a lane of its own, "none", below the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from subarch.report import numbers
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Parameter, Search, Trial

TRIAL = "trial"
_LANE = 0.12


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where the values of one metric or parameter stand, from `low` to `high`; `ticks` are positions and texts."""

    key: str
    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False
    lane: float | None = None
    """The position of the lane of trials without a value; None where there is no such lane."""
    places: tuple[str, ...] = ()
    """The names of the choices, in the order in which they stand."""
    metric: Metric | None = None
    parameter: Parameter | None = None
    fixed: bool = True
    """Whether its ticks must be given, because positions are not values."""

    def position(self, trial: Trial) -> float | None:
        """Where the trial stands; None where it has no place on this axis."""
        value = self.value(trial)
        if value is None:
            return self.lane
        if self.places:
            return float(self.places.index(str(value))) if str(value) in self.places else self.lane
        if not isinstance(value, Real) or (self.log and float(value) <= 0):
            return self.lane
        return math.log10(float(value)) if self.log else self.factor * float(value)

    def value(self, trial: Trial) -> Any:
        """What the trial has here: a metric's value, a parameter's, its number."""
        if self.metric is not None:
            return trial.metrics.get(self.metric.name)
        if self.parameter is not None:
            return trial.params.get(self.parameter.name)
        return trial.number

    @property
    def factor(self) -> int:
        """What values are multiplied by to be shown: 100 for a share of one."""
        return self.metric.factor if self.metric is not None else 1

    @property
    def bottom(self) -> float:
        """The lowest position in use, the lane included."""
        return self.low if self.lane is None else self.lane


def metric_axis(metric: Metric, trials: Sequence[Trial]) -> Axis:
    """The axis of a metric's values, its threshold included; there is no lane."""
    shown = [metric.factor * t.metrics[metric.name] for t in trials if metric.name in t.metrics]
    shown += [metric.factor * metric.threshold] if metric.threshold is not None else []
    low, high = _range(shown)
    texts = [(tick, metric.written(tick / metric.factor)) for tick in round_numbers(low, high)]
    return Axis(
        key=f"metric {metric.name}",
        label=metric.label,
        low=low,
        high=high,
        ticks=tuple(texts),
        metric=metric,
        fixed=False,
    )


def parameter_axis(parameter: Parameter, trials: Sequence[Trial]) -> Axis:
    """The axis of a parameter: choices in their order, else numbers, on a logarithmic scale where it has one."""
    values = [t.params[parameter.name] for t in trials if parameter.name in t.params]
    missing = len(values) < len(trials)
    if parameter.kind == "choice" or not all(isinstance(v, Real) and not isinstance(v, bool) for v in values):
        return _choices(parameter, values, missing=missing)
    log = parameter.log and bool(values) and min(values) > 0
    low, high = _range([math.log10(v) if log else float(v) for v in values])
    whole = parameter.kind == "int"
    ticks = _log_ticks(low, high, whole=whole) if log else _ticks(low, high, whole=whole)
    return Axis(
        key=f"parameter {parameter.name}",
        label=parameter.label,
        low=low,
        high=high,
        log=log,
        **_with_lane(low, high, ticks, missing=missing),
        parameter=parameter,
    )


def trial_axis(search: Search) -> Axis:
    """The trials in the order in which they were begun."""
    low, high = _range([float(trial.number) for trial in search.trials])
    ticks = tuple(_ticks(low, high, whole=True))
    return Axis(key=TRIAL, label="trial", low=low, high=high, ticks=ticks, fixed=False)


def all_axes(search: Search, trials: Sequence[Trial]) -> list[Axis]:
    """Objectives, constraints and stored metrics, then parameters by their importance, the inert ones last."""
    roles = ("objective", "constraint", "stored")
    metrics = sorted(search.metrics, key=lambda metric: roles.index(metric.role) if metric.role in roles else 3)
    known = [metric for metric in metrics if any(metric.name in trial.metrics for trial in trials)]
    weights: dict[str, float] = {}
    for metric in search.objectives:
        for row in search.importance.get(metric.name, []):
            name = str(row.get("parameter"))
            weights[name] = max(weights.get(name, 0.0), float(row.get("importance", 0.0)))
    ranked = sorted(search.parameters, key=lambda p: (p.name in search.inert, -weights.get(p.name, 0.0)))
    used = [parameter for parameter in ranked if any(parameter.name in trial.params for trial in trials)]
    return [
        *(metric_axis(metric, trials) for metric in known),
        *(parameter_axis(parameter, trials) for parameter in used),
    ]


def round_numbers(low: float, high: float, at_most: int = 6) -> list[float]:
    """Round numbers within [low, high], two at least where the range is not empty."""
    if high <= low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / at_most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * step) <= at_most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _choices(parameter: Parameter, values: Sequence[Any], *, missing: bool) -> Axis:
    places = list(dict.fromkeys(map(str, [*parameter.choices, *values]))) or [""]
    high = max(len(places) - 1, 1)
    ticks = [(float(index), _shortened(place)) for index, place in enumerate(places)]
    return Axis(
        key=f"parameter {parameter.name}",
        label=parameter.label,
        low=0.0 if len(places) > 1 else -1.0,
        high=float(high),
        places=tuple(places),
        **_with_lane(0.0, float(high), ticks, missing=missing),
        parameter=parameter,
    )


def _shortened(text: str, length: int = 14) -> str:
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def _with_lane(low: float, high: float, ticks: Sequence[tuple[float, str]], *, missing: bool) -> dict[str, Any]:
    if not missing:
        return {"ticks": tuple(ticks)}
    lane = low - _LANE * (high - low)
    return {"ticks": ((lane, "none"), *ticks), "lane": lane}


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest; a single value gets room on both sides."""
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    room = max(0.05 * abs(low), 1e-9) if low == high else 0.0
    return low - room, high + room


def _ticks(low: float, high: float, *, whole: bool) -> list[tuple[float, str]]:
    found = round_numbers(low, high)
    kept = [tick for tick in found if tick == int(tick)] or [round(low)] if whole else found
    return [(tick, f"{tick:g}" if abs(tick) < 1e5 else numbers.count(tick)) for tick in kept]


def _log_ticks(low: float, high: float, *, whole: bool) -> list[tuple[float, str]]:
    """Round numbers of a logarithmic axis from 10^low to 10^high: some of each power, or powers alone."""
    narrow = ((0.7, (1, 2, 3, 4, 5, 7)), (2.1, (1, 2, 5)), (4, (1, 3)))
    factors = next((factors for width, factors in narrow if high - low < width), (1,))
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**power for power in powers for factor in factors]
    shown = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    if len(shown) < 2:
        shown = [10**low, 10**high]
    every = math.ceil(len(shown) / 8)
    kept = [value for value in shown[::every] if not whole or value >= 1]
    return [(math.log10(value), _power(value)) for value in kept]


def _power(value: float) -> str:
    """`1e-5` and `0.001` rather than `1e-05`."""
    if 1e-3 <= value < 1e5:
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"
