"""What a trial is judged by: metrics with a name, a direction, and perhaps a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from subarch.errors import ConfigError, did_you_mean

Direction = Literal["maximize", "minimize"]
Role = Literal["objective", "constraint", "stored"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that every trial reports.

    An objective is optimised; with a threshold, what lies beyond it is infeasible. A constraint is only held against
    its threshold. A stored metric is neither: it is kept and shown.

    Raises:
        ConfigError: An unknown direction, a threshold that is no number or that nothing would use, a constraint
            without one.
    """

    name: str
    direction: Direction = "maximize"
    threshold: float | None = None
    """The worst value that is accepted."""
    store: bool = False
    constraint: bool = False

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise ConfigError(
                f"the direction of {self.name} is {self.direction!r}, expected maximize or minimize",
                did_you_mean(str(self.direction), get_args(Direction)),
            )
        if self.store and self.constraint:
            raise ConfigError(f"{self.name} is both stored and a constraint, expected one of them")
        if self.store and self.threshold is not None:
            raise ConfigError(
                f"{self.name} is only stored and has a threshold of {self.threshold}",
                "drop `store` to optimise it, or make it a constraint",
            )
        if self.constraint and self.threshold is None:
            raise ConfigError(f"{self.name} is a constraint without a threshold", "give it a threshold")
        if self.threshold is not None and not _is_number(self.threshold):
            raise ConfigError(f"the threshold of {self.name} is {self.threshold!r}, expected a finite number")

    @property
    def role(self) -> Role:
        """What the search does with it."""
        if self.store:
            return "stored"
        return "constraint" if self.constraint else "objective"

    def minimised(self, value: float) -> float:
        """The value with its sign such that less is better."""
        return -value if self.direction == "maximize" else value

    def violation(self, value: float) -> float:
        """By how much a value misses the threshold, in the metric's unit; 0 where it is met or there is none."""
        if self.threshold is None:
            return 0.0
        return max(0.0, self.minimised(value) - self.minimised(self.threshold))

    def meets(self, value: float) -> bool:
        """Whether a value is at the threshold or better; always so without one."""
        return self.violation(value) == 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
