"""The logarithm of the expected hypervolume improvement, by boxes, without underflow.

Objectives are minimised and independent given the models. In a box the improvement is a product of one-dimensional
parts, each the difference of two expected improvements (Emmerich et al. 2011; Daulton et al. 2020, arXiv 2006.05078,
section 3), so that two, three and more objectives are exact. Everything is a logarithm (Ament et al. 2023, arXiv
2310.20708): where nothing is expected, there is still a direction. With one objective it is log EI.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcx, log_ndtr, logsumexp, ndtr

from subarch.optimize.surrogate.kernel import Array

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_FAR = 200.0
"""Deviations beyond which two terms of the tail's series are exact to nine digits, and its formula cancels."""


def log_expected_improvement(level: Array, mean: Array, deviation: Array) -> Array:
    """log E[max(0, level - Y)] of Y normal; the shapes broadcast, deviations are above zero.

    Minus infinity for a level of minus infinity.
    """
    unit = (level - mean) / deviation
    result = np.full(np.broadcast_shapes(unit.shape, np.shape(deviation)), -np.inf)
    near = unit > -1.0
    u = unit[near]
    result[near] = np.log(np.exp(-0.5 * u * u - _LOG_ROOT_2PI) + u * ndtr(u))
    tail = (unit <= -1.0) & (unit > -_FAR)
    u = unit[tail]
    ratio = -math.sqrt(math.pi / 2.0) * u * erfcx(-u / math.sqrt(2.0))
    result[tail] = -0.5 * u * u - _LOG_ROOT_2PI + np.log(1.0 - ratio)
    far = (unit <= -_FAR) & np.isfinite(unit)
    u = unit[far]
    result[far] = -0.5 * u * u - _LOG_ROOT_2PI - 2.0 * np.log(-u) + np.log1p(-3.0 / (u * u))
    return result + np.log(deviation)


def log_hypervolume_improvement(boxes: tuple[Array, Array], mean: Array, deviation: Array) -> Array:
    """The logarithm of the expected hypervolume that each candidate adds.

    Args:
        boxes: Of `open_boxes`, each shape (boxes, objectives).
        mean: Shape (candidates, objectives).
        deviation: Shape (candidates, objectives), above zero.

    Returns:
        Shape (candidates,).
    """
    lower, upper = boxes
    total = np.zeros((len(mean), len(lower)))
    for j in range(mean.shape[1]):
        levels, places = np.unique(np.concatenate([lower[:, j], upper[:, j]]), return_inverse=True)
        heights = log_expected_improvement(levels[None], mean[:, j : j + 1], deviation[:, j : j + 1])
        low, high = heights[:, places[: len(lower)]], heights[:, places[len(lower) :]]
        total += high
        bounded = np.isfinite(lower[:, j])
        if bounded.any():
            share = np.exp(np.minimum(low[:, bounded] - high[:, bounded], 0.0))
            total[:, bounded] += np.log(np.maximum(1.0 - share, 1e-15))
    result: Array = logsumexp(total, axis=1)
    return result


def log_probability_below(level: float, mean: Array, deviation: Array) -> Array:
    """log P(Y <= level) of Y normal."""
    result: Array = log_ndtr((level - mean) / deviation)
    return result
