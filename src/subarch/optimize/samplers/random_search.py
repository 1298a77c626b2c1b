"""Independent uniform draws: the baseline of every comparison (Bergstra and Bengio 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Table
from subarch.optimize.parameters import Value
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial

_ATTEMPTS = 64
"""Draws until one may be repeated."""


@dataclass(frozen=True, kw_only=True)
class RandomSampler:
    """A uniform configuration that was not tried."""

    name: str = "random"

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> dict[str, Value]:
        """See `Sampler`.

        Raises:
            Exhausted: The domain is a table whose rows were all tried.
        """
        if isinstance(problem.domain, Table):
            remaining = problem.domain.remaining(trials)
            return dict(remaining[int(rng.integers(len(remaining)))])
        tried = {row_key(trial.params) for trial in trials}
        draws = (problem.domain.sample(rng) for _ in range(_ATTEMPTS))
        return next((drawn for drawn in draws if row_key(drawn) not in tried), problem.domain.sample(rng))
