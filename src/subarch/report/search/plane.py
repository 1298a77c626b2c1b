"""What an axis brings into the plane of two axes: positions, errors, its frame, its threshold, and the front's edge.

All of it is computed here for each axis and each pair, so that a choice in the page only puts two of them together.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any

from subarch.report import theme
from subarch.report.search.axes import TRIAL, Axis
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Search, Trial

_ROOM = 0.09
_BARS_AT_MOST = 40
_SHADE = "rgba(217,119,6,0.11)"


def axis_data(axis: Axis, groups: Sequence[Sequence[Trial]]) -> dict[str, Any]:
    """All that depends on one axis, wherever it is put; positions in the order of the groups."""
    low, high = _frame(axis, [trial for group in groups for trial in group])
    title = escape(axis.label) + (" (log)" if axis.log else "")
    layout: dict[str, Any] = {"title": {"text": title}, "range": [low, high]}
    bar: dict[str, Any] = {"title": {"text": title, "side": "top", "font": {"size": 12}}, "thickness": 10, "len": 0.7}
    ticks = {"tickvals": [tick for tick, _ in axis.ticks], "ticktext": [escape(text) for _, text in axis.ticks]}
    if axis.fixed:
        layout |= ticks
    elif axis.metric is not None and axis.metric.unit in ("count", "bytes"):
        layout |= {"tickformat": "~s", "ticksuffix": "B" if axis.metric.unit == "bytes" else ""}
    minimised = axis.metric is not None and not axis.metric.maximised
    return {
        "label": axis.label,
        "kind": axis.key.split(" ")[0],
        "layout": layout,
        "values": [[_rounded(axis.position(trial)) for trial in group] for group in groups],
        "errors": _errors(axis, groups),
        "x": _threshold(axis, "x", low, high),
        "y": _threshold(axis, "y", low, high),
        "coloraxis": {
            "cmin": low,
            "cmax": high,
            "reversescale": minimised,
            "showscale": True,
            "colorbar": {**bar, **ticks},
        },
    }


def _rounded(value: float | None) -> float | None:
    """Six digits are more than a screen shows, and make half the page."""
    return None if value is None else float(f"{value:.6g}")


def _threshold(axis: Axis, letter: str, low: float, high: float) -> dict[str, list[dict[str, Any]]]:
    """The threshold as a line, with the side shaded on which trials do not meet it."""
    metric = axis.metric
    if metric is None or metric.threshold is None:
        return {"shapes": [], "annotations": []}
    other = "y" if letter == "x" else "x"
    at = axis.factor * metric.threshold
    far = low - (high - low) if metric.maximised else high + (high - low)
    across = {f"{letter}ref": letter, f"{other}ref": f"{other} domain", f"{other}0": 0, f"{other}1": 1}
    shade = {"type": "rect", **across, f"{letter}0": far, f"{letter}1": at, "fillcolor": _SHADE, "line": {"width": 0}}
    line = {"type": "line", **across, f"{letter}0": at, f"{letter}1": at}
    note = {
        f"{letter}ref": letter,
        f"{letter}": at,
        f"{other}ref": f"{other} domain",
        f"{other}": 0.0 if letter == "x" else 1.0,
        "xanchor": "right" if letter == "y" or not metric.maximised else "left",
        "yanchor": "bottom" if letter == "x" or metric.maximised else "top",
        "text": f"{'≥' if metric.maximised else '≤'} {escape(metric.written(metric.threshold))}",
        "showarrow": False,
        "font": {"size": 11, "color": theme.WARN},
    }
    dash = {"line": {"color": theme.WARN, "dash": "dash", "width": 1.2}, "layer": "below"}
    return {"shapes": [{**shade, "layer": "below"}, {**line, **dash}], "annotations": [note]}


def _errors(axis: Axis, groups: Sequence[Sequence[Trial]]) -> list[list[float] | None]:
    """Standard errors of each group, the front's and the baseline's alone where all would be a thicket."""
    few = sum(map(len, groups)) <= _BARS_AT_MOST
    found: list[list[float] | None] = []
    for group in groups:
        bars = [axis.factor * t.errors.get(axis.metric.name, 0.0) if axis.metric else 0.0 for t in group]
        wanted = few or any(trial.kind in ("front", "baseline") for trial in group)
        found.append([_rounded(bar) or 0.0 for bar in bars] if any(bars) and wanted else None)
    return found


def _frame(axis: Axis, shown: Sequence[Trial]) -> tuple[float, float]:
    """Room around what is drawn; points so bad that they would flatten the rest are left outside."""
    low, high = axis.bottom, axis.high
    if axis.metric is not None:
        worst = _worst_shown(axis.metric, shown)
        if worst is not None:
            edge = axis.factor * worst
            low, high = (-edge, high) if axis.metric.maximised else (low, edge)
    room = _ROOM * (high - low)
    return low - room, high + room


def _worst_shown(metric: Metric, shown: Sequence[Trial]) -> float | None:
    """The greatest cost that is drawn where some trials are far worse than all others; else None."""
    costs = sorted(metric.cost(trial.metrics[metric.name]) for trial in shown if metric.name in trial.metrics)
    if len(costs) < 8:
        return None
    quarter, three_quarters = costs[len(costs) // 4], costs[3 * len(costs) // 4]
    kept = [trial for trial in shown if trial.kind in ("front", "baseline") and metric.name in trial.metrics]
    must = [metric.cost(trial.metrics[metric.name]) for trial in kept]
    must += [metric.cost(metric.threshold)] if metric.threshold is not None else []
    worst = max([three_quarters + 6 * (three_quarters - quarter), *must])
    return worst if three_quarters > quarter and costs[-1] > worst else None


def edges(search: Search, axes: dict[str, Axis], shown: Sequence[Trial]) -> dict[str, list[list[float]]]:
    """The edge of what was reached, by `x|y`: for two objectives the front, over the trials' order the best so far."""
    keys = [f"metric {metric.name}" for metric in search.objectives if f"metric {metric.name}" in axes]
    feasible = [trial for trial in shown if search.feasible(trial)]
    found = {}
    if len(search.objectives) == 2 and len(keys) == 2:
        for x, y in (keys, keys[::-1]):
            found[f"{x}|{y}"] = _staircase(axes[x], axes[y], search.members)
    for key in keys:
        found[f"{TRIAL}|{key}"] = best_so_far(axes[key], feasible, last=search.trials[-1].number)
    return {key: line for key, line in found.items() if line[0]}


