"""What a floor is: two baselines, one that looks at next to nothing and one that counts words.

A student that does not beat them is not worth its latency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from subarch.tasks.base import Array, Examples
from subarch.tasks.scoring.predictions import Predictions

Read = Callable[[Examples], Examples]
"""Gives the part of the examples that a baseline reads: no more than the models see."""

TRAIN_ROWS = 20_000
"""Words are counted in at most this many rows: more take long and change little."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A trained baseline and its answers on test."""

    name: str
    """Its key in `result.json`."""
    label: str
    """Its name in a table."""
    said: str
    """Its name within a sentence."""
    predictions: Predictions
    """Of test."""
    parameters: int
    """Numbers that were learnt or tuned."""
    answer: Callable[[Examples], Predictions]
    """Gives the answers to other examples: a latency clock asks one question at a time."""


@dataclass(frozen=True, kw_only=True)
class Floors:
    """The two baselines of a task."""

    commonest: Baseline
    """The best answer without reading: the commonest, the longest, or none."""
    simple: Baseline
    """The simple method that a student has to beat."""

    def __iter__(self) -> Iterator[Baseline]:
        yield from (self.commonest, self.simple)


def whole(examples: Examples) -> Examples:
    """The examples as they are: everything is read."""
    return examples


def drawn(examples: Examples, count: int = TRAIN_ROWS) -> Examples:
    """At most so many rows, by a fixed draw: the baseline of a task is one number, whatever the seed of the run."""
    if len(examples) <= count:
        return examples
    return examples.take(np.sort(np.random.default_rng(0).permutation(len(examples))[:count]))


def labels_of(examples: Examples) -> Array:
    """The right answers of examples that have them."""
    if examples.labels is None:
        raise ValueError("examples have no labels")
    return np.asarray(examples.labels)
