"""Which rows of one split stand in another one too: counted exactly, and taken out of train.

Two rows are the same where their texts are, without regard to case and spacing (`Examples.text_keys`), whatever their
labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.splits import without

SPLIT_PAIRS = (("validation", "train"), ("test", "train"), ("test", "validation"))


def shared_rows(examples: Examples, others: Examples) -> Array:
    """(N,) bool, whether each of the examples stands among the others."""
    found = np.isin(examples.key_hashes, others.key_hashes)
    if not found.any():
        return found
    # Only where hashes are equal the texts themselves are compared.
    mine = np.flatnonzero(found)
    theirs = np.flatnonzero(np.isin(others.key_hashes, examples.key_hashes[mine]))
    known = set(others.take(theirs).text_keys())
    found[mine] = [key in known for key in examples.take(mine).each_key()]
    return found


def count_overlaps(data: TaskData) -> dict[tuple[str, str], int]:
    """For each of `SPLIT_PAIRS`, how many rows of the first split stand in the second."""
    return {
        (part, whole): int(shared_rows(getattr(data, part), getattr(data, whole)).sum()) for part, whole in SPLIT_PAIRS
    }


def drop_overlap(data: TaskData) -> TaskData:
    """The data without the rows of train that stand in validation or test; of a group all rows go where one does.

    A note says how many rows went.

    Raises:
        DataError: Nothing is left of train, or nothing of one of its classes.
    """
    train = without(data.train, {*data.validation.each_key(), *data.test.each_key()})
    dropped = len(data.train) - len(train)
    if not dropped:
        return data
    if len(train) == 0:
        raise DataError(
            f"all {dropped} rows of train stand in validation or test, expected some that do not",
            "give other training data, or do not drop the overlap",
        )
    if data.task.labels and data.train.labels is not None and train.labels is not None:
        lost = set(data.train.labels.tolist()) - set(train.labels.tolist())
        if lost:
            name = data.task.labels[min(lost)]
            raise DataError(
                f"all rows of train with the label {name!r} stand in validation or test, expected some that do not",
                "add examples of it to train, or do not drop the overlap",
            )
    note = f"{dropped} rows of train stand in validation or test too and are left out"
    return replace(data, train=train, notes=(*data.notes, note))
