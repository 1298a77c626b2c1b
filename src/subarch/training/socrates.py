"""Socrates' part of Agora: what a model gets wrong, what the teacher says of new points, and which of them stay.

A row is what a model reads; what is asked, and can be wrong, is a row, or in a choice task a group of rows. A number is
right where it rounds to the right one (as T5 puts STS-B, arXiv 1910.10683, section 2.4), on a scale of `GRADES` steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subarch.tasks.base import Array, Examples, Kind
from subarch.tasks.scoring.predictions import chosen_rows

GRADES = 5
"""Steps from the lowest to the highest number of a regression: those of STS-B."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model says of N rows."""

    labels: Array
    """(N,) as `Examples.labels`: int64 class, or 1 for the chosen row of a group; float32 score."""
    confidence: Array
    """(N,) float: the probability of that answer, the same for all rows of a group; 1 for a number."""


def answers(kind: Kind, outputs: Array, groups: Array | None = None) -> Answers:
    """The answers in a model's outputs.

    Args:
        kind: Of the task; not "span".
        outputs: (N, C) logits, or (N, 1) scores.
        groups: (N,) ascending, of a choice task.
    """
    if kind == "regression":
        return Answers(labels=outputs[:, 0].astype(np.float32), confidence=np.ones(len(outputs)))
    if kind == "choice":
        assert groups is not None
        return _choices(outputs[:, 0].astype(np.float64), groups)
    shifted = np.exp(outputs.astype(np.float64) - outputs.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    return Answers(labels=outputs.argmax(1).astype(np.int64), confidence=probabilities.max(1))


def _choices(scores: Array, groups: Array) -> Answers:
    chosen = chosen_rows(scores[:, None], groups)
    numbers = np.unique(groups, return_inverse=True)[1]
    highest = scores[chosen][numbers]
    weights = np.exp(scores - highest)
    confidence = 1.0 / np.bincount(numbers, weights)[numbers]
    labels = np.zeros(len(scores), dtype=np.int64)
    labels[chosen] = 1
    return Answers(labels=labels, confidence=confidence)


def wrong_rows(kind: Kind, found: Array, examples: Examples) -> Array:
    """(N,) bool: rows whose answer is not the labelled one, all rows of a group of which a wrong row is chosen.

    Args:
        kind: Of the task.
        found: (N,) labels of `answers`.
        examples: The same rows with their labels.
    """
    assert examples.labels is not None
    if kind == "regression":
        return np.asarray(graded(found, examples.labels) != graded(examples.labels, examples.labels))
    if kind != "choice":
        return np.asarray(found != examples.labels)
    assert examples.groups is not None
    numbers = np.unique(examples.groups, return_inverse=True)[1]
    # A question may have several right rows, of which one is chosen.
    return np.asarray((np.bincount(numbers, found * examples.labels) == 0)[numbers])


def graded(values: Array, scale: Array) -> Array:
    """(N,) int64: numbers rounded to `GRADES` steps between the lowest and the highest of `scale`."""
    low, high = float(np.min(scale)), float(np.max(scale))
    step = (high - low) / GRADES or 1.0
    return np.clip(np.rint((np.asarray(values) - low) / step), 0, GRADES).astype(np.int64)


def asked(examples: Examples) -> int:
    """How many questions the rows are: the groups, or all."""
    return len(examples) if examples.groups is None else len(np.unique(examples.groups))


def balanced(labels: Array, classes: int, rng: np.random.Generator, most: int | None = None) -> Array:
    """Rows, ascending, of which every class has as many as the rarest: the surplus is discarded at random.

    Args:
        labels: (N,) int64.
        classes: How many there are, at least one; one without any row leaves nothing.
        rng: Draws what stays.
        most: Rows of a class at most.
    """
    size = np.bincount(labels, minlength=classes).min()
    size = size if most is None else min(size, most)
    kept = [rng.permutation(np.flatnonzero(labels == label))[:size] for label in range(classes)]
    return np.sort(np.concatenate(kept))
