"""The Matérn 5/2 kernel with one length scale a group of features (Rasmussen and Williams 2006, section 4.2.1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROOT_5 = math.sqrt(5.0)


def squared_distances(one: Array, other: Array) -> Array:
    """Shape (n, f) and (m, f) in, (n, m) out; by matrix products, so that rounding is cut off at 0."""
    products = one @ other.T
    products *= -2.0
    products += (one**2).sum(axis=1)[:, None]
    products += (other**2).sum(axis=1)
    return np.maximum(products, 0.0, out=products)


def matern(squared: Array) -> Array:
    """Correlation from squared distances in units of the length scales."""
    scaled = ROOT_5 * np.sqrt(squared)
    result: Array = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    return result


def matern_and_slope(squared: Array) -> tuple[Array, Array]:
    """The correlation, and minus twice its derivative by the squared distance."""
    scaled = ROOT_5 * np.sqrt(squared)
    decay = np.exp(-scaled)
    return (1.0 + scaled + scaled**2 / 3.0) * decay, (5.0 / 3.0) * (1.0 + scaled) * decay


def contracted_gradient(weights: Array, scaled: Array) -> Array:
    """For each feature, the sum over all pairs of weight times squared difference.

    Args:
        weights: Shape (n, n), symmetric.
        scaled: Features in units of their length scales, shape (n, f).
    """
    result: Array = 2.0 * (weights.sum(axis=1) @ scaled**2 - (scaled * (weights @ scaled)).sum(axis=0))
    return result
