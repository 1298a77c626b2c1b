"""The page of a search: the verdict, the front, how it came about, what failed, and its members side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from subarch.report import document, numbers
from subarch.report.search import coordinates, failures, front, history, importance, members, verdict
from subarch.report.search.outcome import Search, read
from subarch.report.tables import Cell, Column, Row, Table

REFRESH_SECONDS = 30
_TONES = {"found": "ship", "infeasible": "below-floor", "failed": "below-floor", "empty": "unmeasured"}
_PILLS = {
    "found": "Front found",
    "infeasible": "No trial meets the thresholds",
    "failed": "Nothing finished",
    "empty": "No trial yet",
}


def search_page(content: Mapping[str, Any]) -> str:
    """The search as a complete page that needs nothing else; about 5 MB, nearly all of it Plotly's script."""
    search = read(content)
    sections = (
        _top(search),
        _front(search),
        _progress(search),
        _importance(search),
        _coordinates(search),
        _curves(search),
        _failures(search),
        _members(search),
        _slices(search),
        _notes(search),
        _facts(search),
        _trials(search),
    )
    body = "\n".join(part for part in sections if part)
    refresh = REFRESH_SECONDS if search.running else None
    extras = document.Extras(style="search.css", script="search.js", refresh_seconds=refresh)
    return document.page(search.title, body, extras)


def _top(search: Search) -> str:
    judged = verdict.verdict(search)
    caveats = "".join(f"<li>{escape(caveat)}.</li>" for caveat in (text.rstrip(".") for text in judged.caveats))
    quiet = "; ".join(text for text in (search.subtitle, failures.durations(search)) if text)
    running = f"Still running: this page loads itself again every {REFRESH_SECONDS} seconds."
    tiles = "".join(
        f'<div><dt>{escape(heading)}</dt><dd class="big">{escape(value)}</dd>'
        + (f'<dd class="small">{escape(remark)}</dd>' if remark else "")
        + "</div>"
        for heading, value, remark in verdict.tiles(search)
    )
    return (
        f'<header class="{_TONES[judged.kind]}">\n<h1>{escape(search.title)}</h1>\n'
        f'<span class="pill">{_PILLS[judged.kind]}</span>\n'
        + (f'<p class="running">{running}</p>\n' if search.running else "")
        + f'<p class="verdict">{escape(judged.sentence)}</p>\n'
        + (f'<ul class="caveats">{caveats}</ul>\n' if caveats else "")
        + (document.note(numbers.capital(quiet)) if quiet else "")
        + f'<dl class="tiles">{tiles}</dl>\n</header>'
    )


def _front(search: Search) -> str:
    drawn = front.front(search)
    if drawn is None:
        return ""
    figure, choices = drawn
    listed = {key: (axis["label"], axis["kind"]) for key, axis in choices["axes"].items()}
    controls = "".join(
        _select(
            letter, f"front-{letter}", _options(listed, choices[letter], none="class" if letter == "colour" else "")
        )
        for letter in ("x", "y", "colour")
    )
    return document.section(
        "The front",
        f'<form class="controls" data-front="front">{controls}</form>',
        document.figure(figure, "front"),
        f'<script type="application/json" id="front-choices">{document.script_json(choices)}</script>',
        document.note(_front_note(search)),
    )


def _front_note(search: Search) -> str:
    bounds = [metric.threshold_text() for metric in search.metrics if metric.threshold is not None]
    shaded = f"Thresholds: {', '.join(bounds)}; what does not meet them is shaded. " if bounds else "No thresholds. "
    bars = "Bars are standard errors. " if any(trial.errors for trial in search.trials) else ""
    return f"{shaded}{bars}A click on a class in the legend hides it; a double click on the plot shows all of it."


def _progress(search: Search) -> str:
    figures = [("Hypervolume", history.hypervolume(search))]
    figures += [(numbers.capital(metric.label), history.improvement(search, metric)) for metric in search.objectives]
    shown = [
        f"<div><h3>{escape(heading)}</h3>{document.figure(figure, f'history-{index}')}</div>"
        for index, (heading, figure) in enumerate(figures)
        if figure is not None
    ]
    note = history.progress_note(search, with_hypervolume=figures[0][1] is not None)
    return document.section("Progress", _pair(shown), document.note(note)) if shown else ""


def _importance(search: Search) -> str:
    shown = []
    for index, metric in enumerate(search.metrics):
        drawn = importance.importance(search, metric)
        if drawn is not None:
            heading = f"<h3>{escape(numbers.capital(metric.label))}</h3>"
            shown.append(f"<div>{heading}{document.figure(drawn, f'importance-{index}')}</div>")
    how = "Bars show the uncertainty. ↑ more of it raises the metric, ↓ lowers it, ↕ it depends; grey is inert."
    inert = importance.inert_sentence(search)
    sentence = f"<p>{escape(inert)}</p>" if inert else ""
    return document.section("Importance of the parameters", sentence, _pair(shown), document.note(how)) if shown else ""


