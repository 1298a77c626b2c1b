"""What a label is: when it is missing, what its name is, and whether a column of them holds classes or a scale.

A label's name is its text, to the letter but for the white space around it. A column is one of numbers only if every
name reads as a number and back as itself: "007", "1E2" and ids above 2**53 are codes. Truth values are "true" and
"false", however a format writes them.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, KindName
from subarch.tasks.cells import Faults, is_blank, is_writable, shown
from subarch.tasks.tables import SHARED_CELLS, Table

MISSING = frozenset({"NA", "None"})
MISSING_ANY_CASE = frozenset(
    {"nan", "-nan", "null", "n/a", "<na>", "#n/a", "#n/a n/a", "#na", "nat", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
)
"""What pandas and spreadsheets write where there is nothing; "none" and "na" are words."""
FEW = 20
"""Distinct whole numbers up to which they are classes."""
MANY = 100
"""Distinct whole numbers from which they are a scale; between the two we ask."""
EXACT = 2**53
"""Whole numbers up to which a float tells neighbours apart."""

_WRITTEN = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]\d{2,3})?", re.ASCII)
"""A number as programs write it: no leading zero, no plus, an exponent with its sign."""
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"-?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2},\d{3}", re.ASCII)


@dataclass(frozen=True)
class Labels:
    """The labels of the rows that have one."""

    table: Table
    column: str
    rows: Sequence[int]
    """Their rows in the table, ascending."""
    names: list[str]
    """One for each of these rows."""
    missing: Sequence[int] = ()
    """The rows without a label."""
    markers: tuple[str, ...] = ()
    """What stands in them; an empty cell is no marker."""
    rounded: str | None = None
    """A number that may have been another one before it was written as a float."""

    @cached_property
    def counts(self) -> Counter[str]:
        """How many rows have each name."""
        return Counter(self.names)

    @cached_property
    def decimal_comma(self) -> bool:
        """Whether all names are numbers, some of them written with a comma, as in "1,5"."""
        return any("," in name for name in self.counts) and all(map(_COMMA.fullmatch, self.counts))

    @cached_property
    def numbers(self) -> Mapping[str, float] | None:
        """What each name is as a number; None where not all names are numbers that read back as themselves."""
        if self.decimal_comma:
            return {name: float(name.replace(".", "").replace(",", ".")) for name in self.counts}
        return exact_numbers(self.counts)

    def place(self, index: int) -> str:
        """Where the label with this index stands."""
        return self.table.place(self.rows[index])

    def note(self) -> str:
        """What is to be told of the rows that are left out; empty where there are none."""
        if not self.missing:
            return ""
        total = len(self.rows) + len(self.missing)
        return (
            f"{len(self.missing)} of {total} rows of {self.table.path.name} have no label{_in_words(self.markers)} "
            f"and are left out, the first at {self.table.place(self.missing[0]).rsplit(', ', 1)[1]}"
        )


def read_labels(table: Table, column: str, faults: Faults) -> Labels:
    """The labels of a column of a table; cells that are no labels are added to `faults`.

    Raises:
        DataError: Half of the rows or more have no label.
    """
    known: dict[tuple[type, Any], str | None] = {}
    markers: dict[str, None] = {}
    rows, missing = array("q"), array("q")
    names: list[str] = []
    rounded = None
    for row, cell in enumerate(table.columns[column]):
        key = (type(cell), cell) if isinstance(cell, str | int | float) else (type(cell), None)
        if key in known:
            name = known[key]
        else:
            try:
                name = label_name(cell)
            except ValueError as error:
                faults.add("label", row, str(error))
                continue
            if name is None and isinstance(cell, str) and not is_blank(cell):
                markers[cell.strip()] = None
            if isinstance(cell, float) and math.isfinite(cell) and abs(cell) >= EXACT:
                rounded = rounded or repr(cell)
            if len(known) < SHARED_CELLS and (key[1] is not None or cell is None):
                known[key] = name
        if name is None:
            missing.append(row)
        else:
            rows.append(row)
            names.append(name)
    if 2 * len(missing) >= len(table):
        told = f" ({len(missing)} of {len(table)} rows are such)" if len(missing) > 1 else ""
        raise DataError(
            f"{table.place(missing[0])}: label {column!r} is missing{_in_words(markers)}, expected one{told}",
            "label the rows or take them out, or name another column with --label",
        )
    return Labels(table, column, rows, _one_pair(names), missing, tuple(markers), rounded)


def label_name(cell: Any) -> str | None:
    """The name of a label: its text, a whole number without a fraction, "true" or "false"; None where it is missing.

    Raises:
        ValueError: The cell is no label: a list, bytes that are no text, a character that no file can hold.
    """
    if isinstance(cell, str | bytes):
        return _text_name(cell)
    if is_missing(cell):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float | Decimal) and abs(number := float(cell)) < EXACT and cell == int(number):
        return str(int(number))
    if isinstance(cell, list | dict | tuple):
        raise ValueError(f"label is {shown(cell)}, expected a word or a number")
    if isinstance(cell, int) and as_number(cell) is None:
        raise ValueError(f"label {shown(cell)} has {len(str(abs(cell)))} digits, expected a number or a text")
    return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)


def is_missing(cell: Any) -> bool:
    """Whether a cell says that there is nothing: None, NaN, nothing visible, or a word that programs write for it."""
    if isinstance(cell, str):
        text = cell.strip()
        return text in MISSING or text.casefold() in MISSING_ANY_CASE or is_blank(text)
    return cell is None or (isinstance(cell, float | Decimal) and math.isnan(cell))


def as_number(cell: Any) -> float | None:
    """A cell as a number, or None where it is none; true and false are words, and so are "nan" and "inf"."""
    if isinstance(cell, str):
        return float(cell) if _NUMBER.fullmatch(cell.strip()) else None
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def exact_numbers(names: Collection[str]) -> dict[str, float] | None:
    """What each name is as a number; None where one is not written as a number is, or would become its neighbour."""
    found = {}
    for name in names:
        if not _WRITTEN.fullmatch(name):
            return None
        number = float(name)
        if not math.isfinite(number) or (abs(number) >= EXACT and name.lstrip("-").isdigit()):
            return None
        found[name] = number
    return found


def guess_kind(labels: Labels) -> KindName:
    """Classes or a scale, by all the labels.

    Raises:
        DataError: Either is possible, or they are neither.
    """
    numbers = labels.numbers
    if labels.decimal_comma:
        _check_thousands(labels)
    if numbers is None:
        _check_words(labels)
        return "classification"
    values = set(numbers.values())
    if len(values) < len(numbers):
        _refuse_spellings(labels, numbers)
    if not all(value == int(value) for value in values):
        return "regression"
    if len(values) <= FEW and (len(values) <= 2 or len(values) <= len(labels.names) / 2):
        return "classification"
    if len(values) >= MANY:
        return "regression"
    raise DataError(
        f"label column {labels.column!r} has {len(values)} different whole numbers, which may be classes or a scale",
        "say which: --kind classification or --kind regression",
    )


def scores(labels: Labels) -> Array:
    """(N,) float32, the labels as numbers.

    Raises:
        DataError: Some are none; one message names them all.
    """
    if labels.decimal_comma:
        _check_thousands(labels)
    exact = labels.numbers or {}
    faults = Faults(labels.place)
    largest = float(np.finfo(np.float32).max)
    found = np.zeros(len(labels.names), dtype=np.float32)
    for index, name in enumerate(labels.names):
        number = exact[name] if name in exact else as_number(name)
        if number is None or abs(number) > largest:
            kind = "word" if number is None else "beyond"
            message = f"label {shown(name)} is not a finite number, expected a score"
            if kind == "beyond":
                message = f"label {shown(name)} is beyond 3.4e38, expected a score in single precision"
            faults.add(kind, index, message, "correct it, take the row out, or give --kind classification")
        else:
            found[index] = number
    faults.check()
    return found


def class_names(labels: Labels) -> tuple[str, ...]:
    """The different names: numbers in their order, then words in theirs.

    Raises:
        DataError: There are fewer than two, or numbers that a float cannot tell from their neighbours.
    """
    if labels.rounded is not None:
        raise DataError(
            f"{labels.table.path}: label {labels.rounded} in {labels.column!r} is a float above 2**53, "
            "which may have been another number before, expected classes that differ",
            "write such ids as text, in quotes",
        )
    names = labels.counts
    if len(names) < 2:
        raise DataError(
            f"{labels.table.path}: every label in {labels.column!r} is {shown(next(iter(names)))}, "
            f"expected at least two classes{'; ' + labels.note() if labels.missing else ''}",
            "is it the right column? name it with --label",
        )
    exact = labels.numbers or {}
    numbers = {name: exact.get(name, as_number(name)) for name in names}
    return tuple(sorted(names, key=lambda name: (numbers[name] is None, numbers[name] or 0.0, name)))


def class_indices(labels: Labels, names: Sequence[str]) -> Array:
    """(N,) int64, the number of each label's class.

    Raises:
        DataError: A label is none of the classes; one message names all such rows.
    """
    known = match_names(labels.counts, names)
    faults = Faults(labels.place)
    for index, name in enumerate(labels.names):
        if name not in known:
            some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
            message = f"label {shown(name)} is not in train, expected one of {some}"
            faults.add("class", index, message, "correct it, or add examples of it to train")
    faults.check()
    return np.array([known[name] for name in labels.names], dtype=np.int64)


def match_names(found: Collection[str], names: Sequence[str]) -> dict[str, int]:
    """Which of the classes each name that was found is, by its number: the same text, or else the same exact number.

    A name that is none of them is left out.
    """
    index = {name: number for number, name in enumerate(names)}
    values: dict[float, int] = {}
    exact = exact_numbers(names)
    if exact is not None and len(set(exact.values())) == len(exact):
        values = {exact[name]: number for name, number in index.items()}
    matched = {}
    for name in found:
        value = (exact_numbers([name]) or {}).get(name)
        number = index.get(name, None if value is None else values.get(value))
        if number is not None:
            matched[name] = number
    return matched


def _text_name(cell: str | bytes) -> str | None:
    if isinstance(cell, bytes):
        try:
            cell = cell.decode()
        except UnicodeDecodeError:
            raise ValueError(f"label is {shown(cell)}, bytes that are not UTF-8, expected a text") from None
    if is_missing(cell):
        return None
    name = cell.strip()
    if not is_writable(name):
        raise ValueError(f"label {shown(name)} holds half of a UTF-16 pair, expected a text")
    if "\0" in name:
        raise ValueError(f"label {shown(name)} holds a NUL, expected a text")
    return name


def _one_pair(names: list[str]) -> list[str]:
    """Truth values in small letters, where all names are such, and each of the two is written in one way."""
    small = {name: name.lower() for name in set(names)}
    if not set(small.values()) <= {"true", "false"} or len(set(small.values())) < len(small):
        return names
    return [small[name] for name in names]


def _in_words(markers: Collection[str]) -> str:
    return f" (or {', '.join(map(shown, list(markers)[:5]))})" if markers else ""


def _check_thousands(labels: Labels) -> None:
    """Only where semicolons stand between fields is "1,234" surely a number between one and two."""
    if labels.table.separator == ";" or not all(_THOUSANDS.fullmatch(name) for name in labels.counts if "," in name):
        return
    name = next(name for name in labels.counts if "," in name)
    raise DataError(
        f"{labels.place(labels.names.index(name))}: label {name!r} may be a fraction with a decimal comma or "
        "thousands, expected a number with a point",
        "write 1.5 for one and a half and 1500 for thousands, or give --kind classification",
    )


def _check_words(labels: Labels) -> None:
    """Refuse words that are no classes: numbers in two notations, mostly numbers, or mostly different."""
    odd = [name for name in labels.counts if as_number(name) is None]
    distinct, rows = len(labels.counts), len(labels.names)
    place = labels.place(labels.names.index(odd[0])) if odd else str(labels.table.path)
    if 0 < len(odd) < distinct and all(as_number(name.replace(",", ".")) is not None for name in odd):
        raise DataError(
            f"{place}: label {odd[0]!r} has a decimal comma and other labels have a point, expected one notation",
            "write them all with a point, or give --kind classification if they are codes",
        )
    if distinct <= max(FEW, rows // 2):
        return
    which = "say which: --kind classification or --kind regression"
    if not odd:
        raise DataError(
            f"label column {labels.column!r} has {distinct} different numbers in {rows} rows, written as codes are, "
            "which may be classes or a scale",
            which,
        )
    if 10 * len(odd) <= distinct:
        raise DataError(
            f"{place}: label {shown(odd[0])} is not a finite number, as {distinct - len(odd)} of {distinct} others are",
            f"correct it or take the row out, or {which}",
        )
    raise DataError(
        f"label column {labels.column!r} has {distinct} different texts in {rows} rows, not classes",
        "name another column with --label, or give --kind classification if these are classes",
    )


def _refuse_spellings(labels: Labels, numbers: Mapping[str, float]) -> None:
    first: dict[float, str] = {}
    for name, value in numbers.items():
        if value in first:
            raise DataError(
                f"label column {labels.column!r} holds {first[value]!r} and {name!r}, one number in two spellings",
                "say what they are: --kind regression for numbers, --kind classification for codes",
            )
        first[value] = name
