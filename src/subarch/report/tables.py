"""The report's tables as values; Markdown, HTML and the terminal only lay them out.

Cells hold plain text, not escaped: each renderer escapes for its own language.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from subarch.report import content, numbers
from subarch.report.verdict import verdict

CANDIDATES_SHOWN = 12
TERMINAL_WIDTH = 100
_GAP = "  "


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading and how its cells stand."""

    heading: str
    align: Literal["left", "right"] = "right"
    minor: bool = False
    """Left out where there is no room: on a phone and in the terminal."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in a table's field, with the interval or spread that belongs to it."""

    text: str = ""
    detail: str = ""

    @property
    def full(self) -> str:
        """Text and detail in one line."""
        return f"{self.text} {self.detail}".strip()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A table's row; `tag` says in a word why it is emphasised."""

    cells: tuple[Cell, ...]
    emphasis: bool = False
    tag: str = ""
    baseline: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; the first column names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def models_table(report: content.Report) -> Table | None:
    """Every measured model with its score, size, latency and agreement; None where there is none."""
    report = content.present(report)
    percent, judged = content.in_percent(report), verdict(report)
    tag = {"ship": "recommended", "floor": "sufficient"}.get(judged.kind, "fastest student")
    columns = (
        Column(heading="Model", align="left"),
        Column(heading=numbers.capital(content.metric(report))),
        Column(heading="Parameters"),
        Column(heading="Encoder", minor=True),
        Column(heading="Size"),
        Column(heading="Latency"),
        Column(heading="Speed-up"),
        Column(heading="Agreement"),
        Column(heading="Folder", align="left", minor=True),
    )
    rows = [
        Row(
            cells=_model_cells(model, percent=percent),
            emphasis=model["name"] == judged.recommended,
            tag=tag if model["name"] == judged.recommended else "",
            baseline=content.is_baseline(model),
        )
        for model in report["models"]
        if any(key in model for key in ("score", "latency_ms", "model_bytes", "parameters"))
    ]
    return _without_empty(Table(caption="Models", columns=columns, rows=tuple(rows)))


def _model_cells(model: Mapping[str, Any], *, percent: bool) -> tuple[Cell, ...]:
    low, high = model.get("latency_ms_low"), model.get("latency_ms_high")
    spread = "" if low is None or high is None else f"[{numbers.significant(low)}, {numbers.significant(high)}]"
    return (
        Cell(text=str(model["label"])),
        Cell(
            text=numbers.score(model.get("score"), percent=percent),
            detail=numbers.interval(model.get("score_interval"), percent=percent),
        ),
        Cell(text=numbers.count(model.get("parameters"))),
        Cell(text=numbers.count(model.get("encoder_parameters"))),
        Cell(text=numbers.size(model.get("model_bytes"))),
        Cell(text=numbers.milliseconds(model.get("latency_ms")), detail=spread),
        Cell(text=numbers.speedup(model.get("speedup"))),
        Cell(text=numbers.percentage(model.get("agreement"), 1)),
        Cell(text=str(model.get("path", ""))),
    )


def candidates_table(report: content.Report) -> Table | None:
    """The chosen candidate first, then the others with the highest W, at most twelve in all."""
    report = content.present(report)
    found = [candidate for candidate in report.get("candidates", []) if isinstance(candidate, dict)]
    found.sort(key=lambda c: (not c.get("chosen"), -c.get("w", float("-inf")), c.get("error", float("inf"))))
    columns = (
        Column(heading="Layers"),
        Column(heading="Hidden"),
        Column(heading="Heads", minor=True),
        Column(heading="Intermediate", minor=True),
        Column(heading="Parameters"),
        Column(heading="Latency"),
        Column(heading="Error"),
        Column(heading="W"),
        Column(heading="Note", align="left", minor=True),
    )
    rows = [
        Row(cells=_candidate_cells(candidate), emphasis=bool(candidate.get("chosen")))
        for candidate in found[:CANDIDATES_SHOWN]
    ]
    left = len(found) - len(rows)
    caption = "Candidates" if left == 0 else f"Candidates: {len(rows)} of {len(found)}, the chosen one first, then by W"
    return _without_empty(Table(caption=caption, columns=columns, rows=tuple(rows)))


def _candidate_cells(candidate: Mapping[str, Any]) -> tuple[Cell, ...]:
    shape = candidate.get("architecture", {})
    bounds = candidate.get("error_interval", ())
    detail = f"[{', '.join(numbers.significant(bound) for bound in bounds)}]" if len(bounds) == 2 else ""
    marks = [word for key, word in _MARKS.items() if candidate.get(key)]
    return (
        *(
            Cell(text=_plain(shape.get(key)))
            for key in ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
        ),
        Cell(text=numbers.count(candidate.get("parameters"))),
        Cell(text=numbers.milliseconds(candidate.get("latency_ms"))),
        Cell(text=numbers.significant(candidate.get("error")), detail=detail),
        Cell(text=numbers.significant(candidate.get("w"))),
        Cell(text=", ".join(marks)),
    )


