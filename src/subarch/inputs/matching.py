"""Which output of a model stands for which class of a task: by name, by number, or in an order that was given."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from subarch.errors import ConfigError
from subarch.tasks.base import Examples, Task, TaskData


@dataclass(frozen=True, kw_only=True)
class Match:
    """How the classes of a task were found among a model's outputs."""

    order: tuple[int, ...]
    """For each class of the task, the index of the output that stands for it."""
    names: tuple[str, ...]
    """For each output, the name of its class."""
    note: str | None = None
    """What was taken for granted, in words; None where the names are equal."""
    assumed: bool = False
    """Whether nothing but the order of the names speaks for it."""


def match_classes(task: Task, names: Sequence[str]) -> Match | None:
    """The outputs of a model beside the classes of a task; None where they do not fit.

    Args:
        task: Of classes.
        names: Of the model's outputs, in their order.
    """
    count = len(task.labels)
    if len(names) != count:
        return None
    by_name = _by_name(task.labels, names)
    if task.ordered:
        other = by_name is not None and list(by_name.order) != sorted(by_name.order)
        note = f"the order of --labels is taken, not that of the model's names: {', '.join(names)}" if other else None
        return _match(range(count), task.labels, note)
    if by_name is not None:
        return by_name
    numbered = set(task.labels) == {str(index) for index in range(count)}
    if not unnamed(names):
        if not numbered:
            return None
        told = ", ".join(f"{index} is {name}" for index, name in enumerate(names))
        return _match(map(int, task.labels), names, f"the numbers are taken for the model's classes: {told}")
    if numbered:
        own = tuple(str(index) for index in range(count))
        return _match(map(int, task.labels), own, None)
    told = ", ".join(f"{output} is {label}" for output, label in zip(names, task.labels, strict=True))
    note = f"the model's outputs have no names, and are taken in the order of the classes: {told}"
    return replace(_match(range(count), task.labels, note), assumed=True)


def unnamed(names: Sequence[str]) -> bool:
    """Whether outputs are called LABEL_0, LABEL_1 and so on."""
    return all(name == f"LABEL_{index}" for index, name in enumerate(names))


def renumbered(data: TaskData, match: Match) -> TaskData:
    """The data with their classes numbered and named as the model's outputs are."""
    if match.names == data.task.labels and list(match.order) == sorted(match.order):
        return data
    new_index = np.asarray(match.order, dtype=np.int64)

    def of(examples: Examples) -> Examples:
        return replace(examples, labels=None if examples.labels is None else new_index[examples.labels])

    task = replace(data.task, labels=match.names)
    return replace(data, task=task, train=of(data.train), validation=of(data.validation), test=of(data.test))


def in_order(data: TaskData, labels: tuple[str, ...] | None) -> TaskData:
    """The data with their classes in the order that the user gave; as they are where there is none.

    Raises:
        ConfigError: Other classes than the data have.
    """
    if labels is None:
        return data
    task = data.task
    if not task.labels or sorted(labels) != sorted(task.labels):
        found = listed(task.labels) if task.labels else f"none, {task.name} is a {task.kind}"
        raise ConfigError(f"--labels is {listed(labels)}, but the classes of the data are {found}", "name each once")
    order = tuple(labels.index(label) for label in task.labels)
    ordered = renumbered(data, Match(order=order, names=labels))
    return replace(ordered, task=replace(ordered.task, ordered=True))


def listed(names: Sequence[str]) -> str:
    """Names with commas, as `--labels` takes them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()


def split_names(given: object) -> object:
    """The names in a text with commas, as in a line of CSV; anything else unchanged."""
    if not isinstance(given, str):
        return given
    return tuple(name.strip() for row in csv.reader([given], skipinitialspace=True) for name in row)


def _by_name(labels: Sequence[str], names: Sequence[str]) -> Match | None:
    if set(names) == set(labels) and len(set(names)) == len(names):
        return _match((list(names).index(label) for label in labels), names, None)
    plain = [_plain(name) for name in names]
    wanted = [_plain(label) for label in labels]
    if set(plain) != set(wanted) or len(set(plain)) != len(plain):
        return None
    told = ", ".join(f"{label} is {names[plain.index(key)]}" for label, key in zip(labels, wanted, strict=True))
    return _match((plain.index(key) for key in wanted), names, f"classes are matched whatever their case: {told}")


def _match(order: Iterable[int], names: Sequence[str], note: str | None) -> Match:
    return Match(order=tuple(order), names=tuple(names), note=note)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
