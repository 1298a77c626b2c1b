"""All kinds of tasks."""

from __future__ import annotations

from subarch.kinds.base import Kind
from subarch.kinds.choice import Choice
from subarch.kinds.classification import Classification
from subarch.kinds.regression import Regression
from subarch.kinds.span import Span
from subarch.tasks.base import KindName, Task

KINDS: dict[KindName, Kind] = {kind.name: kind for kind in (Classification(), Regression(), Choice(), Span())}


def kind_of(task: Task) -> Kind:
    """The kind of a task."""
    return KINDS[task.kind]
