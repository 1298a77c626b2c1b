"""All kinds of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from subarch.kinds.base import Kind
from subarch.kinds.choice import Choice
from subarch.kinds.classification import Classification
from subarch.kinds.regression import Regression
from subarch.kinds.rows import load_rows
from subarch.kinds.span import Span
from subarch.tasks.base import KindName, Task, TaskData
from subarch.tasks.columns import Columns

KINDS: dict[KindName, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Choice(), Span())}


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return KINDS[task.kind]


def load_own(files: Mapping[str, Path], given: Columns, kind: KindName | None, seed: int) -> TaskData:
    """Read a task from a user's own files, as `Kind.load_files`: of the named kind, or of that which they are."""
    if kind is not None:
        return KINDS[kind].load_files(files, given, seed)
    found = next((each for each in KINDS.values() if each.recognises(files["train"], given)), None)
    return load_rows(files, given, None, seed) if found is None else found.load_files(files, given, seed)
