"""The classes of a report: macro F1 and each class's recall, where one score of all examples hides something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subarch.report import content, numbers
from subarch.report.tables import Cell, Column, Row, Table

SHOWN = 20
"""Classes shown, those with the lowest recall of the student."""


def classes_table(report: content.Report) -> Table | None:
    """Macro F1 and the recall of each class; None where classes are even and every model gives several answers."""
    report = content.present(report)
    models = content.compared(report, "classes")
    found = {model["name"]: model["classes"] for model in models}
    if not any(model["classes"].get("uneven") or content.one_answer(model) for model in models):
        return None
    judged = found.get("student") or next(iter(found.values()))
    names = sorted(judged["recalls"], key=lambda name: (judged["recalls"][name], -judged["examples"][name]))
    rows = [Row(cells=(Cell(text="Macro F1"), Cell(), *(_score(each, "f1_macro") for each in found.values())))]
    rows += [Row(cells=(Cell(text=name), *_recalls(name, judged, found))) for name in names[:SHOWN]]
    given = [_answers(each) for each in found.values()]
    rows.append(Row(cells=(Cell(text="Classes given as an answer"), Cell(), *given)))
    left = len(names) - SHOWN
    return Table(
        caption="Recall of each class" + (f": the {SHOWN} lowest of {len(names)}" if left > 0 else ""),
        columns=(
            Column(heading="Recall of the class", align="left"),
            Column(heading="Examples"),
            *(Column(heading=content.heading(model)) for model in models),
        ),
        rows=tuple(rows),
    )


def _recalls(name: str, judged: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    shares = [Cell(text=numbers.score(each["recalls"].get(name), percent=True)) for each in found.values()]
    return [Cell(text=f"{judged['examples'][name]:,}"), *shares]


def _score(classes: Mapping[str, Any], name: str) -> Cell:
    bounds = classes.get(f"{name}_interval")
    return Cell(text=numbers.score(classes.get(name), percent=True), detail=numbers.interval(bounds, percent=True))


def _answers(classes: Mapping[str, Any]) -> Cell:
    return Cell(text=str(classes["answers"]), detail=f"({classes['answer']})" if classes["answers"] == 1 else "")
