"""What a cell of a table may be, and the rows that cannot be used, told in one message."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from subarch.errors import DataError

_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")
"""Unicode's categories of control characters, of marks without a width and of white space."""


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: it is empty, white space, NULs, or characters without a width."""
    text = text.strip()
    return not text or (not text[0].isprintable() and all(unicodedata.category(sign) in _UNSEEN for sign in text))


def is_writable(text: str) -> bool:
    """Whether a text can be written to a file: a lone surrogate, half of a UTF-16 pair, cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(cell: Any) -> str:
    """A cell as a message shows it, in a few characters."""
    if isinstance(cell, list | dict | tuple):
        return f"a {type(cell).__name__}"
    text = repr(cell[:60] if isinstance(cell, str | bytes) else cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass
class _Fault:
    place: str
    message: str
    hint: str | None
    rows: int = 1


class Faults:
    """Bad rows of one file: each kind of them with its first place and how many there are.

    Args:
        place: Where a row (by whatever number it is added) stands, for the message.
    """

    def __init__(self, place: Callable[[int], str]) -> None:
        self._place = place
        self._found: dict[str, _Fault] = {}

    def add(self, kind: str, row: int, message: str, hint: str | None = None) -> None:
        """Count a bad row; of each kind the first message is told."""
        fault = self._found.get(kind)
        if fault is None:
            self._found[kind] = _Fault(self._place(row), message, hint)
        else:
            fault.rows += 1

    def check(self) -> None:
        """Go on if there are none.

        Raises:
            DataError: There are bad rows; one message names all kinds, with the hint of the first.
        """
        if self._found:
            told = [
                f"{fault.place}: {fault.message}" + (f" ({fault.rows} such rows)" if fault.rows > 1 else "")
                for fault in self._found.values()
            ]
            raise DataError("; ".join(told), next(iter(self._found.values())).hint)
