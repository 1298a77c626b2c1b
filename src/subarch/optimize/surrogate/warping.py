"""Metrics on a scale that a Gaussian process can model: standardised, with the bad end pressed together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subarch.optimize.surrogate.kernel import Array

_KNEE = 1.5
"""Deviations behind the median from which values are pressed together."""
_ROOM = 3.0
"""Deviations into which all that lies behind the knee is pressed."""
_EQUAL = 1e-9
"""Deviations below this share of the median are rounding."""


@dataclass(frozen=True, kw_only=True)
class Warping:
    """An increasing map of minimised values: affine up to `knee`, bounded behind it by `knee` + `room`.

    What lies before the knee keeps its proportions, so that improvements and hypervolumes there keep theirs. A trial
    that diverged, but not to infinity, would flatten everything else under plain standardising.
    """

    centre: float
    width: float
    knee: float = _KNEE
    room: float = _ROOM

    @classmethod
    def of(cls, values: Array) -> Warping:
        """From finite minimised values, shape (n,), n at least 1.

        The width comes from the better half where that varies, since the worse half is what may be wild.
        """
        unit = float(np.abs(values).max()) or 1.0  # squares must not overflow
        scaled = values / unit
        centre = float(np.median(scaled))
        better = centre - scaled[scaled < centre]
        width = float(np.sqrt(np.mean(better**2))) if len(better) else 0.0
        for other in (float(np.std(scaled)), 1.0):
            if width <= _EQUAL * abs(centre):
                width = other
        return cls(centre=centre * unit, width=width * unit)

    def __call__(self, values: Array) -> Array:
        """Any shape in, the same shape out."""
        scaled = np.asarray(values, dtype=float) / self.width - self.centre / self.width
        behind = np.maximum(scaled - self.knee, 0.0)
        result: Array = np.minimum(scaled, self.knee) + behind / (1.0 + behind / self.room)
        return result

    def slope(self, values: Array) -> Array:
        """The derivative, which carries a standard error over."""
        scaled = (np.asarray(values, dtype=float) - self.centre) / self.width
        behind = np.maximum(scaled - self.knee, 0.0)
        result: Array = 1.0 / (self.width * (1.0 + behind / self.room) ** 2)
        return result
