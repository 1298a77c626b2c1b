"""Parallel coordinates of the finished trials: one line each, metrics first, then parameters.

The page's script draws them as SVG and lets the reader brush. Plotly's own (`parcoords`) cannot hold a missing
value, needs WebGL, and compiles code at run time, which the page's content security policy forbids.
"""

from __future__ import annotations

from typing import Any

from subarch.report import numbers
from subarch.report.search.axes import Axis, all_axes
from subarch.report.search.classes import LABELS
from subarch.report.search.outcome import Search, Trial

_WIDTH = 13


def coordinates(search: Search) -> dict[str, Any] | None:
    """What the script draws: axes with ticks, and for each trial its places; None where there is nothing to compare.

    A place is a share of the axis' height from its bottom, in thousandths; a value that a trial does not have lies
    in the lane "none" at the bottom.
    """
    trials = [trial for trial in search.trials if trial.finished]
    axes = all_axes(search, trials)
    if not trials or len(axes) < 2:
        return None
    return {
        "axes": [_axis_data(axis) for axis in axes],
        "trials": [
            {
                "number": trial.number,
                "kind": trial.kind,
                "front": trial.number in search.front,
                "title": _title(search, trial),
                "at": [_place(axis, axis.position(trial)) for axis in axes],
            }
            for trial in trials
        ],
        "alt": f"Parallel coordinates of {len(trials)} trials: {', '.join(axis.label for axis in axes)}",
    }


def _axis_data(axis: Axis) -> dict[str, Any]:
    threshold = axis.metric.threshold if axis.metric is not None else None
    return {
        "label": wrapped(numbers.capital(axis.label) if axis.metric is not None else axis.label),
        "metric": axis.metric is not None,
        "lane": axis.lane is not None,
        # A colour is strong where the value is good; of a parameter, where it is large.
        "reverse": axis.metric is not None and not axis.metric.maximised,
        "ticks": [[_place(axis, tick), text] for tick, text in axis.ticks],
        "threshold": _place(axis, axis.factor * threshold) if threshold is not None else None,
    }


def _place(axis: Axis, position: float | None) -> int | None:
    if position is None:
        return None
    return round(1000 * (position - axis.bottom) / (axis.high - axis.bottom))


def _title(search: Search, trial: Trial) -> str:
    known = [metric for metric in search.objectives if metric.name in trial.metrics]
    values = [f"{metric.label} {metric.written(trial.metrics[metric.name])}" for metric in known]
    return f"{trial.name} {LABELS[trial.kind]}: {', '.join(values)}"


def wrapped(label: str) -> list[str]:
    """The label in lines of about thirteen letters, broken after spaces, dots and underscores."""
    lines = [""]
    word = ""
    for letter in f"{label}\0":
        word += letter if letter != "\0" else ""
        if letter in " ._\0":
            if lines[-1] and len(lines[-1] + word.rstrip()) > _WIDTH:
                lines.append("")
            lines[-1] += word
            word = ""
    return [line.strip() for line in lines]
