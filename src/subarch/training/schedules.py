"""What follows the progress of training: the learning rate, as a share of its peak, and the validations.

All rates warm up linearly over the first `warmup` of the progress. Then "linear" falls to zero, as the code released
with Bort does; "noam" falls with the inverse square root (Vaswani et al. 2017, arXiv 1706.03762, scaled to peak at 1),
which the Bort paper names; "constant" stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

Schedule = Literal["linear", "noam", "constant"]

EVALUATING = 0.2
"""Share of a time share that validations may take, the last one apart; ours."""


def rate(schedule: Schedule, progress: float, warmup: float) -> float:
    """Share of the peak learning rate at `progress` in [0, 1]."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return _AFTER_WARMUP[schedule](progress, warmup)


def places_apart(evaluations: int, cost: float, seconds: float | None) -> int:
    """How many of `evaluations` evenly spread places the next validation lies after this one.

    1, or more where that many of `cost` seconds would leave a training of `seconds` little time to learn.
    """
    return max(1, math.ceil(evaluations * cost / (EVALUATING * seconds))) if seconds else 1


def _linear(progress: float, warmup: float) -> float:
    return max(0.0, (1.0 - progress) / (1.0 - warmup))


def _noam(progress: float, warmup: float) -> float:
    return math.sqrt(warmup / progress)


def _constant(progress: float, warmup: float) -> float:
    return 1.0


_AFTER_WARMUP: Mapping[Schedule, Callable[[float, float], float]] = {
    "linear": _linear,
    "noam": _noam,
    "constant": _constant,
}
