"""The report as one page of HTML. Without scripts it still shows the verdict and every table."""

from __future__ import annotations

import json
from html import escape

from subarch.report import content, document, figures, markdown, numbers, parts, tables, trade_off
from subarch.report.classes import classes_table
from subarch.report.verdict import Verdict, verdict

_PILLS = {
    "ship": "Worth shipping",
    "lossy": "Smaller, but worse",
    "below-floor": "Not worth shipping",
    "floor": "No transformer needed",
    "nothing": "Nothing learned",
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
            document.section("Scores", document.table(parts.metrics_table(report), "narrow")),
            document.section(f"Worst {parts.part(report)}s", _parts(report)),
            document.section("Classes", document.table(classes_table(report), "narrow")),
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
    return document.page(content.title(report), body)


def render_candidates(report: content.Report) -> str:
    """A page of the candidates alone: their figure and their table."""
    report = content.present(report)
    heading = f"<header>\n<h1>{escape(content.title(report))}</h1>\n</header>"
    return document.page(content.title(report), f"{heading}\n{_candidates(report)}")


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
        ("latency_ms", f"Latency, one {content.unit(report, 1)}", numbers.milliseconds),
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
    table = document.table(tables.models_table(report), "cards")
    note = markdown.models_note(report)
    figure = document.figure(trade_off.trade_off(report), "trade-off")
    return document.section("Models", figure, table, f'<p class="note">{escape(note)}</p>' if note else "")


def _parts(report: content.Report) -> str:
    table = parts.parts_table(report)
    return "" if table is None else f'<p class="note">{escape(table.caption)}.</p>\n{document.table(table, "narrow")}'


def _architecture(report: content.Report) -> str:
    return document.section("Architecture", document.table(tables.architectures_table(report), "narrow"))


def _candidates(report: content.Report) -> str:
    if not report.get("candidates"):
        return ""
    figure = document.figure(figures.candidates(report), "candidates")
    note = f'<p class="note">{escape(markdown.candidates_note(report))}</p>'
    return document.section("Candidates", note, figure, document.table(tables.candidates_table(report), "compact"))


def _learning(report: content.Report) -> str:
    percent, metric = content.in_percent(report), content.metric(report)
    shown: list[str] = []
    for name, points in report.get("curves", {}).items():
        drawn = figures.learning_curve(points, str(name), metric, percent=percent)
        if drawn is not None:
            shown.append(f"<div><h3>{escape(str(name))}</h3>{document.figure(drawn, f'curve-{len(shown)}')}</div>")
    return document.section("Learning curves", f'<div class="pair">{"".join(shown)}</div>' if shown else "")


def _time(report: content.Report) -> str:
    figure = document.figure(figures.time_bars(report), "time")
    table = document.table(tables.stages_table(report), "narrow")
    folded = f"<details><summary>As a table</summary>{table}</details>"
    return document.section("Where the time went", figure, folded if figure else table)


def _load(report: content.Report) -> str:
    blocks = [
        f"<h3>{escape(str(content.model(report, name).get('label', name)))}</h3>{document.code(str(code))}"
        for name, code in report.get("load", {}).items()
    ]
    return document.section("How to load it", *blocks)


def _notes(report: content.Report) -> str:
    found = "".join(f"<li>{escape(note)}</li>" for note in markdown.notes(report))
    return document.section("Notes and warnings", f'<ul class="notes">{found}</ul>' if found else "")


def _reproduce(report: content.Report) -> str:
    command, config = report.get("command"), report.get("config")
    written = json.dumps(config, indent=2, ensure_ascii=False, default=str) if config else ""
    return document.section(
        "How to reproduce it",
        document.code(str(command)) if command else "",
        document.table(tables.environment_table(report), "narrow"),
        f"<details><summary>Configuration</summary>{document.code(written)}</details>" if written else "",
    )
