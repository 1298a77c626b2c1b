"""The report as one page of HTML that needs nothing else: no network, no server, no other file.

Plotly's script is written into it once, and a content security policy forbids the page to load anything.
Without scripts the page still shows the verdict and every table. Text from the report enters through `escape`
only, data for the scripts through `_script_json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from subarch.report import content, figures, markdown, numbers, tables, theme, trade_off
from subarch.report.verdict import Verdict, verdict

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_PILLS = {
    "ship": "Worth shipping",
    "lossy": "Smaller, but worse",
    "below-floor": "Not worth shipping",
    "floor": "No transformer needed",
    "unmeasured": "Not measured",
}


def render_html(report: content.Report) -> str:
    """The report as a complete page; about 5 MB, nearly all of it Plotly's script."""
    report = content.present(report)
    judged = verdict(report)
    body = "\n".join(
        part
        for part in (
            _top(report, judged),
            _models(report),
            _architecture(report),
            _candidates(report),
            _learning(report),
            _time(report),
            _load(report),
            _notes(report),
            _reproduce(report),
        )
        if part
    )
    return _page(content.title(report), body)


def render_candidates(report: content.Report) -> str:
    """A page of the candidates alone: their figure and their table."""
    report = content.present(report)
    heading = f"<header>\n<h1>{escape(content.title(report))}</h1>\n</header>"
    return _page(content.title(report), f"{heading}\n{_candidates(report)}")


def _page(title: str, body: str) -> str:
    """The whole document; Plotly's script only where there is something to draw."""
    templates = {scheme: theme.template(scheme) for scheme in theme.SCHEMES}
    scripts = (
        f'<script type="application/json" id="templates">{_script_json(templates)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{_asset('page.js')}</script>\n"
        if 'class="plot"' in body
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}</body>\n</html>\n"
    )


def _top(report: content.Report, judged: Verdict) -> str:
    facts = "; ".join(markdown.task_facts(report))
    caveats = "".join(f"<li>{escape(caveat)}</li>" for caveat in judged.caveats)
    return (
        f'<header class="{judged.kind}">\n<h1>{escape(content.title(report))}</h1>\n'
        f'<span class="pill">{_PILLS[judged.kind]}</span>\n'
        f'<p class="verdict">{escape(judged.sentence)}</p>\n'
        + (f'<ul class="caveats">{caveats}</ul>\n' if caveats else "")
        + (f'<p class="note">{escape(numbers.capital(facts))}.</p>\n' if facts else "")
        + _tiles(report, judged)
        + "</header>"
    )


def _tiles(report: content.Report, judged: Verdict) -> str:
    """The model to ship (the student where there is none) in four numbers, each against the teacher's."""
    teacher = content.model(report, "teacher")
    subject = content.model(report, judged.recommended or "student")
    percent = content.in_percent(report)
    kinds = (
        (
            "score",
            numbers.capital(content.metric(report)),
            lambda value: numbers.score(value, percent=percent),
        ),
        ("parameters", "Parameters", numbers.count),
        ("model_bytes", "Size on disk", numbers.size),
        ("latency_ms", "Latency, one example", numbers.milliseconds),
    )
    tiles = [
        f'<div><dt>{escape(heading)}</dt><dd class="big">{escape(written(subject[key]))}</dd>'
        + (f'<dd class="small">teacher {escape(written(teacher[key]))}</dd>' if key in teacher else "")
        + "</div>"
        for key, heading, written in kinds
        if key in subject
    ]
    label = escape(str(subject.get("label", "")))
    return f'<p class="subject">{label}</p>\n<dl class="tiles">{"".join(tiles)}</dl>\n' if tiles else ""


def _models(report: content.Report) -> str:
    table = _table(tables.models_table(report), "cards")
    note = markdown.models_note(report)
    figure = _figure(trade_off.trade_off(report), "trade-off")
    return _section("Models", figure, table, f'<p class="note">{escape(note)}</p>' if note else "")


def _architecture(report: content.Report) -> str:
    return _section("Architecture", _table(tables.architectures_table(report), "narrow"))


def _candidates(report: content.Report) -> str:
    if not report.get("candidates"):
        return ""
    figure = _figure(figures.candidates(report), "candidates")
    note = f'<p class="note">{escape(markdown.candidates_note(report))}</p>'
    return _section("Candidates", note, figure, _table(tables.candidates_table(report), "compact"))