_MARKS = {"chosen": "chosen", "on_front": "on the front", "tied": "tied"}


def architectures_table(report: content.Report) -> Table | None:
    """The teacher's and the student's configuration, side by side; None unless both are known."""
    report = content.present(report)
    both = report.get("architectures", {})
    teacher, student = both.get("teacher"), both.get("student")
    if not teacher or not student:
        return None
    columns = (Column(heading="Field", align="left"), Column(heading="Teacher"), Column(heading="Student"))
    rows = tuple(
        Row(
            cells=(Cell(text=key), Cell(text=_plain(teacher.get(key))), Cell(text=_plain(student.get(key)))),
            emphasis=teacher.get(key) != student.get(key),
        )
        for key in content.shape_keys(teacher, student)
    )
    return Table(caption="Architectures", columns=columns, rows=rows)


def stages_table(report: content.Report) -> Table | None:
    """How long each stage took, and the whole against its budget."""
    report = content.present(report)
    stages = [stage for stage in report.get("stages", []) if "name" in stage]
    if not stages:
        return None
    rows = [
        Row(
            cells=(
                Cell(text=str(s["name"])),
                Cell(text="reused" if s.get("reused") else numbers.seconds(s.get("seconds"))),
            )
        )
        for s in stages
    ]
    if "seconds" in report:
        budget = numbers.seconds(report.get("budget_seconds"))
        total = Cell(text=numbers.seconds(report["seconds"]), detail=f"of {budget}" if budget else "")
        rows.append(Row(cells=(Cell(text="total"), total), emphasis=True))
    columns = (Column(heading="Stage", align="left"), Column(heading="Time"))
    return Table(caption="Where the time went", columns=columns, rows=tuple(rows))


def environment_table(report: content.Report) -> Table | None:
    """Where the numbers were measured."""
    environment = content.present(report).get("environment", {})
    rows = tuple(Row(cells=(Cell(text=key), Cell(text=_plain(value)))) for key, value in environment.items())
    columns = (Column(heading="Environment", align="left"), Column(heading="Value", align="left"))
    return Table(caption="Environment", columns=columns, rows=rows) if rows else None


def text_table(report: content.Report) -> str:
    """The models' table for a terminal: aligned columns, no boxes, at most 100 columns wide.

    The recommended model carries an asterisk. An empty string where there is no model.
    """
    table = models_table(report)
    if table is None:
        return ""
    kept = [index for index, column in enumerate(table.columns) if not column.minor]
    headings = [_printable(table.columns[index].heading) for index in kept]
    aligns = [table.columns[index].align for index in kept]
    lines = [[_terminal_cell(row, index) for index in kept] for row in table.rows]
    widths = _fitted([max(map(_width, column)) for column in zip(headings, *lines, strict=True)])
    tags = {row.tag for row in table.rows if row.tag}
    text = [_aligned(line, widths, aligns) for line in [headings, *lines]]
    return "\n".join([*text, *(f"* {tag}" for tag in sorted(tags))])


def _terminal_cell(row: Row, index: int) -> str:
    if index == 0:
        return _printable(row.cells[0].text) + (" *" if row.tag else "")
    # The spread of a latency gives way to the width of a terminal; the score's interval does not.
    return _printable(row.cells[index].full if index == 1 else row.cells[index].text)


def _fitted(widths: list[int]) -> list[int]:
    """The widths of the columns, the widest made narrower until the line fits."""
    widths = list(widths)
    while sum(widths) + len(_GAP) * (len(widths) - 1) > TERMINAL_WIDTH:
        widths[widths.index(max(widths))] -= 1
    return widths


def _aligned(line: Sequence[str], widths: Sequence[int], aligns: Sequence[str]) -> str:
    cells = []
    for text, width, align in zip(line, widths, aligns, strict=True):
        text = _shortened(text, width)
        space = " " * (width - _width(text))
        cells.append(text + space if align == "left" else space + text)
    return _GAP.join(cells).rstrip()


def _shortened(text: str, width: int) -> str:
    """The text in at most `width` columns; a recommended model keeps its asterisk."""
    if _width(text) <= width:
        return text
    ending = "… *" if text.endswith(" *") else "…"
    while text and _width(text) + len(ending) > width:
        text = text[:-1]
    return text.rstrip() + ending


def _width(text: str) -> int:
    """How many columns a terminal gives to the text."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(bool(unicodedata.combining(letter)) for letter in text)


def _printable(text: str) -> str:
    """The text without line breaks and control characters, which would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _without_empty(table: Table) -> Table | None:
    """The table without the columns that say nothing; None where no row is left."""
    kept = [i for i in range(len(table.columns)) if any(row.cells[i].full for row in table.rows)]
    if not table.rows or not kept:
        return None
    rows = tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)
