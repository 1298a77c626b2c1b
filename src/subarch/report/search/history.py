"""How the search went: hypervolume and each objective's best value so far, and the learning curves of the trials."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from subarch.report import marks, numbers, theme
from subarch.report.search import classes
from subarch.report.search.axes import metric_axis
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Search, Trial
from subarch.report.search.plane import axis_data, best_so_far

_HEIGHT = 260
_MANY = 60


def hypervolume(search: Search) -> go.Figure | None:
    """The hypervolume after each ended trial; None where there is none, or one objective alone."""
    values = search.hypervolume
    if not any(values) or len(search.objectives) < 2:
        return None
    figure = go.Figure(
        go.Scatter(
            x=list(range(1, len(values) + 1)),
            y=values,
            mode="lines",
            line={"color": theme.ACCENT, "width": 2, "shape": "hv"},
            hoverinfo="text",
            hovertext=[f"after {i} trials: {numbers.significant(v, 4)}" for i, v in enumerate(values, 1)],
        )
    )
    alt = f"Hypervolume after each of {len(values)} ended trials; at the end {numbers.significant(values[-1], 4)}"
    figure.layout = {
        **marks.layout(title="", height=_HEIGHT, alt=alt),
        "xaxis": {"title": {"text": "trials ended"}, "rangemode": "tozero"},
        "yaxis": {"rangemode": "tozero", "tickformat": "~s" if max(values) >= 1000 else ""},
    }
    return figure


def progress_note(search: Search, *, with_hypervolume: bool) -> str:
    """What the lines are, and from where the hypervolume counts: thresholds, a fixed value elsewhere."""
    lines = "Only trials that meet every threshold count; a dashed line is a threshold, a dotted one the baseline."
    if not with_hypervolume:
        return lines
    bounds = [m.threshold_text() for m in search.objectives if m.threshold is not None]
    free = [m.label for m in search.objectives if m.threshold is None]
    parts = [f"the thresholds ({', '.join(bounds)})"] if bounds else []
    parts += [f"a fixed bad value of {' and '.join(free)}"] if free else []
    return f"Hypervolume is what the front dominates, counted from {' and '.join(parts)}. {lines}"


def improvement(search: Search, metric: Metric) -> go.Figure | None:
    """One objective over the trials, with the best so far of those that meet every threshold; None for one trial."""
    shown = [trial for trial in search.trials if trial.finished and metric.name in trial.metrics]
    if len(shown) < 2:
        return None
    axis = metric_axis(metric, shown)
    layout = axis_data(axis, [shown])["layout"]
    feasible = [trial for trial in shown if search.feasible(trial)]
    x, y = best_so_far(axis, feasible, last=search.trials[-1].number)
    data = [_dots(metric, shown, feasible), {**_line(x, y), "line": {"color": theme.ACCENT, "width": 2}}]
    lines = [(metric.threshold, "dash", theme.WARN)]
    lines += [(search.reference.metrics.get(metric.name), "dot", classes.BASELINE)] if search.reference else []
    best = f"; best {metric.written(y[-1] / metric.factor)}" if y else ""
    figure = go.Figure(data)
    figure.layout = {
        **marks.layout(title="", height=_HEIGHT, alt=f"{metric.label} of {len(shown)} trials in their order{best}"),
        "xaxis": {"title": {"text": "trial"}},
        "yaxis": {key: value for key, value in layout.items() if key != "title"},
        "shapes": [_level(metric.factor * at, dash, colour) for at, dash, colour in lines if at is not None],
    }
    return figure


def learning_curves(search: Search) -> go.Figure | None:
    """The score of every trial over its progress, the front's on top; a ring where a trial was stopped."""
    curves = {n: points for n, points in search.curves.items() if n in search.by_number and len(points) > 0}
    if not curves:
        return None
    share = all(-1 <= point[1] <= 1 for points in curves.values() for point in points)
    factor = 100 if share else 1
    data = []
    for kinds, colour, width, name in (
        (("beyond", "dominated", "running", "failed"), theme.QUIET, 1, "other trials"),
        (("stopped",), theme.WARN, 1, "stopped early"),
        (("front",), theme.ACCENT, 1.6, "front"),
        (("baseline",), classes.BASELINE, 2.5, "baseline"),
    ):
        trials = [search.by_number[number] for number in sorted(curves) if search.by_number[number].kind in kinds]
        if trials:
            line = {"color": colour, "width": width}
            # Hundreds of lines are one surface unless they shine through.
            opacity = 1.0 if width > 1 or len(trials) <= _MANY else 0.3
            data.append({**_curves(trials, curves, factor), "line": line, "name": name, "opacity": opacity})
    ends = [(t, curves[t.number][-1]) for t in search.of("stopped") if t.number in curves]
    data.append(_rings(ends, factor))
    figure = go.Figure(data)
    legend = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}
    figure.layout = {
        **marks.layout(title="", height=340, alt=f"Learning curves of {len(curves)} trials over their progress"),
        "xaxis": {"title": {"text": "progress of the trial"}, "tickformat": ".0%", "range": [0, 1.02]},
        "showlegend": True,
        "legend": legend,
    }
    return figure


def _dots(metric: Metric, shown: Sequence[Trial], feasible: Sequence[Trial]) -> dict[str, Any]:
    good = {trial.number for trial in feasible}
    looks = {look.kind: look for look in classes.LOOKS}
    symbols = ["circle" if trial.number in good else looks["beyond"].symbol for trial in shown]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [trial.number for trial in shown],
        "y": [metric.factor * trial.metrics[metric.name] for trial in shown],
        "marker": {
            "size": [6 if trial.number in good else 8 for trial in shown],
            "symbol": symbols,
            "color": [theme.QUIET if trial.number in good else theme.WARN for trial in shown],
            "line": {"width": 0},
        },
        "hoverinfo": "text",
        "hovertext": [
            f"{trial.name} {classes.LABELS[trial.kind]}: {escape(metric.written(trial.metrics[metric.name]))}"
            for trial in shown
        ],
    }


def _line(x: Sequence[float | None], y: Sequence[float | None]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "hoverinfo": "skip"}


def _level(at: float, dash: str, colour: str) -> dict[str, Any]:
    across = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at}
    return {**across, "line": {"color": colour, "dash": dash, "width": 1.5}, "layer": "above"}


def _curves(trials: Sequence[Trial], curves: dict[int, list[list[float]]], factor: int) -> dict[str, Any]:
    """All curves of one class as one line with gaps."""
    rows = [[(p, factor * score, trial.name) for p, score in curves[trial.number]] for trial in trials]
    points = list(itertools.chain.from_iterable([*row, (None, None, "")] for row in rows))
    return {
        **_line([x for x, _, _ in points], [None if y is None else float(f"{y:.6g}") for _, y, _ in points]),
        "hoverinfo": "text",
        "hovertext": [name and f"{name}: {y:.4g}" for _, y, name in points],
        "connectgaps": False,
    }


def _rings(ends: Sequence[tuple[Trial, list[float]]], factor: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [point[0] for _, point in ends],
        "y": [factor * point[1] for _, point in ends],
        "marker": {
            "symbol": "circle-open",
            "size": 7,
            "color": theme.WARN,
            "line": {"color": theme.WARN, "width": 1.5},
        },
        "showlegend": False,
        "hoverinfo": "text",
        "hovertext": [f"{trial.name} {escape(trial.reason or 'stopped')}" for trial, _ in ends],
    }
