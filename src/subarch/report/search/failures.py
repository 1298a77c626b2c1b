"""What failed or was stopped, by reason, with the values that those trials share and others do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

from subarch.report import numbers
from subarch.report.search.classes import value_text
from subarch.report.search.outcome import Parameter, Search, Trial
from subarch.report.tables import Cell, Column, Row, Table

_NUMBERS_SHOWN = 12
_SURPRISING = 0.05


def failures_table(search: Search) -> Table | None:
    """One row a reason, the most frequent first, failures before stops; None where every trial went well."""
    columns = (
        Column(heading="Reason", align="left"),
        Column(heading="Trials"),
        Column(heading="What they share", align="left"),
        Column(heading="Numbers", align="left"),
    )
    rows = [
        Row(
            cells=(
                Cell(text=reason(group)),
                Cell(text=str(len(group))),
                Cell(text="; ".join(shared(search, group))),
                Cell(text=_listed(group)),
            ),
            tag="" if group[0].kind == "failed" else "stopped early",
        )
        for group in [*reasons(search.of("failed")), *reasons(search.of("stopped"))]
    ]
    kept = [index for index in range(len(columns)) if any(row.cells[index].text for row in rows)]
    slim = tuple(replace(row, cells=tuple(row.cells[index] for index in kept)) for row in rows)
    table = Table(caption="What failed and why", columns=tuple(columns[index] for index in kept), rows=slim)
    return table if rows else None


def reasons(trials: Sequence[Trial]) -> list[list[Trial]]:
    """The trials by reason, the largest group first; reasons that differ in their numbers alone are one."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(_without_numbers(trial), []).append(trial)
    return sorted(groups.values(), key=lambda group: -len(group))


def reason(group: Sequence[Trial]) -> str:
    """The reason of a group, its numbers left open where they differ."""
    lines = {_first_line(trial) for trial in group}
    return lines.pop() if len(lines) == 1 else _without_numbers(group[0])


def shared(search: Search, group: Sequence[Trial]) -> list[str]:
    """Values that the group has in common and that chance would hardly give to as many trials, narrowest first.

    A value or range that a share w of all ended trials has is shared by n of them by chance with probability
    w^(n-1) for a value, n w^(n-1) - (n-1) w^n for a range; what stays below 5 % after a correction for the
    number of parameters (Bonferroni) is told.
    """
    if len(group) < 2:
        return []
    ended = [trial for trial in search.trials if trial.kind != "running"]
    found = []
    for parameter in search.parameters:
        told = _common(parameter, group, ended)
        if told is not None and told[0] * len(search.parameters) < _SURPRISING:
            found.append(told)
    return [text for _, text in sorted(found)]


def _common(parameter: Parameter, group: Sequence[Trial], ended: Sequence[Trial]) -> tuple[float, str] | None:
    """How likely by chance the group has this in common, and the words for it."""
    name, count = parameter.name, len(group)
    values = [trial.params[name] for trial in group if name in trial.params]
    known = [trial.params[name] for trial in ended if name in trial.params]
    if len(values) < count:
        return None
    if len(set(map(str, values))) == 1:
        share = sum(str(value) == str(values[0]) for value in known) / len(ended)
        return share ** (count - 1), f"{parameter.label} = {value_text(values[0])}"
    if parameter.kind == "choice" or not all(isinstance(value, Real) for value in [*values, *known]):
        return None
    low, high = min(values), max(values)
    share = sum(low <= value <= high for value in known) / len(ended)
    chance = count * share ** (count - 1) - (count - 1) * share**count
    whole = f"of {value_text(min(known))} to {value_text(max(known))}"
    return chance, f"{parameter.label} {value_text(low)} to {value_text(high)} ({whole})"


def headline(search: Search) -> str:
    """How many failed and the most frequent reason, in a sentence; empty where none did."""
    failed = search.of("failed")
    if not failed:
        return ""
    first = reasons(failed)[0]
    share = f" ({len(first)})" if len(first) < len(failed) else ""
    most = "most often" if share else "reason"
    return f"{len(failed)} of {len(search.trials)} trials failed; {most}: {reason(first)}{share}"


def _without_numbers(trial: Trial) -> str:
    return re.sub(r"\d+(\.\d+)?", "…", _first_line(trial))


def _first_line(trial: Trial) -> str:
    lines = [line.strip() for line in trial.reason.splitlines() if line.strip()]
    text = lines[0] if lines else "no reason was recorded"
    return text if len(text) <= 160 else f"{text[:159].rstrip()}…"


def _listed(group: Sequence[Trial]) -> str:
    names = [trial.name for trial in group[:_NUMBERS_SHOWN]]
    return ", ".join(names) + (f" and {len(group) - len(names)} more" if len(group) > len(names) else "")


def durations(search: Search) -> str:
    """What the trials took in all and typically; empty where no time is known."""
    known = sorted(trial.seconds for trial in search.trials if trial.seconds is not None)
    if not known:
        return ""
    return f"{numbers.seconds(sum(known))} of trials, {numbers.seconds(known[len(known) // 2])} the median trial"
