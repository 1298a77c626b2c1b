"""What a sampler is: it looks at the trials so far and names the next configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from subarch.optimize.domain import Value
    from subarch.optimize.study import Problem
    from subarch.optimize.trials import Trial


class Sampler(Protocol):
    """Laws, which the contract suite checks:

    - A suggestion depends on the problem, the trials, the generator and the options only. Caches are allowed where they
      change nothing but the time, so that a replayed search goes on as an uninterrupted one would.
    - A suggestion is valid in `problem.domain`; without an untried configuration it may repeat one.
    - Trials of any state are accepted, in any mixture, also none.
    """

    @property
    def name(self) -> str:
        """Under which `make_sampler` makes it."""
        ...

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> dict[str, Value]:
        """The configuration to try next.

        Args:
            problem: Domain, metrics with their thresholds, and what is known of them.
            trials: All trials so far, by number; those that run count as pending.
            rng: Of this suggestion alone; the only source of randomness.
        """
        ...