def _staircase(x: Axis, y: Axis, members: Sequence[Trial]) -> list[list[float]]:
    """The corners of the region that the front dominates, with its arms to beyond the frame's edges."""
    placed = [(x.position(trial), y.position(trial)) for trial in members]
    maximised = x.metric is not None and x.metric.maximised
    # Along the front, from the best x to the worst, y only gets better.
    at = sorted(((a, b) for a, b in placed if a is not None and b is not None), reverse=maximised)
    if not at:
        return [[], []]
    corners = [(at[0][0], _far(y)), at[0]]
    for before, after in itertools.pairwise(at):
        corners += [(after[0], before[1]), after]
    corners.append((_far(x), at[-1][1]))
    return [[corner[0] for corner in corners], [corner[1] for corner in corners]]


def _far(axis: Axis) -> float:
    """A position beyond the worse end of a metric's axis."""
    worse_below = axis.metric is not None and axis.metric.maximised
    return 2 * axis.low - axis.high if worse_below else 2 * axis.high - axis.low


def best_so_far(axis: Axis, feasible: Sequence[Trial], last: int) -> list[list[float]]:
    """The trials' numbers and the best position until each of them, as the corners of a staircase."""
    at: list[float] = []
    values: list[float] = []
    best = float("inf")
    for trial in feasible:
        position = axis.position(trial)
        cost = axis.metric.cost(position) if axis.metric is not None else float("inf")
        if position is not None and cost < best:
            at += [trial.number, trial.number] if values else [trial.number]
            values += [values[-1], position] if values else [position]
            best = cost
    return [[*at, last], [*values, values[-1]]] if values else [[], []]
