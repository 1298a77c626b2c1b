"""The front: any two metrics or parameters against each other, every class of trial told apart.

The page's script puts the axes that its reader chose together, as `front` does for the first ones; what each of
them brings is computed here, in `plane`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from subarch.report import marks, theme
from subarch.report.search import classes, plane
from subarch.report.search.axes import TRIAL, Axis, all_axes, trial_axis
from subarch.report.search.outcome import Search, Trial

_STRIP = [0.93, 1.0]
_PLOT = [0.0, 0.87]
_NAMES_AT_MOST = 14
_BARE = {"showgrid": False, "showticklabels": False, "zeroline": False, "fixedrange": True, "automargin": False}
_BARS = {"type": "data", "color": theme.QUIET, "thickness": 1, "width": 3}


def front(search: Search) -> tuple[go.Figure, dict[str, Any]] | None:
    """The figure for the first two objectives, and what the page needs to show any other two; None without values."""
    groups = [_group(search, look) for look in classes.LOOKS if look.kind != "failed"]
    shown = sorted((trial for group in groups for trial in group), key=lambda trial: trial.number)
    failed = search.of("failed")
    if not shown:
        return None
    axes = {axis.key: axis for axis in [*all_axes(search, shown), trial_axis(search)]}
    first = _first_keys(search, axes)
    choices = {
        **dict(zip(("x", "y", "colour"), first, strict=True)),
        "axes": {key: plane.axis_data(axis, groups) for key, axis in axes.items()},
        "edges": plane.edges(search, axes, shown),
        "strip": _strip_marks(len(failed)),
    }
    data, layout = _traces(search, groups, failed), _layout(search, strip=len(failed))
    _compose(data, layout, choices)
    figure = go.Figure(data)
    figure.layout = layout
    return figure, choices


def _group(search: Search, look: classes.Look) -> list[Trial]:
    return [trial for trial in search.of(look.kind) if trial.metrics]


def _first_keys(search: Search, axes: dict[str, Axis]) -> tuple[str, str, str]:
    """What is shown first: cost to the right and quality upwards; the trials' order where there is one objective."""
    known = [metric for metric in search.objectives if f"metric {metric.name}" in axes]
    costs = [f"metric {metric.name}" for metric in known if not metric.maximised]
    scores = [f"metric {metric.name}" for metric in known if metric.maximised]
    ordered = [*costs[:1], *scores[:1]] if costs and scores else [f"metric {metric.name}" for metric in known[:2]]
    rest = [f"metric {metric.name}" for metric in known if f"metric {metric.name}" not in ordered]
    if not ordered:
        others = [key for key in axes if key != TRIAL]
        return TRIAL, others[0] if others else TRIAL, ""
    if len(ordered) == 1:
        return TRIAL, ordered[0], ""
    return ordered[0], ordered[1], rest[0] if rest else ""


def _traces(search: Search, groups: Sequence[Sequence[Trial]], failed: Sequence[Trial]) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = [{**marks.line([], []).to_plotly_json(), "showlegend": False}]
    traces[0]["line"] = {"color": theme.ACCENT, "width": 1.5, "dash": "dot"}
    looks = [look for look in classes.LOOKS if look.kind != "failed"]
    named = sum(len(group) for look, group in zip(looks, groups, strict=True) if look.kind == "front") <= _NAMES_AT_MOST
    for look, group in zip(looks, groups, strict=True):
        names = look.kind in ("front", "baseline") and named
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text" if names else "markers",
                "name": look.label,
                "meta": look.colour,
                "legendgroup": look.kind,
                "showlegend": False,
                "marker": {"symbol": look.symbol, "color": look.colour, "size": look.size},
                "text": [trial.name for trial in group] if names else None,
                "textposition": "top center",
                "textfont": {"size": 11},
                "hoverinfo": "text",
                "hovertext": [classes.hover(search, trial) for trial in group],
                "customdata": [trial.number for trial in group],
                "unselected": {"marker": {"opacity": 0.12}},
            }
        )
        if look.symbol.endswith("-open"):
            traces[-1]["marker"]["line"] = {"color": look.colour, "width": 1.5}
    if failed:
        traces.append(_strip(search, failed))
    shown = {trial.kind for group in [*groups, failed] for trial in group}
    return [*traces, *(_key(look) for look in classes.LOOKS if look.kind in shown)]


