"""The report as Markdown: the verdict in its first line, then tables, and how to load and reproduce it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from subarch.report import content, numbers, parts, tables
from subarch.report.classes import classes_table
from subarch.report.verdict import verdict

# Markup only where it would be read as such: `_` inside a word and `[…]` without a target stay as they are.
_SPECIAL = re.compile(r"([\\`*|~$]|(?<!\w)_|_(?!\w)|\](?=[(\[:])|^[#+=-])")


def render_markdown(report: content.Report) -> str:
    """The report as Markdown; what is missing in it is left out, and user text is escaped."""
    report = content.present(report)
    judged = verdict(report)
    blocks = [
        [escape(judged.sentence), *_bullets(judged.caveats)],
        [f"**{escape(content.title(report))}**", *_task(report)],
        _section("Models", table(tables.models_table(report)), _models_note(report)),
        _section("Scores", table(parts.metrics_table(report))),
        _section(f"Worst {parts.part(report)}s", table(parts.parts_table(report))),
        _section("Classes", table(classes_table(report))),
        _section("Architecture", table(tables.architectures_table(report))),
        _section("Candidates", _candidates_note(report), table(tables.candidates_table(report))),
        _section("Where the time went", table(tables.stages_table(report))),
        _section("How to load it", _load(report)),
        _section("Notes and warnings", "\n".join(_bullets(notes(report)))),
        _section("How to reproduce it", _command(report), _config(report), table(tables.environment_table(report))),
    ]
    return "\n\n".join(block for section in blocks for block in section if block) + "\n"


def escape(text: Any) -> str:
    """User text as Markdown that shows it literally, in one line: no markup, no HTML, no table cell ends."""
    line = " ".join(str(text).split())
    return _SPECIAL.sub(r"\\\1", line).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def table(shown: tables.Table | None) -> str:
    """The table as GitHub's Markdown; emphasised rows are bold."""
    if shown is None:
        return ""
    rule = [":--" if column.align == "left" else "--:" for column in shown.columns]
    rows = [[escape(cell.full) for cell in row.cells] for row in shown.rows]
    for row, cells in zip(shown.rows, rows, strict=True):
        if row.emphasis:
            cells[0] = f"**{cells[0]}**" + (f" ({row.tag})" if row.tag else "")
    lines = [[escape(column.heading) for column in shown.columns], rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(report: content.Report) -> list[str]:
    """Warnings first, then what the floor says, then the notes on the task."""
    floor = report.get("floor", {})
    about_floor = [] if floor.get("sufficient") or not floor.get("text") else [numbers.capital(str(floor["text"]))]
    found = [*report.get("warnings", []), *about_floor, *report.get("task", {}).get("notes", [])]
    return [str(note) for note in found]


def task_facts(report: content.Report) -> list[str]:
    """The task in a few words: its kind, its labels, how many examples stand where."""
    task = report.get("task", {})
    labels = task.get("labels", [])
    counts = [f"{task[split]:,} {split}" for split in ("train", "validation", "test") if split in task]
    kind = task.get("kind_words") or task.get("kind")
    facts = [str(kind).replace("_", " ")] if kind else []
    if isinstance(labels, list) and len(labels) > 1:
        facts.append(f"{len(labels)} labels" + (f" ({', '.join(map(str, labels))})" if len(labels) <= 8 else ""))
    return [*facts, f"{content.unit(report)}: {', '.join(counts)}"] if counts else facts


def candidates_note(report: content.Report) -> str:
    """How to read the candidates: what the error is and what W weighs."""
    error = f"Error is {report['error_name']}. " if report.get("error_name") else ""
    point = report.get("maximum_point", {})
    against = [numbers.count(point.get("parameters")), numbers.milliseconds(point.get("latency_ms"))]
    known = " and ".join(part for part in against if part)
    maximum = f" ({known})" if known else ""
    return (
        f"{error}W is the share of parameters saved times the share of latency saved, against the largest "
        f"architecture{maximum}, divided by the error: higher is better."
    )


def models_note(report: content.Report) -> str:
    """What the brackets and the speed-up of the models' table mean, as far as it has them."""
    models, said = report.get("models", []), []
    if any("score_interval" in model for model in models):
        said.append("Brackets after a score hold its confidence interval.")
    if any("latency_ms_low" in model and "latency_ms_high" in model for model in models):
        said.append("Latency is a median, with its quartiles.")
    if any("speedup" in model for model in models):
        said.append("Speed-up is against the teacher.")
    if any("agreement" in model for model in models):
        said.append(f"Agreement is the share of {content.unit(report)} on which a model answers as the student does.")
    return " ".join(said)


def _task(report: content.Report) -> list[str]:
    facts = task_facts(report)
    return [escape(numbers.capital("; ".join(facts))) + "."] if facts else []


def _models_note(report: content.Report) -> str:
    return escape(models_note(report))


def _candidates_note(report: content.Report) -> str:
    return escape(candidates_note(report)) if report.get("candidates") else ""


def _section(heading: str, *blocks: str) -> list[str]:
    filled = [block for block in blocks if block]
    return [f"## {heading}", *filled] if filled else []


def _bullets(lines: Iterable[str]) -> list[str]:
    return ["\n".join(f"- {escape(line)}" for line in lines)]


def _load(report: content.Report) -> str:
    blocks = []
    for name, code in report.get("load", {}).items():
        label = content.model(report, name).get("label", name)
        blocks.append(f"{escape(label)}:\n\n{_fenced(str(code), 'python')}")
    return "\n\n".join(blocks)


def _command(report: content.Report) -> str:
    return _fenced(str(report["command"]), "sh") if report.get("command") else ""


def _config(report: content.Report) -> str:
    config = report.get("config")
    return _fenced(json.dumps(config, indent=2, ensure_ascii=False, default=str), "json") if config else ""


def _fenced(code: str, language: str) -> str:
    """A block of code in a fence longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
