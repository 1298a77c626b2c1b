"""The figure that a person decides by: score over latency, the size on disk as the points' area."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import plotly.graph_objects as go

from subarch.report import content, labels, marks, numbers, theme
from subarch.report.verdict import verdict

WIDE, NARROW = 900, 330
"""The widths in pixels for which the names are placed."""


class _Frame(NamedTuple):
    """The ranges of the axes, x in powers of ten."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: int


def trade_off(report: content.Report) -> go.Figure | None:
    """Score over latency (log), the points' area as large as their bytes, with the front and the floor."""
    report = content.present(report)
    drawn = [m for m in report["models"] if "score" in m and m.get("latency_ms", 0) > 0]
    if not drawn:
        return None
    factor = 100 if content.in_percent(report) else 1
    frame = _trade_off_frame(report, drawn, factor)
    shown = [m for m in drawn if factor * m["score"] >= frame.y[0]]
    recommended = verdict(report).recommended
    front = _front(shown, factor, frame)
    front_trace = marks.line([x for x, _ in front], [y for _, y in front], shape="hv")
    figure = go.Figure([front_trace, _models_trace(report, shown, factor, recommended)])
    shapes, floor_notes = _floor_lines(report, frame, factor, shown)
    area = "area: size" if any("model_bytes" in m for m in shown) else ""
    name = escape(numbers.capital(content.metric(report)))
    figure.layout = dict(
        marks.layout(
            title=f"{name} on the test set, over latency{area and f'; {area} on disk'}",
            height=frame.height,
            alt=f"{name} over latency in milliseconds: " + "; ".join(_spoken(m, percent=factor == 100) for m in drawn),
            narrow={
                "annotations": [*_names(shown, factor, frame, recommended, NARROW), *floor_notes],
                "title": {"text": f"{name} over latency{area and f'; {area}'}"},
            },
        ),
        annotations=[*_names(shown, factor, frame, recommended, WIDE), *floor_notes],
        shapes=shapes,
        xaxis={
            "type": "log",
            "range": frame.x,
            "title": {"text": "latency, ms (log)"},
            **_log_ticks(*frame.x),
        },
        yaxis={"range": frame.y},
    )
    return figure


def _trade_off_frame(report: content.Report, drawn: Sequence[Mapping[str, Any]], factor: int) -> _Frame:
    """Room around the points; a baseline so far below that it would flatten the rest is left out."""
    encoders = [m for m in drawn if not content.is_baseline(m)] or list(drawn)
    bounds = [factor * b for m in encoders for b in (m["score"], *m.get("score_interval", ()))]
    low, high = min(bounds), max(bounds)
    room = max(high - low, 0.02 * abs(high), 1e-6)
    for baseline in report["models"]:
        if content.is_baseline(baseline) and "score" in baseline:
            reached = min(factor * b for b in (baseline["score"], *baseline.get("score_interval", ())))
            if low - reached <= 2.5 * room:
                low, high = min(low, reached), max(high, factor * baseline["score"])
    latencies = [math.log10(m["latency_ms"]) for m in drawn if factor * m["score"] >= low]
    width = max(max(latencies) - min(latencies), 0.5)
    pad = 0.14 * max(high - low, room)
    return _Frame((min(latencies) - 0.12 * width, max(latencies) + 0.12 * width), (low - pad, high + pad), 420)


def _front(shown: Sequence[Mapping[str, Any]], factor: int, frame: _Frame) -> list[tuple[float, float]]:
    """The best score within each latency: a corner for each model that nothing dominates, then the edge."""
    steps: list[tuple[float, float]] = []
    for model in sorted(shown, key=lambda m: (m["latency_ms"], -m["score"])):
        if not steps or factor * model["score"] > steps[-1][1]:
            steps.append((float(model["latency_ms"]), factor * float(model["score"])))
    return [*steps, (10 ** frame.x[1], steps[-1][1])]


def _models_trace(
    report: content.Report, shown: Sequence[Mapping[str, Any]], factor: int, recommended: str | None
) -> go.Scatter:
    percent = factor == 100
    return go.Scatter(
        x=[m["latency_ms"] for m in shown],
        y=[factor * m["score"] for m in shown],
        mode="markers",
        marker={
            "size": [2 * radius for radius in _radii(shown)],
            "color": [_colour(m["name"], recommended) for m in shown],
            "symbol": ["diamond" if content.is_baseline(m) else "circle" for m in shown],
            "opacity": 0.92,
        },
        error_y=marks.error_bars(shown, "score", factor),
        hoverinfo="text",
        hovertext=[_model_hover(report, m, percent=percent) for m in shown],
    )


def _colour(name: str, recommended: str | None) -> str:
    if name == recommended:
        return theme.ACCENT
    return theme.TEACHER if name == "teacher" else theme.QUIET


