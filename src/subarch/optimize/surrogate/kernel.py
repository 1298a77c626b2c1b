"""The Matérn 5/2 kernel with one length scale a group of features (Rasmussen and Williams 2006, section 4.2.1).

And what each group does on its own: the additive kernel of first order (Duvenaud et al. 2011, arXiv 1112.4394), as
features whose products are its values, since a sum of one Matérn kernel a group would take many times as long.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ROOT_5 = math.sqrt(5.0)

_OWN_LENGTH = 0.5
"""Length scale of what a group does on its own. It is not fitted: from values at both ends of a range alone, the fit
makes a flat line, and the middle between them is looked at no more."""
_ANCHORS = 9
"""Points of [0, 1] whose span the own effect of a number is taken from: the kernel is off by less than 0.001."""


def squared_distances(one: Array, other: Array) -> Array:
    """Shape (n, f) and (m, f) in, (n, m) out; by matrix products, so that rounding is cut off at 0."""
    products = one @ other.T
    products *= -2.0
    products += (one**2).sum(axis=1)[:, None]
    products += (other**2).sum(axis=1)
    return np.maximum(products, 0.0, out=products)


def matern(squared: Array) -> Array:
    """Correlation from squared distances in units of the length scales."""
    scaled = np.sqrt(squared)
    scaled *= ROOT_5
    # (1 + s + s^2 / 3) exp(-s), in place: most of the time goes to memory.
    result: Array = 1.0 + scaled
    square = scaled**2
    square /= 3.0
    result += square
    result *= np.exp(np.negative(scaled, out=scaled), out=scaled)
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


def own_effects(features: Array, groups: Array) -> Array:
    """Rows whose products are the mean over the groups of a Matérn kernel of that group alone.

    Each kernel is taken from the span of some anchors (Nyström; Rasmussen and Williams 2006, section 8.1) and scaled to
    a variance of 1.

    Args:
        features: Shape (n, f), taken as within [0, 1]: in their own units, not in those of length scales.
        groups: Shape (f,), whole numbers from 0: the group of each feature.

    Returns:
        Shape (n, k), rows of length 1.
    """
    inside = np.clip(features, 0.0, 1.0) / _OWN_LENGTH
    widths = np.bincount(groups)
    # All numbers at once: a call a group would take longer than its arithmetic.
    numbers = inside[:, widths[groups] == 1]
    spanned = iter(_spanned(numbers.reshape(-1, 1)).reshape(*numbers.shape, _ANCHORS).swapaxes(0, 1))
    blocks = [
        next(spanned) if width == 1 else _spanned(inside[:, groups == group]) for group, width in enumerate(widths)
    ]
    result: Array = np.hstack(blocks) / math.sqrt(len(widths))
    return result


def _spanned(columns: Array) -> Array:
    """The features of one group, in units of the length, or of several numbers below each other; rows of length 1."""
    anchors, whitening = _anchors(columns.shape[1])
    block = matern(squared_distances(columns, anchors)) @ whitening
    result: Array = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result


@cache
def _anchors(width: int) -> tuple[Array, Array]:
    """In units of the length: a grid for a number, each value and the middle of all for a category."""
    places = (
        np.linspace(0.0, 1.0, _ANCHORS)[:, None]
        if width == 1
        else np.vstack([np.eye(width), np.full(width, 1 / width)])
    )
    anchors = places / _OWN_LENGTH
    factor = np.linalg.cholesky(matern(squared_distances(anchors, anchors)) + 1e-10 * np.eye(len(anchors)))
    return anchors, np.linalg.inv(factor).T
