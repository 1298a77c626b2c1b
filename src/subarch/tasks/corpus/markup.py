"""Text without its markup: HTML and XML tags, entities, and the wiki markup of MediaWiki.

It takes off what is not prose: comments, scripts, references, templates, tables, headings' signs, files. Of links the
visible text stays. Every pattern is linear in the text: nothing in it can make the time grow faster.
"""

from __future__ import annotations

import html
import re

_MAX_DEPTH = 20
"""Nested templates, tables and links, at most; deeper ones stay as they are."""

_FIRST = (
    (re.compile(r"<!--(?:(?!<!--).)*?-->", re.DOTALL), " "),
    (re.compile(r"<(script|style|math|ref|gallery|timeline)\b[^<>]*/>", re.IGNORECASE), " "),
    (re.compile(r"<(script|style)\b[^<>]*>[^<]*(?:<(?!/?\1\b)[^<]*)*</\1\s*>", re.IGNORECASE), " "),
    (re.compile(r"<(math|ref|gallery|timeline)\b[^<>]*>[^<]*(?:<(?!/?\1\b)[^<]*)*</\1\s*>", re.IGNORECASE), " "),
    (re.compile(r"</?(?:p|br|div|li|ul|ol|tr|td|th|table|h[1-6]|blockquote)\b[^<>]*>", re.IGNORECASE), "\n"),
    (re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z\[][^<>]*>|<\?[^<>]*>"), ""),
)
_INNERMOST = (
    (re.compile(r"\{\{[^{}]*\}\}"), ""),
    (re.compile(r"\{\|[^{}]*\|\}"), ""),
    (re.compile(r"\[\[(?:File|Image|Category|Media)\s*:[^\[\]]*\]\]", re.IGNORECASE), ""),
    (re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]"), r"\1"),
)
_LAST = (
    # first, since the patterns below would take quadratic time in a long run of spaces
    (re.compile(r"[ \t]{2,}"), " "),
    (re.compile(r"\[(?:https?|ftp)://[^\s\[\]]+ ([^\[\]\n]+)\]"), r"\1"),
    (re.compile(r"\[(?:https?|ftp)://[^\s\[\]]+\]"), ""),
    (re.compile(r"'{2,5}"), ""),
    (re.compile(r"^={1,6} ?([^=\n]+?) ?={1,6} ?$", re.MULTILINE), r"\1"),
    (re.compile(r"^[*#:;]+ ?", re.MULTILINE), ""),
    (re.compile(r"__(?:NO)?(?:TOC|EDITSECTION|GALLERY|INDEX)__"), ""),
    (re.compile(r"[ \t]?\n[ \t]?(?:\n[ \t]?)+"), "\n\n"),
)


def strip_markup(text: str) -> str:
    """The prose of a text with HTML or wiki markup; a text without any comes back with only its spacing changed."""
    for pattern, replacement in _FIRST:
        text = pattern.sub(replacement, text)
    for _ in range(_MAX_DEPTH):
        before = text
        for pattern, replacement in _INNERMOST:
            text = pattern.sub(replacement, text)
        if text == before:
            break
    text = html.unescape(text)
    for pattern, replacement in _LAST:
        text = pattern.sub(replacement, text)
    return text.strip()
