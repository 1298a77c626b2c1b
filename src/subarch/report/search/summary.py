"""A search in a few lines of Markdown: the verdict, the front, what failed and what is inert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subarch.report import numbers
from subarch.report.markdown import escape
from subarch.report.markdown import table as markdown_table
from subarch.report.search import failures, importance, verdict
from subarch.report.search.classes import value_text
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Search, Trial, read
from subarch.report.tables import Cell, Column, Row, Table

_MEMBERS = 20
_PARAMETERS = 4
_REASONS = 5


def search_summary(content: Mapping[str, Any]) -> str:
    """The verdict, the front as a table, what failed and what is inert; user text is escaped."""
    search = read(content)
    running = "Still running." if search.running else ""
    blocks = [
        escape(verdict.verdict(search).sentence),
        running,
        f"**{escape(search.title)}**" + (f": {escape(search.subtitle)}" if search.subtitle else ""),
        _front(search),
        _failures(search),
        escape(importance.inert_sentence(search)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _front(search: Search) -> str:
    base = [search.reference] if search.reference and search.reference not in search.members else []
    if not search.members:
        return ""
    trials, metrics = [*base, *search.members[:_MEMBERS]], [m for m in search.metrics if m.role != "stored"]
    told = [metric for metric in metrics if any(metric.name in c for c in search.confirmed.values())]
    scores = [metric for metric in told if any(_confirmed(search, metric, trial) for trial in trials)]
    parameters = [
        p
        for p in search.parameters
        if p.name not in search.inert and len({str(t.params.get(p.name)) for t in trials}) > 1
    ][:_PARAMETERS]
    heads = ["Trial", *(numbers.capital(m.label) for m in metrics)]
    heads += [f"{numbers.capital(m.label)}, untouched data" for m in scores] + [p.label for p in parameters]
    rows = []
    for trial in trials:
        name = f"{trial.name} (baseline)" if trial.number == search.baseline else trial.name
        values = [metric.written(trial.metrics.get(metric.name)) for metric in metrics]
        values += [_confirmed(search, metric, trial) for metric in scores]
        values += [value_text(trial.params.get(p.name, "–")) for p in parameters]
        rows.append(Row(cells=tuple(Cell(text=text) for text in (name, *values))))
    columns = (Column(heading=heads[0], align="left"), *(Column(heading=head) for head in heads[1:]))
    table = markdown_table(Table(caption="The front", columns=columns, rows=tuple(rows)))
    more = len(search.members) - _MEMBERS
    return f"## The front\n\n{table}" + (f"\n\nAnd {more} more." if more > 0 else "")


def _confirmed(search: Search, metric: Metric, trial: Trial) -> str:
    """Mean and standard deviation on untouched data, where they say more than the search's own value."""
    known = search.confirmed.get(trial.number, {}).get(metric.name, {})
    if "mean" not in known or known["mean"] == trial.metrics.get(metric.name):
        return ""
    return metric.written(known["mean"]) + (f" ± {metric.written(known['std'])}" if "std" in known else "")


def _failures(search: Search) -> str:
    table = failures.failures_table(search)
    if table is None:
        return ""
    lines = []
    for row in table.rows[:_REASONS]:
        reason, count, *common = (cell.text for cell in row.cells[:-1])
        kind = f", {row.tag}" if row.tag else ""
        lines.append(f"- {escape(reason)} ({count}{kind})" + "".join(f": {escape(text)}" for text in common if text))
    return "## What failed\n\n" + "\n".join(lines)
