"""Dominance and the Pareto front, for objectives that are all minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto_front(points: Sequence[Sequence[float]]) -> list[int]:
    """Indices of the points that no other point dominates, in their order.

    A point dominates another when it is no worse in every objective and better in at least one; equal points do not
    dominate each other, so both stay. Points with a NaN are never on the front.

    Args:
        points: Shape (points, objectives); every objective is minimised.
    """
    if not len(points):
        return []
    values = np.asarray(points, dtype=float)
    whole = ~np.isnan(values).any(axis=1)
    front = []
    for index in np.flatnonzero(whole):
        others = values[whole]
        dominated = (others <= values[index]).all(axis=1) & (others < values[index]).any(axis=1)
        if not dominated.any():
            front.append(int(index))
    return front