def _coordinates(search: Search) -> str:
    drawn = coordinates.coordinates(search)
    if drawn is None:
        return ""
    listed = {
        str(i): (" ".join(axis["label"]), "metric" if axis["metric"] else "parameter")
        for i, axis in enumerate(drawn["axes"])
    }
    colours = _options(listed, "0" if drawn["axes"][0]["metric"] else "", none="front membership")
    left_out = [f"{len(search.of(kind))} {kind}" for kind in ("failed", "stopped", "running") if search.of(kind)]
    note = "Drag along an axis to keep the trials within; click it to let them go. Strong colours are good values."
    note += f" Left out: {', '.join(left_out)}." if left_out else ""
    return document.section(
        "Parallel coordinates",
        f'<form class="controls" data-lines="lines">{_select("colour", "lines-colour", colours)}'
        '<label class="check"><input type="checkbox" id="lines-front"> only the front</label></form>',
        f'<div class="scroll"><div class="coordinates" role="img" aria-label="{escape(drawn["alt"])}"></div></div>'
        f'<script type="application/json" id="lines">{document.script_json(drawn)}</script>',
        '<noscript><p class="note">The figure needs scripts; its numbers are those of all trials below.</p></noscript>',
        '<p class="note" id="lines-chosen" aria-live="polite"></p>',
        document.note(note),
    )


def _curves(search: Search) -> str:
    return document.section("Learning curves", document.figure(history.learning_curves(search), "curves"))


def _failures(search: Search) -> str:
    table = failures.failures_table(search)
    told = table is not None and len(table.columns) == 4
    how = "Shared values are those that chance would hardly give to as many trials." if told else ""
    return document.section("What failed and why", document.table(table, "reasons cards"), document.note(how))


def _members(search: Search) -> str:
    table = members.members_table(search)
    if table is None:
        return ""
    shown, count = len(table.columns) - 1 - (search.reference is not None), len(search.members)
    some = f"{shown} of the {count} members, spread over the front. " if shown < count - 1 else ""
    how = "Small figures are against the baseline. " if search.reference is not None else ""
    untouched = "Untouched data: mean ± standard deviation over new seeds. " if search.confirmed else ""
    return document.section(
        "The front side by side",
        document.table(table, "beside"),
        document.note(f"{some}{how}{untouched}{members.same_in_all(search)}".strip()),
    )


def _slices(search: Search) -> str:
    blocks = []
    for name, table, count in members.slices_tables(search):
        worst = Table(caption=table.caption, columns=table.columns, rows=table.rows[: members.WORST_SLICES])
        blocks.append(f"<h3>{escape(table.caption)}, worst first</h3>{document.table(worst, 'beside')}")
        if count > members.WORST_SLICES:
            rest = Table(caption=table.caption, columns=table.columns, rows=table.rows[members.WORST_SLICES :])
            summary = f"The other {count - members.WORST_SLICES} of {name}"
            blocks.append(f"<details><summary>{escape(summary)}</summary>{document.table(rest, 'beside')}</details>")
    return document.section("Slices", *blocks)


def _notes(search: Search) -> str:
    found = "".join(f"<li>{escape(note)}</li>" for note in search.notes)
    return document.section("The data", f'<ul class="notes">{found}</ul>' if found else "")


def _facts(search: Search) -> str:
    rows = tuple(Row(cells=(Cell(text=key), Cell(text=value))) for key, value in search.facts.items())
    columns = (Column(heading="Fact", align="left"), Column(heading="Value", align="left"))
    table = Table(caption="Facts", columns=columns, rows=rows) if rows else None
    return document.section("Facts", document.table(table, "narrow"))


def _trials(search: Search) -> str:
    if not search.trials:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "class", *(m.name for m in search.metrics), *(p.name for p in search.parameters)])
    for trial in search.trials:
        values = [trial.metrics.get(metric.name, "") for metric in search.metrics]
        writer.writerow([trial.number, trial.kind, *values, *(trial.params.get(p.name, "") for p in search.parameters)])
    return document.section(
        "All trials", f"<details><summary>As comma-separated values</summary>{document.code(text.getvalue())}</details>"
    )


def _pair(blocks: Iterable[str]) -> str:
    return f'<div class="pair">{"".join(blocks)}</div>'


def _select(label: str, identity: str, options: str) -> str:
    return f'<label>{escape(label)} <select id="{identity}" autocomplete="off">{options}</select></label>'


def _options(listed: Mapping[str, tuple[str, str]], chosen: str, none: str) -> str:
    """The choices of a drop-down list in groups, the chosen one marked; `none` names the one without an axis."""
    groups: dict[str, list[str]] = {}
    for key, (label, kind) in listed.items():
        marked = " selected" if key == chosen else ""
        groups.setdefault(kind, []).append(f'<option value="{escape(key)}"{marked}>{escape(label)}</option>')
    first = f'<option value=""{"" if chosen else " selected"}>{escape(none)}</option>' if none else ""
    headings = {"metric": "metrics", "parameter": "parameters", "trial": "order"}
    return first + "".join(
        f'<optgroup label="{headings[kind]}">{"".join(options)}</optgroup>' for kind, options in groups.items()
    )
