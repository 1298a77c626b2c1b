"""Quasi-random points: they fill the domain more evenly than independent draws do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Domain, Table
from subarch.optimize.parameters import Value
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial

_ATTEMPTS = 64
"""Points of the sequence that are looked at for one that was not tried."""


@dataclass(frozen=True, kw_only=True)
class QuasiRandomSampler:
    """The points of one scrambled Sobol sequence (Owen 1998); the rows of a table in an order that spreads them.

    The point of trial k depends on the seed and k, and is the next untried one where that was tried.
    """

    seed: int = 0
    name: str = "quasi-random"

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> dict[str, Value]:
        """See `Sampler`; the generator is not used.

        Raises:
            Exhausted: The domain is a table whose rows were all tried.
        """
        if isinstance(problem.domain, Table):
            return next_row(problem.domain, trials, self.seed)
        tried = {row_key(trial.params) for trial in trials}
        points = sobol_points(problem.domain, self.seed, len(trials))
        first = next(points)
        if row_key(first) not in tried:
            return first
        further = itertools.islice(points, _ATTEMPTS)
        return next((point for point in further if row_key(point) not in tried), first)


def sobol_points(domain: Domain, seed: int, first: int) -> Iterator[dict[str, Value]]:
    """The configurations of the sequence from number `first` on."""
    engine = qmc.Sobol(len(domain.parameters), scramble=True, rng=np.random.default_rng(seed))
    if first:  # SciPy cannot go forward by none
        engine.fast_forward(first)
    while True:
        yield domain.from_unit(engine.random(1)[0].tolist())


def next_row(table: Table, trials: Sequence[Trial], seed: int) -> dict[str, Value]:
    """The first untried row in an order where each is far from those before it.

    Rows are drawn with a probability proportional to their squared distance from the nearest one before (the seeding of
    k-means++, Arthur and Vassilvitskii 2007), which spreads them without preferring corners.

    Raises:
        Exhausted: All rows were tried.
    """
    untried = {row_key(row) for row in table.remaining(trials)}
    rng = np.random.default_rng(seed)
    features = table.encode_many(table.rows)
    distances = np.ones(len(features))
    while distances.any():
        place = int(rng.choice(len(features), p=distances / distances.sum()))
        if row_key(table.rows[place]) in untried:
            return dict(table.rows[place])
        distances = np.minimum(distances, ((features - features[place]) ** 2).sum(axis=1))
    return dict(table.remaining(trials)[0])
