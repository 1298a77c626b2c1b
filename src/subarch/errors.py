"""The exception tree; every message says what we got and what we expected, and `hint` how to go on.

- SubarchError              a failure; exit code 1
  - UserError               the user's mistake; exit code 2; also a ValueError
    - ConfigError           a recipe, a flag or an argument that cannot be
    - DataError             a data file, a column, a label, a task name
    - ModelError            a model folder or a Hub id that cannot be used
    - OutputError           an output folder that belongs to another run
    - BudgetError           a budget too short for one step
  - StorageError            the disk is full or cannot be written
  - DivergedError           training produced a loss that is no number
  - MissingExtraError       an optional package is not installed
  - InterruptedRun          Ctrl-C, after saving; exit code 130
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SubarchError(Exception):
    """A failure that subarch explains in one line.

    Args:
        message: What we got and what we expected, without a final period.
        hint: How to fix it; shown on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class UserError(SubarchError, ValueError):
    """The user's mistake: nothing was lost and nothing half-written."""

    exit_code = 2


class ConfigError(UserError):
    """A recipe, a flag or an argument that cannot be."""


class DataError(UserError):
    """A data file, column, label or task name that cannot be used."""


class ModelError(UserError):
    """A model folder or Hub id that cannot be used."""


class OutputError(UserError):
    """An output folder that belongs to another run."""


class BudgetError(UserError):
    """A budget too short for one step."""


class StorageError(SubarchError):
    """The disk is full or cannot be written."""


class DivergedError(SubarchError):
    """Training produced a loss that is no number."""


class MissingExtraError(SubarchError):
    """An optional package is not installed."""

    exit_code = 2


class InterruptedRun(SubarchError):
    """Stopped by the user after saving; the same command resumes."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """One hint for an unknown name: the nearest known names, then all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    prefix = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{prefix}known: {', '.join(names)}"
