"""The figures' look, light and dark, as Plotly templates; a figure itself sets no colour of text or grid."""

from __future__ import annotations

from typing import Any, Literal

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Readable on both backgrounds, so that a change of scheme need not touch the traces.
ACCENT = "#2f7de1"
TEACHER = "#64748b"
QUIET = "#94a3b8"
WARN = "#d97706"
W_SCALE = ((0.0, "#a3aebd"), (0.5, "#4fa3a5"), (1.0, "#0b7a75"))

_PAPER = {"light": "#ffffff", "dark": "#171b21"}
_INK = {"light": "#1f2933", "dark": "#e4e8ee"}
_MUTED = {"light": "#5b6775", "dark": "#9aa6b4"}
_GRID = {"light": "#e7ebf0", "dark": "#2b323c"}


def template(scheme: Literal["light", "dark"]) -> dict[str, Any]:
    """A Plotly template for a colour scheme; backgrounds are transparent, the page's own shows through."""
    muted, grid = _MUTED[scheme], _GRID[scheme]
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zeroline": False,
        "automargin": True,
        "tickfont": {"color": muted, "size": 12},
        "title": {"font": {"color": muted, "size": 12}, "standoff": 10},
    }
    return {
        "layout": {
            "font": {"family": FONT, "size": 13, "color": _INK[scheme]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "title": {"font": {"size": 13, "color": muted}, "x": 0, "xref": "container", "xanchor": "left"},
            "xaxis": axis,
            "yaxis": axis,
            "coloraxis": {"colorbar": {"outlinewidth": 0, "tickfont": {"color": muted}}},
            "annotationdefaults": {"font": {"color": _INK[scheme], "size": 12}, "arrowcolor": muted},
            "shapedefaults": {"line": {"color": muted, "width": 1}},
            "hoverlabel": {
                "align": "left",
                "bgcolor": _PAPER[scheme],
                "bordercolor": muted,
                "font": {"family": FONT, "size": 12, "color": _INK[scheme]},
            },
            "hovermode": "closest",
            "showlegend": False,
        },
        "data": {
            "scatter": [{"marker": {"line": {"color": _PAPER[scheme], "width": 1.5}}}],
            "bar": [{"marker": {"line": {"width": 0}}, "textfont": {"color": _INK[scheme]}}],
        },
    }
