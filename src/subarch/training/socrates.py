"""Socrates' part of Agora: what a model gets wrong, what the teacher says of new points, and which of them stay.

A row is what a model reads. A question, which is what can be wrong, is a row, or in a choice task a group of rows. A
number is right if it rounds to the same step as the label, as the paper says "after Raffel": T5 (arXiv 1910.10683,
section 2.4) rounds the labels of STS-B, 0 to 5, to the nearest 0.2. Other scales get as many steps (`GRADES`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subarch.tasks.base import Array, Examples
from subarch.tasks.scoring.predictions import chosen_rows

GRADES = 25
"""Steps from the lowest to the highest label of a regression: 0.2 on the scale of STS-B, as in T5 (whose 21 classes
begin at 1)."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model says of N rows."""

    labels: Array
    """(N,) as `Examples.labels`: int64 class, or 1 for the chosen row of a group; float32 score."""
    confidence: Array
    """(N,) float: the probability of that answer, the same for all rows of a group; 1 for a number."""


def classes_said(outputs: Array) -> Answers:
    """The answers in (N, C) logits."""
    shifted = np.exp(outputs.astype(np.float64) - outputs.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    return Answers(labels=outputs.argmax(1).astype(np.int64), confidence=probabilities.max(1))


def numbers_said(outputs: Array) -> Answers:
    """The answers in (N, 1) scores."""
    return Answers(labels=outputs[:, 0].astype(np.float32), confidence=np.ones(len(outputs)))


def choices_said(scores: Array, groups: Array) -> Answers:
    """The answers in (N,) scores: the highest of each group. `groups` (N,) is ascending."""
    chosen = chosen_rows(scores[:, None], groups)
    numbers = np.unique(groups, return_inverse=True)[1]
    highest = scores[chosen][numbers]
    weights = np.exp(scores - highest)
    confidence = 1.0 / np.bincount(numbers, weights)[numbers]
    labels = np.zeros(len(scores), dtype=np.int64)
    labels[chosen] = 1
    return Answers(labels=labels, confidence=confidence)


def graded(values: Array, scale: Array) -> Array:
    """(N,) int64: numbers rounded to `GRADES` steps between the lowest and the highest of `scale`.

    A number outside the scale counts as its nearest end (ours: T5 counts it as wrong).
    """
    low, high = float(np.min(scale)), float(np.max(scale))
    step = (high - low) / GRADES or 1.0
    return np.clip(np.rint((np.asarray(values) - low) / step), 0, GRADES).astype(np.int64)


def asked(examples: Examples) -> int:
    """How many questions the rows are: the groups, or all."""
    return len(examples) if examples.groups is None else len(np.unique(examples.groups))


def balanced(labels: Array, classes: int, rng: np.random.Generator, most: int | None = None) -> Array:
    """Ascending rows in which every class has as many as the rarest; the surplus is discarded at random.

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
