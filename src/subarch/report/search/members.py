"""The members of the front side by side: their values, what confirmed them, where they differ, their slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from subarch.report import numbers
from subarch.report.search.classes import value_text
from subarch.report.search.metric import Metric
from subarch.report.search.outcome import Parameter, Search, Trial
from subarch.report.tables import Cell, Column, Row, Table

SHOWN = 16
WORST_SLICES = 12


def compared(search: Search) -> list[Trial]:
    """The baseline first, then the front, evenly thinned where it is too long to stand side by side."""
    members = [trial for trial in search.members if trial.number != search.baseline]
    if len(members) > SHOWN:
        step = (len(members) - 1) / (SHOWN - 1)
        members = [members[round(index * step)] for index in range(SHOWN)]
    return [*([search.reference] if search.reference and members else []), *members]


def members_table(search: Search) -> Table | None:
    """A column for each member: metrics of the search, confirmed ones below, parameters that differ; None without."""
    trials = compared(search)
    if not trials:
        return None
    rows = []
    for metric in search.metrics:
        rows.append(_metric_row(search, metric, trials))
        rows += _confirmed_row(search, metric, trials)
    differing = [p for p in search.parameters if _differs(p, trials)]
    rows += [
        Row(
            cells=(
                Cell(text=parameter.label),
                *(Cell(text=value_text(t.params.get(parameter.name, "–"))) for t in trials),
            )
        )
        for parameter in differing
    ]
    kept = [row for row in rows if any(cell.full for cell in row.cells[1:])]
    return Table(caption="The members of the front", columns=_columns(search, "", trials), rows=tuple(kept))


def same_in_all(search: Search) -> str:
    """The parameters in which the compared trials agree, in a sentence."""
    trials = compared(search)
    if len(trials) < 2:
        return ""
    same = [p for p in search.parameters if not _differs(p, trials) and p.name in trials[0].params]
    listed = ", ".join(f"{p.label} {value_text(trials[0].params[p.name])}" for p in same)
    return f"The same in all of them: {listed}." if listed else ""


def slices_tables(search: Search) -> list[tuple[str, Table, int]]:
    """For each slicing (topics, say) its name, a table with the worst values first, and how many rows it has."""
    trials = [trial for trial in compared(search) if trial.number in search.slices]
    names = dict.fromkeys(name for trial in trials for name in search.slices[trial.number])
    found = []
    for name in names:
        table = _slices_table(search, name, [t for t in trials if name in search.slices[t.number]])
        if table is not None:
            found.append((name, table, len(table.rows)))
    return found


def _slices_table(search: Search, name: str, trials: Sequence[Trial]) -> Table | None:
    cells = {trial.number: search.slices[trial.number][name] for trial in trials}
    metric = next((m for m in search.metrics if any(m.name in v for s in cells.values() for v in s.values())), None)
    if metric is None:
        return None
    values = dict.fromkeys(value for slices in cells.values() for value in slices)
    ranked = sorted(values, key=lambda value: -_mean_cost(metric, value, cells))
    rows = [
        Row(
            cells=(
                Cell(text=str(value).replace("_", " ")),
                Cell(text=numbers.count(_count(value, cells))),
                *(Cell(text=metric.written(cells[t.number].get(value, {}).get(metric.name))) for t in trials),
            )
        )
        for value in ranked
    ]
    first = Column(heading=numbers.capital(name.replace("_", " ")), align="left")
    columns = (first, Column(heading="Examples"), *_columns(search, "", trials)[1:])
    return Table(caption=f"{numbers.capital(metric.label)} by {name}", columns=columns, rows=tuple(rows))


def _mean_cost(metric: Metric, value: str, cells: Mapping[int, Mapping[str, Mapping[str, float]]]) -> float:
    known = [metric.cost(s[value][metric.name]) for s in cells.values() if metric.name in s.get(value, {})]
    return sum(known) / len(known) if known else float("-inf")


def _count(value: str, cells: Mapping[int, Mapping[str, Mapping[str, float]]]) -> float | None:
    return next((s[value]["count"] for s in cells.values() if "count" in s.get(value, {})), None)


def _columns(search: Search, first: str, trials: Sequence[Trial]) -> tuple[Column, ...]:
    names = [f"{t.name} baseline" if t.number == search.baseline else t.name for t in trials]
    return (Column(heading=first, align="left"), *(Column(heading=name) for name in names))


def _metric_row(search: Search, metric: Metric, trials: Sequence[Trial]) -> Row:
    reference = search.reference.metrics.get(metric.name) if search.reference else None
    cells = []
    for trial in trials:
        value = trial.metrics.get(metric.name)
        against = value is not None and reference is not None and trial.number != search.baseline
        change = metric.change(value, reference) if against and value is not None and reference is not None else ""
        cells.append(Cell(text=metric.written(value), detail=change))
    return Row(cells=(Cell(text=numbers.capital(metric.label)), *cells), emphasis=metric.role == "objective")


def _confirmed_row(search: Search, metric: Metric, trials: Sequence[Trial]) -> list[Row]:
    """Mean and standard deviation on untouched data; no row where all are the search's own values, as of a size."""
    cells = []
    for trial in trials:
        known = search.confirmed.get(trial.number, {}).get(metric.name, {})
        spread = f" ± {metric.written(known['std'])}" if "std" in known else ""
        runs = f"{known['count']:g} seed{'' if known['count'] == 1 else 's'}" if "count" in known else ""
        mean = known.get("mean")
        cells.append(Cell(text=metric.written(mean) + spread if mean is not None else "", detail=runs))
    means = [(t, search.confirmed.get(t.number, {}).get(metric.name, {}).get("mean")) for t in trials]
    told = any(mean is not None and mean != t.metrics.get(metric.name) for t, mean in means)
    label = Cell(text=f"{numbers.capital(metric.label)}, untouched data")
    return [Row(cells=(label, *cells))] if told else []


def _differs(parameter: Parameter, trials: Sequence[Trial]) -> bool:
    return len({str(trial.params.get(parameter.name)) for trial in trials}) > 1
