"""The report's other Plotly figures: the candidates, the time and the learning curves.

Each function gives None where the report has nothing to draw. `layout.meta["narrow"]` holds what replaces
parts of the layout where the figure is less than 560 pixels wide; `layout.meta["alt"]` says in words what is
drawn. All user text is escaped, since Plotly reads a little HTML; hover text is ready-made, so that no
template is read from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from subarch.report import content, marks, numbers, theme

_ERROR_BARS_AT_MOST = 40


_AXES = {"latency_ms": "latency, ms", "parameters": "parameters"}


def candidates(report: content.Report) -> go.Figure | None:
    """Error over latency (else parameters) with its interval; colour is W; the front and the chosen one."""
    report = content.present(report)
    found = [c for c in report.get("candidates", []) if "error" in c]
    axis = "latency_ms" if found and all("latency_ms" in c for c in found) else "parameters"
    found = sorted((c for c in found if axis in c), key=lambda c: (float(c[axis]), -float(c["error"])))
    if not found:
        return None
    parts = [[c for c in found if "w" not in c], [c for c in found if "w" in c]]
    front = [c for c in found if c.get("on_front")]
    chosen = [c for c in found if c.get("chosen")]
    figure = go.Figure(
        [
            marks.line([c[axis] for c in front], [c["error"] for c in front]),
            *([_rings(chosen, axis)] if chosen else []),
            *(_candidates_trace(part, axis, bars=len(found) <= _ERROR_BARS_AT_MOST) for part in parts if part),
        ]
    )
    bar = {"title": {"text": "W", "side": "top", "font": {"size": 12}}, "thickness": 10, "len": 0.8}
    notes = [{**marks.annotation(c[axis], c["error"], "chosen", ax=0, ay=-34), "standoff": 11} for c in chosen]
    key = "; colour: W" if any("w" in c for c in found) else ""
    key += "; diamond: tied" if any(c.get("tied") for c in found) else ""
    error = escape(str(report.get("error_name", "error")))
    figure.layout = dict(
        marks.layout(
            title=f"{numbers.capital(error)}{key}",
            height=380,
            alt=f"Error of {len(found)} candidates over {_AXES[axis]}; the chosen one: "
            + ("; ".join(content.shape(c.get("architecture", {})) for c in chosen) or "none"),
            narrow={"title": {"text": f"Error{key}"}, "coloraxis": {"showscale": False, **_w_scale()}},
        ),
        annotations=notes,
        coloraxis={"colorbar": bar, **_w_scale()},
        xaxis={"title": {"text": _AXES[axis]}, "rangemode": "tozero"},
    )
    return figure


def time_bars(report: content.Report) -> go.Figure | None:
    """One bar a stage along the clock, each beginning where the one before it ended, and the budget."""
    report = content.present(report)
    stages = [s for s in report.get("stages", []) if "name" in s and "seconds" in s]
    spent = [0.0 if s.get("reused") else float(s["seconds"]) for s in stages]
    if not stages or sum(spent) == 0:
        return None
    texts = ["reused" if s.get("reused") else numbers.seconds(s["seconds"]) for s in stages]
    ends, budget = sum(spent), report.get("budget_seconds")
    figure = go.Figure(
        go.Bar(
            orientation="h",
            y=[escape(str(s["name"])) for s in stages],
            x=spent,
            base=[sum(spent[:index]) for index in range(len(spent))],
            marker={"color": [theme.ACCENT if s == max(spent) else theme.QUIET for s in spent]},
            text=texts,
            textposition="outside",
            cliponaxis=False,
            hoverinfo="text",
            hovertext=[f"{escape(str(s['name']))}: {t}" for s, t in zip(stages, texts, strict=True)],
        )
    )
    total = f"; {numbers.seconds(report['seconds'])} in all" if "seconds" in report else ""
    unit = 60 if max(ends, budget or 0) > 180 else 1
    ticks = _ticks(max(ends, budget or 0) / unit)
    figure.layout = dict(
        marks.layout(
            title=f"Elapsed time, {'minutes' if unit == 60 else 'seconds'}{total}",
            height=92 + 30 * len(stages),
            alt="Time per stage: " + ", ".join(f"{s['name']} {t}" for s, t in zip(stages, texts, strict=True)),
        ),
        shapes=_budget_line(budget),
        annotations=_budget_note(budget),
        xaxis={
            "tickvals": [unit * tick for tick in ticks],
            "ticktext": [f"{tick:g}" for tick in ticks],
            "range": [0, 1.22 * max(ends, (budget or 0) / 1.12)],
        },
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
        bargap=0.45,
    )
    return figure


def learning_curve(points: Sequence[Mapping[str, Any]], name: str, metric: str, *, percent: bool) -> go.Figure | None:
    """The training loss of one stage and, below it, the validation score, over optimisation steps."""
    losses = [p for p in points if "step" in p and "loss" in p]
    scores = [p for p in points if "step" in p and "score" in p]
    if not losses and not scores:
        return None
    factor = 100 if percent else 1
    split = [0.44, 0.56] if losses and scores else [0.0, 0.0]
    title = numbers.capital(metric)
    loss = _curve([p["step"] for p in losses], [p["loss"] for p in losses], theme.QUIET, "loss", "y")
    score = _curve([p["step"] for p in scores], [factor * p["score"] for p in scores], theme.ACCENT, metric, "y2")
    figure = go.Figure([curve for curve, known in ((loss, losses), (score, scores)) if known])
    headings = [("Training loss", 1.0, losses), (f"Validation {metric}", split[0] if losses else 1.0, scores)]
    figure.layout = dict(
        marks.layout(
            title="",
            height=360 if losses and scores else 230,
            alt=f"Learning curve of {name}: "
            + (
                f"{title} {numbers.score(scores[-1]['score'], percent=percent)} at the last evaluation"
                if scores
                else ""
            )
            + (f"{'; ' if scores else ''}loss {numbers.significant(losses[-1]['loss'])} at the end" if losses else ""),
        ),
        annotations=[_heading(text, y) for text, y, known in headings if known],
        xaxis={"title": {"text": "step"}, "anchor": "y2" if scores else "y", "rangemode": "tozero"},
        yaxis={"domain": [split[1], 1], "anchor": "x"},
        yaxis2={"domain": [0, split[0] or 1], "anchor": "x"},
        hovermode="x unified",
    )
    return figure


def _candidates_trace(found: Sequence[Mapping[str, Any]], axis: str, *, bars: bool) -> go.Scatter:
    """Candidates of which all have a W, or none has one."""
    marker: dict[str, Any] = {"size": 10, "color": theme.QUIET}
    if "w" in found[0]:
        marker.update(color=[c["w"] for c in found], coloraxis="coloraxis")
    barred = [c if bars or c.get("on_front") or c.get("chosen") else {**c, "error_interval": ()} for c in found]
    return go.Scatter(
        x=[c[axis] for c in found],
        y=[c["error"] for c in found],
        mode="markers",
        marker={**marker, "symbol": ["diamond" if c.get("tied") else "circle" for c in found]},
        error_y=marks.error_bars(barred, "error"),
        hoverinfo="text",
        hovertext=[_candidate_hover(c) for c in found],
    )


def _candidate_hover(candidate: Mapping[str, Any]) -> str:
    bounds = candidate.get("error_interval", ())
    between = f" [{', '.join(numbers.significant(b) for b in bounds)}]" if len(bounds) == 2 else ""
    lines = [
        f"<b>{escape(content.shape(candidate.get('architecture', {})))}</b>",
        f"error {numbers.significant(candidate['error'])}{between}",
        f"W {numbers.significant(candidate['w'])}" if "w" in candidate else "",
        f"{numbers.count(candidate['parameters'])} parameters" if "parameters" in candidate else "",
        numbers.milliseconds(candidate.get("latency_ms")),
        "tied with the best W" if candidate.get("tied") else "",
    ]
    return "<br>".join(line for line in lines if line)


def _rings(chosen: Sequence[Mapping[str, Any]], axis: str) -> go.Scatter:
    marker = {"size": 20, "color": "rgba(0,0,0,0)", "line": {"color": theme.ACCENT, "width": 2}}
    return go.Scatter(
        x=[c[axis] for c in chosen],
        y=[c["error"] for c in chosen],
        mode="markers",
        marker=marker,
        hoverinfo="skip",
    )


def _w_scale() -> dict[str, Any]:
    return {"colorscale": [list(stop) for stop in theme.W_SCALE]}


def _ticks(end: float) -> list[float]:
    """About five round numbers from 0 to `end`."""
    step = 10 ** math.floor(math.log10(end / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if end / (factor * step) <= 6)
    return [step * index for index in range(int(end / step) + 1)]


def _budget_line(budget: float | None) -> list[dict[str, Any]]:
    if not budget:
        return []
    line = {"type": "line", "x0": budget, "x1": budget, "yref": "paper", "y0": 0, "y1": 1}
    return [{**line, "line": {"color": theme.WARN, "dash": "dash", "width": 1}}]


def _budget_note(budget: float | None) -> list[dict[str, Any]]:
    if not budget:
        return []
    text = f"budget {numbers.seconds(budget)}"
    return [
        {
            "x": budget,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "xanchor": "right",
            "text": text,
            "showarrow": False,
        }
    ]


def _curve(steps: list[Any], values: list[Any], colour: str, name: str, axis: str) -> go.Scatter:
    mode = "lines+markers" if len(values) <= 30 and axis == "y2" else "lines"
    line = {"color": colour, "width": 2}
    return go.Scatter(x=steps, y=values, mode=mode, line=line, name=escape(name), yaxis=axis, hoverinfo="x+y+name")


def _heading(text: str, y: float) -> dict[str, Any]:
    return {
        **marks.corner(escape(text)),
        "y": y,
        "yref": "paper",
        "yanchor": "bottom",
        "yshift": 4,
        "font": {"size": 13},
    }
