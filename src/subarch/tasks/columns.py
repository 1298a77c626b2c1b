"""Which columns of a user's table are text, second text and label.

A guess is made only where it is safe; elsewhere the error lists the columns and the flags that settle it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from subarch.errors import ConfigError, DataError, did_you_mean
from subarch.tasks.cells import shown
from subarch.tasks.labels import FEW, as_number
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
_KNOWN = {*TEXT_NAMES, *LABEL_NAMES, *(name for pair in PAIR_NAMES for name in pair)}

LONG_NAME = 80
"""Characters above which the name of a column looks like a text."""


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
    if not taken:
        check_header(table)
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


def check_header(table: Table) -> None:
    """Go on if the first row of a text file names the columns.

    Raises:
        DataError: It looks like an example: none of its fields is a name that we know, and one of them is a number,
            a long text, or a value of its own column.
    """
    if table.separator is None or any(column.lower() in _KNOWN for column in table.columns):
        return
    odd = next((name for name, cells in table.columns.items() if _is_value(name, cells)), None)
    if odd is None:
        return
    text, label = _by_repetition(table, list(table.columns)) if len(table.columns) == 2 else (None, None)
    roles = {text: "text", label: "label"}
    names = [roles.get(name, f"column{number}") for number, name in enumerate(table.columns, start=1)]
    raise DataError(
        f"{table.path} has no header: its first row looks like an example, {shown(odd)}, expected names of columns",
        f"begin the file with the line {table.separator.join(names)}; if the names are right, give --text and --label",
    )


def _is_value(name: str, cells: list[str]) -> bool:
    return as_number(name) is not None or len(name) > LONG_NAME or name in (cell.strip() for cell in cells)


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
