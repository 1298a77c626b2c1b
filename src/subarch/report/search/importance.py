"""How much each parameter matters for a metric, with its interval and the direction of its effect."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go

from subarch.report import marks, numbers, theme
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Search

SHOWN = 12
_TOO_SMALL = 0.005
_ARROWS = {"up": "↑", "down": "↓", "mixed": "↕"}
_EFFECTS = {"up": "more of it raises", "down": "more of it lowers", "mixed": "both raises and lowers"}


def importance(search: Search, metric: Metric) -> go.Figure | None:
    """Bars of the most important parameters, the inert ones grey; None where nothing is known."""
    rows = sorted(search.importance.get(metric.name, []), key=lambda row: -float(row.get("importance", 0)))[:SHOWN]
    rows = [row for row in rows if "importance" in row]
    if not rows:
        return None
    names = [search.label(str(row.get("parameter"))) for row in rows]
    values = [float(row["importance"]) for row in rows]
    highs = [max(float(row.get("high", value)), value) for row, value in zip(rows, values, strict=True)]
    figure = go.Figure(
        {
            "type": "bar",
            "orientation": "h",
            "y": [escape(name) for name in names],
            "x": values,
            "marker": {"color": [theme.QUIET if row.get("inert") else theme.ACCENT for row in rows]},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - value for high, value in zip(highs, values, strict=True)],
                "arrayminus": [max(v - float(r.get("low", v)), 0) for r, v in zip(rows, values, strict=True)],
                "color": theme.TEACHER,
                "thickness": 1.2,
                "width": 3,
            },
            "hoverinfo": "text",
            "hovertext": [_hover(row, name, metric) for row, name in zip(rows, names, strict=True)],
        }
    )
    top = max([*highs, 1e-9])
    figure.layout = {
        **marks.layout(
            title="",
            height=26 * len(rows) + 76,
            alt=f"Importance for {metric.label}: "
            + ", ".join(f"{name} {numbers.percentage(value)}" for name, value in zip(names, values, strict=True)),
        ),
        "xaxis": {"tickformat": ".0%", "range": [0, 1.12 * top], "nticks": 6},
        "yaxis": {"autorange": "reversed", "showgrid": False, "type": "category", "tickfont": {"size": 11}},
        "bargap": 0.4,
        "annotations": [_arrow(row, name, high) for row, name, high in zip(rows, names, highs, strict=True)],
    }
    return figure


def inert_sentence(search: Search) -> str:
    """The parameters that make no measurable difference to any metric, by name; empty where there are none."""
    names = [search.label(name) for name in search.inert]
    if not names:
        return ""
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed} {'makes' if len(names) == 1 else 'make'} no measurable difference to any metric (inert)."


def _arrow(row: Mapping[str, Any], name: str, high: float) -> dict[str, Any]:
    shown = not row.get("inert") and float(row["importance"]) >= _TOO_SMALL
    text = "" if not shown else _ARROWS.get(str(row.get("direction")), "")
    at = {"x": high, "y": escape(name), "xanchor": "left", "xshift": 5, "showarrow": False}
    return {**at, "text": text, "font": {"size": 14}}


def _hover(row: Mapping[str, Any], name: str, metric: Metric) -> str:
    between = [numbers.percentage(float(row[key]), 1) for key in ("low", "high") if key in row]
    bounds = f" [{', '.join(between)}]" if len(between) == 2 else ""
    effect = "inert" if row.get("inert") else _EFFECTS.get(str(row.get("direction")), "")
    words = f"{effect} {metric.label}" if effect and effect != "inert" else effect
    value = numbers.percentage(float(row["importance"]), 1)
    return f"<b>{escape(name)}</b> {value}{bounds}" + (f"<br>{escape(words)}" if words else "")