def _radii(shown: Sequence[Mapping[str, Any]]) -> list[float]:
    """Radii whose areas are as the bytes on disk; a small one stays large enough to be hit."""
    largest = max((m.get("model_bytes", 0) for m in shown), default=0)
    if largest == 0:
        return [7.0] * len(shown)
    return [max(5.0, 20 * math.sqrt(m.get("model_bytes", 0) / largest)) for m in shown]


def _model_hover(report: content.Report, model: Mapping[str, Any], *, percent: bool) -> str:
    bounds = numbers.interval(model.get("score_interval"), percent=percent)
    lines = [
        f"<b>{escape(str(model['label']))}</b>",
        f"{escape(content.metric(report))} {numbers.score(model['score'], percent=percent)} {bounds}",
        f"{numbers.milliseconds(model['latency_ms'])}",
        f"{numbers.size(model.get('model_bytes'))} on disk" if "model_bytes" in model else "",
        f"{numbers.count(model.get('parameters'))} parameters" if "parameters" in model else "",
        f"{numbers.speedup(model['speedup'])} the teacher's speed" if "speedup" in model else "",
    ]
    return "<br>".join(line.strip() for line in lines if line)


def _spoken(model: Mapping[str, Any], *, percent: bool) -> str:
    score = numbers.score(model["score"], percent=percent)
    return f"{model['label']} {score} at {numbers.milliseconds(model['latency_ms'])}"


def _names(
    shown: Sequence[Mapping[str, Any]], factor: int, frame: _Frame, recommended: str | None, figure_width: int
) -> list[dict[str, Any]]:
    """The models' names as annotations, placed for a figure of this width."""
    width = figure_width - marks.MARGIN["l"] - marks.MARGIN["r"]
    height = frame.height - marks.MARGIN["t"] - marks.MARGIN["b"]

    def down(score: float) -> float:
        return float(height * (frame.y[1] - factor * score) / (frame.y[1] - frame.y[0]))

    def across(latency: float) -> float:
        return float(width * (math.log10(latency) - frame.x[0]) / (frame.x[1] - frame.x[0]))

    points = [
        labels.Point(x=across(m["latency_ms"]), y=down(m["score"]), radius=radius, name=name)
        for m, radius, name in zip(shown, _radii(shown), _short(shown), strict=True)
    ]
    bars = [
        (point.x - 3, down(m["score_interval"][1]), point.x + 3, down(m["score_interval"][0]))
        for m, point in zip(shown, points, strict=True)
        if "score_interval" in m
    ]
    corners = [(across(latency), down(score / factor)) for latency, score in _front(shown, factor, frame)]
    steps = [
        (left - 2, min(y, next_y) - 2, right + 2, max(y, next_y) + 2)
        for (x, y), (next_x, next_y) in itertools.pairwise(corners)
        for left, right, y, next_y in ((x, next_x, y, y), (next_x, next_x, y, next_y))
    ]
    places = labels.place(points, width, height, [*bars, *steps])
    return [
        {
            **marks.annotation(
                math.log10(m["latency_ms"]),
                factor * m["score"],
                escape(point.name),
                ax=at.x - point.x,
                ay=at.y - point.y,
            ),
            "arrowwidth": 1 if at.far else 0.1,
            "arrowcolor": theme.QUIET if at.far else "rgba(0,0,0,0)",
            "standoff": point.radius,
            "borderpad": 0,
            "font": {"weight": 700 if m["name"] == recommended else 400},
        }
        for m, point, at in zip(shown, points, places, strict=True)
    ]


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Round latencies: six in each power of ten, or 1, 2 and 5 of it, or it alone, as the range is wide."""
    factors = (1, 2, 3, 4, 5, 7) if high - low < 1 else (1, 2, 5) if high - low < 3.5 else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _short(shown: Sequence[Mapping[str, Any]], width: int = 28) -> list[str]:
    """Each model's name without what stands in brackets at its end, unless two would then be the same."""
    whole = [str(m["label"]) for m in shown]
    bare = [label.split(" (")[0] for label in whole]
    names = [short if bare.count(short) == 1 else label for short, label in zip(bare, whole, strict=True)]
    return [name if len(name) <= width else name[: width - 1].rstrip() + "…" for name in names]


def _floor_lines(
    report: content.Report, frame: _Frame, factor: int, shown: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line for each baseline that is no point, and a note at the lower edge for those below the frame."""
    drawn = {m["name"] for m in shown}
    shapes, notes, below = [], [], []
    for model in report["models"]:
        if not content.is_baseline(model) or "score" not in model or model["name"] in drawn:
            continue
        y = factor * model["score"]
        text = f"{escape(_short([model])[0])} {numbers.score(model['score'], percent=factor == 100)}"
        if y < frame.y[0]:
            below.append(text)
            continue
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"dash": "dash"}})
        notes.append({**marks.corner(text), "y": y, "yref": "y", "yanchor": "bottom"})
    if below:
        notes.append({**marks.corner(f"↓ below: {', '.join(below)}"), "y": 0, "yref": "paper", "yanchor": "bottom"})
    return shapes, notes
