"""What several figures are made of: the frame around them, lines, interval bars and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from subarch.report import theme

MARGIN = {"l": 48, "r": 20, "t": 36, "b": 52}


def layout(*, title: str, height: int, alt: str, narrow: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What all figures share, with the words of `alt` and what `narrow` replaces on a phone."""
    meta = {"alt": alt, "narrow": dict(narrow or {})}
    return {
        "template": theme.template("light"),
        "title": {"text": title, "y": 0.99, "yanchor": "top"},
        "height": height,
        "margin": MARGIN if title else {**MARGIN, "t": 24},
        "meta": meta,
    }


def line(x: list[float], y: list[float], shape: str = "linear") -> go.Scatter:
    """A thin dotted line that does not answer to the pointer."""
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": theme.QUIET, "width": 1.5, "dash": "dot", "shape": shape},
        hoverinfo="skip",
    )


def error_bars(rows: Sequence[Mapping[str, Any]], key: str, factor: float = 1) -> dict[str, Any]:
    """Interval bars for `row[key]` from `row[key + "_interval"]`, where a row has one."""
    bounds = [row.get(f"{key}_interval", ()) for row in rows]
    pairs = [b if len(b) == 2 else (row[key], row[key]) for b, row in zip(bounds, rows, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(factor * (high - row[key]), 0) for (_, high), row in zip(pairs, rows, strict=True)],
        "arrayminus": [max(factor * (row[key] - low), 0) for (low, _), row in zip(pairs, rows, strict=True)],
        "color": theme.QUIET,
        "thickness": 1,
        "width": 3,
        "visible": any(len(b) == 2 for b in bounds),
    }


def annotation(x: float, y: float, text: str, *, ax: float, ay: float) -> dict[str, Any]:
    """A text `ax`, `ay` pixels away from a point."""
    return {"x": x, "y": y, "text": text, "ax": ax, "ay": ay, "showarrow": True, "arrowhead": 0}


def corner(text: str) -> dict[str, Any]:
    """A text at the left edge of the plot."""
    return {"text": text, "x": 0, "xref": "paper", "xanchor": "left", "showarrow": False}
