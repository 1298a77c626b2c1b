"""What pages of HTML are made of: the document, sections, tables, figures and text that cannot break out.

A page needs no network, no server and no other file: Plotly's script is written into it once, and a content
security policy forbids it to load anything. Text enters through `escape` only, data for the scripts through
`script_json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from subarch.report import tables, theme

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What one kind of page has beyond the others: the names of further assets, and how often it loads itself."""

    style: str = ""
    script: str = ""
    refresh_seconds: int | None = None


def page(title: str, body: str, extras: Extras | None = None) -> str:
    """The whole document; Plotly's script only where there is something to draw."""
    extras = extras or Extras()
    templates = {scheme: theme.template(scheme) for scheme in theme.SCHEMES}
    scripts = (
        f'<script type="application/json" id="templates">{script_json(templates)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{asset('page.js')}</script>\n"
        if 'class="plot"' in body
        else ""
    )
    scripts += f"<script>{asset(extras.script)}</script>\n" if scripts and extras.script else ""
    refresh = extras.refresh_seconds
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        + (f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else "")
        + '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset('page.css')}{asset(extras.style)}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{scripts}</body>\n</html>\n"
    )


def section(heading: str, *blocks: str) -> str:
    """The blocks under a heading; nothing where all are empty."""
    filled = "\n".join(block for block in blocks if block)
    return f"<section>\n<h2>{escape(heading)}</h2>\n{filled}\n</section>" if filled else ""


def note(text: str) -> str:
    """A quiet paragraph."""
    return f'<p class="note">{escape(text)}</p>' if text else ""


def code(text: str) -> str:
    """A block of code; it scrolls, so it must be reachable with the keyboard."""
    return f'<pre tabindex="0"><code>{escape(text.rstrip())}</code></pre>'


def figure(drawn: go.Figure | None, name: str) -> str:
    """A place for the figure, its data beside it and its words for those who do not see it."""
    if drawn is None:
        return ""
    layout = drawn.layout
    data = drawn.to_plotly_json()
    # The page brings both templates once.
    data["layout"].pop("template", None)
    alt = escape(str(layout.meta["alt"]))
    missing = "The figure needs scripts; the table holds its numbers."
    return (
        f'<figure><div class="plot" role="img" aria-label="{alt}" data-figure="{name}" '
        f'style="--height: {int(layout.height)}px"></div>'
        f'<script type="application/json" id="{name}">{script_json(data)}</script>'
        f'<noscript><p class="note">{missing}</p></noscript></figure>'
    )


def table(shown: tables.Table | None, style: str) -> str:
    """The table in a box that scrolls sideways where it is wider than the page."""
    if shown is None:
        return ""
    # Roles are said again because a table laid out as cards loses them in some browsers.
    head = "".join(
        f'<th scope="col" role="columnheader"{_classes(column)}>{escape(column.heading)}</th>'
        for column in shown.columns
    )
    rows = "\n".join(_row(shown, row) for row in shown.rows)
    return (
        f'<div class="scroll"><table role="table" class="{style}">'
        f"<caption>{escape(shown.caption)}</caption>\n"
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}\n</tbody></table></div>'
    )


def script_json(value: Mapping[Any, Any]) -> str:
    """JSON that cannot end the script element it stands in, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_listed, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def asset(name: str) -> str:
    """The text of a file in `assets`; nothing for no name."""
    return files("subarch.report").joinpath("assets", name).read_text(encoding="utf-8") if name else ""


def _row(shown: tables.Table, row: tables.Row) -> str:
    cells = []
    for index, (column, cell) in enumerate(zip(shown.columns, row.cells, strict=True)):
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


def _listed(value: Any) -> Any:
    return value.tolist()
