"""The columns of a finite list of candidates as parameters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from subarch.errors import ConfigError
from subarch.optimize.parameters import Choice, Float, Int, Parameter, Params, Value, exact, is_number

ORDINAL_VALUES = 12
"""A column with at most so many different numbers is encoded by their ranks."""
LOG_SPAN = 100.0
"""Positive numbers that span at least this factor are encoded by their logarithm."""


def row_key(row: Params) -> Hashable:
    """The same for equal rows, whatever the order of their names."""
    return frozenset((name, exact(value)) for name, value in row.items())


def plain_rows(rows: Sequence[Params]) -> tuple[dict[str, Value], ...]:
    """Copies of the rows, with plain values for NumPy's.

    Raises:
        ConfigError: No rows, equal ones, or values that are neither a text, a finite number nor true or false.
    """
    if not rows:
        raise ConfigError("the table of candidates has no rows")
    plain = tuple({name: _plain(index, name, value) for name, value in row.items()} for index, row in enumerate(rows))
    first: dict[Hashable, int] = {}
    for index, row in enumerate(plain):
        same = first.setdefault(row_key(row), index)
        if same != index:
            raise ConfigError(f"rows {same} and {index} of the table of candidates are equal", "drop one of them")
    return plain


def column_parameters(rows: Sequence[Params]) -> dict[str, Parameter]:
    """What each column ranges over, in the order in which the columns appear.

    Few different numbers are ordered choices, more are a range (in the logarithm where they span much), all else is
    unordered choices.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _parameter([row[name] for row in rows if name in row]) for name in names}


def _plain(index: int, name: str, value: Any) -> Value:
    item = value.item() if isinstance(value, np.generic) else value
    if isinstance(item, (str, bool, int, float)) and (isinstance(item, (str, bool)) or is_number(item)):
        return item
    raise ConfigError(
        f"row {index} of the table has {name} = {value!r}, expected a text, a finite number, true or false"
    )


def _parameter(column: Sequence[Value]) -> Parameter:
    values = tuple({exact(value): value for value in column}.values())
    numbers = [value for value in values if not isinstance(value, (str, bool))]
    if len(numbers) < len(values):  # texts, true and false among them
        return Choice(values=values)
    if len(numbers) <= ORDINAL_VALUES:
        return Choice(values=tuple(sorted(numbers)), ordered=True)
    low, high = min(numbers), max(numbers)
    log = low > 0 and high / low >= LOG_SPAN
    if isinstance(low, int) and isinstance(high, int) and all(isinstance(value, int) for value in numbers):
        return Int(low=low, high=high, log=log)
    return Float(low=low, high=high, log=log)