def _learning(report: content.Report) -> str:
    percent, metric = content.in_percent(report), content.metric(report)
    shown: list[str] = []
    for name, points in report.get("curves", {}).items():
        drawn = figures.learning_curve(points, str(name), metric, percent=percent)
        if drawn is not None:
            shown.append(f"<div><h3>{escape(str(name))}</h3>{_figure(drawn, f'curve-{len(shown)}')}</div>")
    return _section("Learning curves", f'<div class="pair">{"".join(shown)}</div>' if shown else "")


def _time(report: content.Report) -> str:
    figure = _figure(figures.time_bars(report), "time")
    table = _table(tables.stages_table(report), "narrow")
    folded = f"<details><summary>As a table</summary>{table}</details>"
    return _section("Where the time went", figure, folded if figure else table)


def _load(report: content.Report) -> str:
    blocks = [
        f"<h3>{escape(str(content.model(report, name).get('label', name)))}</h3>{_code(str(code))}"
        for name, code in report.get("load", {}).items()
    ]
    return _section("How to load it", *blocks)


def _notes(report: content.Report) -> str:
    found = "".join(f"<li>{escape(note)}</li>" for note in markdown.notes(report))
    return _section("Notes and warnings", f'<ul class="notes">{found}</ul>' if found else "")


def _reproduce(report: content.Report) -> str:
    command, config = report.get("command"), report.get("config")
    written = json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else ""
    return _section(
        "How to reproduce it",
        _code(str(command)) if command else "",
        _table(tables.environment_table(report), "narrow"),
        f"<details><summary>Configuration</summary>{_code(written)}</details>" if written else "",
    )


def _code(text: str) -> str:
    # A block that scrolls must be reachable with the keyboard.
    return f'<pre tabindex="0"><code>{escape(text.rstrip())}</code></pre>'


def _section(heading: str, *blocks: str) -> str:
    filled = "\n".join(block for block in blocks if block)
    return f"<section>\n<h2>{escape(heading)}</h2>\n{filled}\n</section>" if filled else ""


def _figure(figure: go.Figure | None, name: str) -> str:
    """A place for the figure, its data beside it and its words for those who do not see it."""
    if figure is None:
        return ""
    layout = figure.layout
    data = figure.to_plotly_json()
    # The page brings both templates once.
    data["layout"].pop("template", None)
    alt = escape(str(layout.meta["alt"]))
    missing = "The figure needs scripts; the table holds its numbers."
    return (
        f'<figure><div class="plot" role="img" aria-label="{alt}" data-figure="{name}" '
        f'style="--height: {int(layout.height)}px"></div>'
        f'<script type="application/json" id="{name}">{_script_json(data)}</script>'
        f'<noscript><p class="note">{missing}</p></noscript></figure>'
    )


def _table(table: tables.Table | None, style: str) -> str:
    if table is None:
        return ""
    # Roles are said again because a table laid out as cards loses them in some browsers.
    head = "".join(
        f'<th scope="col" role="columnheader"{_classes(column)}>{escape(column.heading)}</th>'
        for column in table.columns
    )
    rows = "\n".join(_row(table, row) for row in table.rows)
    return (
        f'<div class="scroll"><table role="table" class="{style}">'
        f"<caption>{escape(table.caption)}</caption>\n"
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}\n</tbody></table></div>'
    )


def _row(table: tables.Table, row: tables.Row) -> str:
    cells = []
    for index, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
        detail = f' <span class="detail">{escape(cell.detail)}</span>' if cell.detail else ""
        text = f"<span>{escape(cell.text)}{detail}</span>"
        if index == 0:
            tag = f' <span class="tag">{escape(row.tag)}</span>' if row.tag else ""
            cells.append(f'<th scope="row" role="rowheader"{_classes(column)}>{text}{tag}</th>')
        else:
            blank = "" if cell.full else "blank"
            label = escape(column.heading)
            cells.append(f'<td role="cell" data-label="{label}"{_classes(column, blank)}>{text}</td>')
    marks = " ".join(word for word in ("emphasis", "baseline") if getattr(row, word))
    return f'<tr role="row"{_class(marks)}>{"".join(cells)}</tr>'


def _classes(column: tables.Column, extra: str = "") -> str:
    words = ("left" if column.align == "left" else "", "minor" if column.minor else "", extra)
    return _class(" ".join(word for word in words if word))


def _class(words: str) -> str:
    return f' class="{words}"' if words else ""


def _script_json(value: Mapping[Any, Any]) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_listed, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _listed(value: Any) -> Any:
    return value.tolist()


def _asset(name: str) -> str:
    return files("subarch.report").joinpath("assets", name).read_text(encoding="utf-8")
