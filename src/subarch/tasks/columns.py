"""Which columns of a user's table are text, second text and label, and what kind of task the labels make.

A guess is made only where it is safe; elsewhere the error lists the columns and the flags that settle it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypedDict

from subarch.errors import ConfigError, DataError, did_you_mean
from subarch.tasks.base import Kind
from subarch.tasks.tables import Table

PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "passage"),
    ("query", "document"),
    ("text", "text_pair"),
)
TEXT_NAMES = (
    "text",
    "sentence",
    "content",
    "review",
    "question",
    "query",
    "document",
    "comment",
    "message",
    "tweet",
)
LABEL_NAMES = (
    "label",
    "labels",
    "target",
    "class",
    "category",
    "score",
    "rating",
    "stars",
    "sentiment",
    "gold_label",
)

FEW = 20
"""Distinct whole numbers up to which they are classes."""
MANY = 100
"""Distinct whole numbers from which they are a scale; between the two we ask."""


class ColumnNames(TypedDict, total=False):
    """The fields of `Columns`, as keyword arguments of a function."""

    text: str | None
    text_pair: str | None
    label: str | None
    keep: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns that a user gave, or that were guessed; None is not given, or no pair."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    keep: tuple[str, ...] = ()
    """Further columns that go with the examples: scores are given by their values."""


def find_columns(table: Table, given: Columns) -> tuple[str, str | None, str]:
    """Text, text pair (or None) and label.

    Raises:
        DataError: A given column is not there, or the columns cannot be told apart safely.
    """
    taken = _given(table, given)
    free = [column for column in table.columns if column not in taken]
    label = given.label or _one_of(LABEL_NAMES, free)
    free = [column for column in free if column != label]
    text, pair = given.text, given.text_pair
    if text is None:
        text, pair = _guess_text(free)
    if text is None and label is not None and len(free) == 1:
        text = free[0]
    if label is None and text is not None and len(table.columns) == (3 if pair else 2):
        label = next(column for column in table.columns if column not in (text, pair))
    if text is None and label is None and len(free) == 2:
        text, label = _by_repetition(table, free)
    if text is None or label is None:
        missing = " and ".join(name for name, column in (("text", text), ("label", label)) if column is None)
        raise DataError(
            f"cannot tell the {missing} column of {table.path} from its columns: {', '.join(table.columns)}",
            "name them: --text COLUMN --label COLUMN, and --text-pair COLUMN for pairs",
        )
    return text, pair, label


def _given(table: Table, given: Columns) -> list[str]:
    """The columns that were given for text, pair and label, each of them there and none twice."""
    named = [("--text", given.text), ("--text-pair", given.text_pair), ("--label", given.label)]
    for flag, column in [*named, *(("--slice", column) for column in given.keep)]:
        if column is not None and column not in table.columns:
            raise DataError(f"{table.path} has no column {column!r} ({flag})", did_you_mean(column, table.columns))
    taken = [column for _, column in named if column is not None]
    if len(set(taken)) < len(taken):
        raise ConfigError(f"one column given twice: {', '.join(taken)}, expected different ones")
    if given.text is None and given.text_pair is not None:
        raise ConfigError("--text-pair without --text, expected both")
    return taken


def guess_kind(labels: list[Any], column: str) -> Kind:
    """Classes or a scale, by the labels themselves (all of them, none missing).

    Raises:
        DataError: Either is possible.
    """
    numbers = [as_number(label) for label in labels]
    if any(number is None for number in numbers):
        distinct = len({str(label) for label in labels})
        if distinct > max(FEW, len(labels) // 2):
            raise DataError(
                f"label column {column!r} has {distinct} different texts in {len(labels)} rows, not classes",
                "name another column with --label, or give --kind classification if these are classes",
            )
        return "classification"
    values = {number for number in numbers if number is not None}
    if not all(math.isfinite(value) and value == int(value) for value in values):
        return "regression"
    if len(values) <= FEW and (len(values) <= 2 or len(values) <= len(labels) / 2):
        return "classification"
    if len(values) >= MANY:
        return "regression"
    raise DataError(
        f"label column {column!r} has {len(values)} different whole numbers, which may be classes or a scale",
        "say which: --kind classification or --kind regression",
    )


def as_number(label: Any) -> float | None:
    """A label as a number, or None where it is none; true and false are words."""
    if isinstance(label, bool):
        return None
    try:
        return float(label)
    except (TypeError, ValueError):
        return None


def _guess_text(free: list[str]) -> tuple[str | None, str | None]:
    lower = {column.lower(): column for column in free}
    pairs = [pair for pair in PAIR_NAMES if pair[0] in lower and pair[1] in lower]
    if len(pairs) == 1:
        return lower[pairs[0][0]], lower[pairs[0][1]]
    return (None, None) if pairs else (_one_of(TEXT_NAMES, free), None)


def _one_of(names: tuple[str, ...], columns: list[str]) -> str | None:
    """The only column with one of these names, if it is the only one."""
    found = [column for column in columns if column.lower() in names]
    return found[0] if len(found) == 1 else None


def _by_repetition(table: Table, columns: list[str]) -> tuple[str | None, str | None]:
    """Of two columns, the one whose values repeat is the label, if the other's hardly do."""
    rows = len(table)
    distinct = [len({str(cell) for cell in table.columns[column]}) for column in columns]
    for text, label in ((0, 1), (1, 0)):
        if 2 <= distinct[label] <= min(FEW, rows // 3) and distinct[text] > rows / 2:
            return columns[text], columns[label]
    return None, None