def _key(look: classes.Look) -> dict[str, Any]:
    """The class in the legend, which would lose the colour of its trace where colours are values."""
    line = {"line": {"color": look.colour, "width": 1.6}} if look.symbol in ("x-thin", "circle-open") else {}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "legendgroup": look.kind,
        "x": [None],
        "y": [None],
        "marker": {"symbol": look.symbol, "color": look.colour, "size": look.size, **line},
        "hoverinfo": "skip",
    }


def _strip(search: Search, failed: Sequence[Trial]) -> dict[str, Any]:
    """Failed trials have no values: they stand side by side above the plot."""
    look = classes.LOOKS[-1]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "legendgroup": look.kind,
        "showlegend": False,
        "x": list(range(len(failed))),
        "y": [0] * len(failed),
        "xaxis": "x2",
        "yaxis": "y2",
        # Thin crosses have no inside: their line is what is seen.
        "marker": {"symbol": look.symbol, "size": 7, "line": {"color": look.colour, "width": 1.6}},
        "hoverinfo": "text",
        "hovertext": [classes.hover(search, trial) for trial in failed],
        "customdata": [trial.number for trial in failed],
    }


def _layout(search: Search, *, strip: int) -> dict[str, Any]:
    members = ", ".join(trial.name for trial in search.members) or "none"
    layout = marks.layout(
        title="",
        height=520,
        alt=f"{len(search.trials)} trials by class over two metrics that can be chosen; on the front: {members}",
        narrow={"legend": {**_legend(), "font": {"size": 11}, "entrywidth": 0.5, "entrywidthmode": "fraction"}},
    )
    layout |= {
        "margin": {**marks.MARGIN, "t": 14, "b": 30},
        "showlegend": True,
        "legend": _legend(),
        "xaxis": {"anchor": "y"},
        "yaxis": {"domain": _PLOT if strip else [0, 1], "anchor": "x"},
        "coloraxis": {"showscale": False, "colorscale": [list(stop) for stop in theme.W_SCALE]},
    }
    if strip:
        layout["xaxis2"] = _strip_axis(strip, left=0.3)
        layout["meta"]["narrow"]["xaxis2"] = _strip_axis(strip, left=0.7)
        layout["yaxis2"] = {**_BARE, "domain": _STRIP, "anchor": "x2", "range": [-1, 1]}
    return layout


def _strip_axis(count: int, *, left: float) -> dict[str, Any]:
    """Room for the words at the left; a few crosses do not stand as far from each other as the plot is wide."""
    width = max(count, 30)
    return {**_BARE, "anchor": "y2", "range": [-left * width, width]}


def _legend() -> dict[str, Any]:
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.16, "yanchor": "top", "itemsizing": "trace"}


def _strip_marks(count: int) -> dict[str, list[dict[str, Any]]]:
    """The ground of the strip of failed trials, and how many they are."""
    if not count:
        return {"shapes": [], "annotations": []}
    ground = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "paper", "y0": _STRIP[0], "y1": _STRIP[1]}
    shade = {"fillcolor": "rgba(148,163,184,0.14)", "line": {"width": 0}, "layer": "below"}
    note = {**marks.corner(f" {count} failed: no value"), "yref": "paper", "y": sum(_STRIP) / 2, "yanchor": "middle"}
    return {"shapes": [{**ground, **shade}], "annotations": [{**note, "font": {"size": 11}}]}


def _compose(data: list[dict[str, Any]], layout: dict[str, Any], choices: dict[str, Any]) -> None:
    """Put the two chosen axes into the figure; the page's script does the same with other choices."""
    x, y = choices["axes"][choices["x"]], choices["axes"][choices["y"]]
    colour = choices["axes"].get(choices["colour"])
    data[0]["x"], data[0]["y"] = choices["edges"].get(f"{choices['x']}|{choices['y']}", [[], []])
    for index in range(len(x["values"])):
        trace = data[1 + index]
        trace["x"], trace["y"] = x["values"][index], y["values"][index]
        for letter, axis in (("x", x), ("y", y)):
            bars = axis["errors"][index]
            trace[f"error_{letter}"] = {**_BARS, "array": bars or [], "visible": bars is not None}
        if colour is not None:
            shades = [theme.QUIET if value is None else value for value in colour["values"][index]]
            trace["marker"] |= {"color": shades, "coloraxis": "coloraxis"}
    layout["xaxis"] |= x["layout"]
    layout["yaxis"] |= y["layout"]
    layout["coloraxis"] |= colour["coloraxis"] if colour is not None else {}
    for kind in ("shapes", "annotations"):
        layout[kind] = [*x["x"][kind], *y["y"][kind], *choices["strip"][kind]]
