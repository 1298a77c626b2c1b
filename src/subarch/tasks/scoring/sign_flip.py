"""Is the difference of two models chance? Tests that swap what the two did on some of the same units.

Under the hypothesis that the models are alike, each unit's pair could as well have come the other way round; p is the
share of all such swaps that lie as far from zero (Fisher 1935; Yeh 2000 for F1 and its like).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import bdtr

from subarch.tasks.base import Array
from subarch.tasks.scoring.measures import CELLS, Measure, occurring

COUNTED = 14
"""Differences up to which every flip is counted, 16,384 of them; with more, flips are drawn."""
ROUNDING = 1e-12
"""Sums are equally far where they differ by a smaller share than this."""


def sign_flip(differences: Array, rng: np.random.Generator, flips: int) -> float:
    """Two-sided p that paired differences of independent units, (N,), have a mean of zero.

    Exact for up to `COUNTED` differences that are not zero, and for any number of equal size, as of right and wrong
    answers (McNemar's exact test). Else from drawn flips; one is added to both counts, so that no p is 0 (Davison and
    Hinkley 1997, section 4.2).
    """
    found = np.asarray(differences, dtype=np.float64)
    found = found[found != 0]
    if not len(found):
        return 1.0
    sizes, counts = np.unique(np.abs(found), return_counts=True)
    if len(sizes) == 1:
        fewer = min(int((found > 0).sum()), int((found < 0).sum()))
        return min(1.0, 2 * float(bdtr(fewer, len(found), 0.5)))
    far = abs(found.sum()) - ROUNDING * float(sizes @ counts)
    if len(found) <= COUNTED:
        signs = 1 - 2 * ((np.arange(2 ** len(found))[:, None] >> np.arange(len(found))) & 1)
        return float((np.abs(signs @ found) >= far).mean())

    def draw(count: int) -> Array:
        # How many differences of one size are positive is binomial: they need not be drawn one by one.
        return np.asarray((2 * rng.binomial(counts, 0.5, size=(count, len(sizes))) - counts) @ sizes)

    return _share_as_far(draw, far, flips, len(sizes))


def swap(one: Measure, other: Measure, units: Array | None, rng: np.random.Generator, swaps: int) -> float:
    """Two-sided p that two models are alike, by any metric: from drawn swaps of what they did on each unit.

    Of a metric that is no mean over units this is a test of more than equal metrics, but close to one of these.
    """
    first, second = (each.codes if units is None else each.codes[units] for each in (one, other))
    seen = other.value(units) - one.value(units)
    if one.summed:
        joint, counts = np.unique(np.stack([first, second]), axis=1, return_counts=True)
        ours, theirs = occurring(one.table[joint[0]], other.table[joint[1]])
        width = max(ours.shape)

        def draw(count: int) -> Array:
            kept = rng.binomial(counts, 0.5, size=(count, len(counts))).astype(np.float64)
            there, back = kept @ theirs + (counts - kept) @ ours, kept @ ours + (counts - kept) @ theirs
            return other.function(there) - one.function(back)

    else:
        here, there = np.asarray(one.table[first]), np.asarray(other.table[second])
        width = here.size

        def draw(count: int) -> Array:
            swapped = rng.random((count, len(here), 1)) < 0.5
            return other.function(np.where(swapped, here, there)) - one.function(np.where(swapped, there, here))

    return _share_as_far(draw, abs(seen) * (1 - ROUNDING) - ROUNDING, swaps, width)


def _share_as_far(draw: Callable[[int], Array], far: float, wanted: int, width: int) -> float:
    """Of `wanted` draws, each of `width` numbers, and what was seen, the share that is as far from zero."""
    chunk, beyond = max(1, CELLS // max(width, 1)), 0
    for start in range(0, wanted, chunk):
        beyond += int((np.abs(draw(min(chunk, wanted - start))) >= far).sum())
    return (1 + beyond) / (1 + wanted)
