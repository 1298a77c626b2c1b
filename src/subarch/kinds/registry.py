"""All kinds of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from subarch.errors import ConfigError
from subarch.kinds.base import Kind
from subarch.kinds.choice import Choice
from subarch.kinds.classification import Classification
from subarch.kinds.regression import Regression
from subarch.kinds.rows import RowKind, load_rows
from subarch.kinds.span import Span
from subarch.tasks.base import KindName, Task, TaskData
from subarch.tasks.columns import Columns

KINDS: dict[KindName, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Choice(), Span())}


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return KINDS[task.kind]


def grown_kind(task: Task) -> RowKind:
    """The kind of a task whose data Agora can grow.

    Raises:
        ConfigError: Agora cannot grow it.
    """
    kind = kind_of(task)
    if isinstance(kind, RowKind):
        return kind
    raise ConfigError(
        f"agora cannot grow {task.name}: it asks for {kind.expected}",
        "cast the questions as pairs, or leave --agora out",
    )


def load_own(files: Mapping[str, Path], given: Columns, kind: KindName | None, seed: int) -> TaskData:
    """Read a task from a user's own files, as `Kind.load_files`: of the named kind, or of that which they are."""
    if kind is not None:
        return KINDS[kind].load_files(files, given, seed)
    found = next((each for each in KINDS.values() if each.recognises(files["train"], given)), None)
    return load_rows(files, given, None, seed) if found is None else found.load_files(files, given, seed)
