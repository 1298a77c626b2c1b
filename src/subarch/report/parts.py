"""What one score hides: the further metrics of a task, and the parts of the data on which the student is worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subarch.report import content, numbers
from subarch.report.tables import Cell, Column, Row, Table

SHOWN = 10
"""Parts shown, those on which the student scores lowest."""


def metrics_table(report: content.Report) -> Table | None:
    """Every metric that is told of, with its interval; None where it is the score alone."""
    report = content.present(report)
    models = content.compared(report, "metrics")
    names = list(dict.fromkeys(name for model in models for name in model["metrics"]))
    if len(names) < 2:
        return None
    rows = [
        Row(
            cells=(Cell(text=numbers.capital(numbers.metric_name(name))), *(_metric(model, name) for model in models)),
            emphasis=name == report.get("task", {}).get("main_metric"),
        )
        for name in names
    ]
    return Table(caption="Scores", columns=_columns("Metric", models), rows=tuple(rows))


def parts_table(report: content.Report) -> Table | None:
    """The parts of the data that the student answers worst, the worst first; None where there are none."""
    report = content.present(report)
    models = content.compared(report, "parts")
    student = content.model(report, "student").get("parts", {})
    if len(student) < 2:
        return None
    worst = sorted(student, key=lambda name: (student[name]["score"], name))[:SHOWN]
    percent = content.in_percent(report)
    rows = [
        Row(
            cells=(
                Cell(text=name),
                Cell(text=f"{student[name]['count']:,}"),
                *(_part(model["parts"].get(name, {}), percent=percent) for model in models),
            )
        )
        for name in worst
    ]
    columns = _columns(numbers.capital(part(report)), models)
    examples = Column(heading=numbers.capital(content.unit(report)))
    caption = f"{numbers.capital(content.metric(report))} by {part(report)}: the {len(rows)} lowest of {len(student):,}"
    return Table(caption=caption, columns=(columns[0], examples, *columns[1:]), rows=tuple(rows))


def part(report: content.Report) -> str:
    """What a part of the data is called."""
    return str(content.model(report, "student").get("part", "part"))


def _columns(first: str, models: list[dict[str, Any]]) -> tuple[Column, ...]:
    return (
        Column(heading=first, align="left"),
        *(Column(heading=content.heading(model)) for model in models),
    )


def _metric(model: Mapping[str, Any], name: str) -> Cell:
    percent = numbers.is_share(name)
    bounds = model.get("intervals", {}).get(name)
    return Cell(
        text=numbers.score(model["metrics"].get(name), percent=percent),
        detail=numbers.interval(bounds, percent=percent),
    )


def _part(found: Mapping[str, Any], *, percent: bool) -> Cell:
    return Cell(
        text=numbers.score(found.get("score"), percent=percent),
        detail=numbers.interval(found.get("interval"), percent=percent),
    )
