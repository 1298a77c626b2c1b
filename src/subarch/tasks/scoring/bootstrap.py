"""How sure a metric is: the bootstrap over its units (Efron 1979), of one model and of two on the same examples.

It tells how a metric would move with another test set of this size, not with another training run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from subarch.tasks.base import Array
from subarch.tasks.scoring.measures import CELLS, Measure, occurring

RESAMPLES = 1000


def interval(measure: Measure, seed: int, units: Array | None = None) -> tuple[float, float]:
    """95 % percentile interval of a metric, on these units or on all of them."""
    values = resampled(measure, np.random.default_rng(seed), units)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def resampled(
    measure: Measure, rng: np.random.Generator, units: Array | None = None, resamples: int = RESAMPLES
) -> Array:
    """(resamples,) values of a metric."""
    codes = measure.codes if units is None else measure.codes[units]
    if len(codes) == 0:
        return np.full(resamples, measure.value(codes))
    if not measure.summed:
        return np.concatenate(
            [measure.function(np.asarray(measure.table[codes[rows]])) for rows in _draws(codes, rng, resamples)]
        )
    kinds, counts = np.unique(codes, return_counts=True)
    (rows,) = occurring(measure.table[kinds])
    width = rows.shape[1]
    return np.concatenate([measure.function(weights @ rows) for weights in _weights(counts, rng, resamples, width)])


def resampled_differences(
    one: Measure, other: Measure, rng: np.random.Generator, units: Array | None = None, resamples: int = RESAMPLES
) -> Array:
    """(resamples,) of `other` less `one`, both on the same resample: what the two have in common cancels out."""
    first, second = (each.codes if units is None else each.codes[units] for each in (one, other))
    if not one.summed:
        return np.concatenate(
            [
                other.function(np.asarray(other.table[second[rows]])) - one.function(np.asarray(one.table[first[rows]]))
                for rows in _draws(first, rng, resamples)
            ]
        )
    joint, counts = np.unique(np.stack([first, second]), axis=1, return_counts=True)
    ours, theirs = occurring(one.table[joint[0]], other.table[joint[1]])
    return np.concatenate(
        [
            other.function(weights @ theirs) - one.function(weights @ ours)
            for weights in _weights(counts, rng, resamples, ours.shape[1])
        ]
    )


def _weights(counts: Array, rng: np.random.Generator, resamples: int, width: int) -> Iterator[Array]:
    """How often each kind of unit occurs in a resample, in chunks of (R, kinds), float64, for sums of `width` numbers.

    N draws from N units fill the kinds multinomially: the units themselves need not be drawn.
    """
    total = int(counts.sum())
    chunk = max(1, CELLS // max(len(counts), width))
    for start in range(0, resamples, chunk):
        yield rng.multinomial(total, counts / total, size=min(chunk, resamples - start)).astype(np.float64)


def _draws(codes: Array, rng: np.random.Generator, resamples: int) -> Iterator[Array]:
    chunk = max(1, CELLS // len(codes))
    for start in range(0, resamples, chunk):
        yield rng.integers(len(codes), size=(min(chunk, resamples - start), len(codes)))
