"""Configurations as the models see them: their features, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subarch.errors import ConfigError
from subarch.optimize.domain import Domain, Table
from subarch.optimize.parameters import Params
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.kernel import Array


@dataclass(frozen=True)
class Candidates:
    """Some configurations, in order."""

    params: list[Params]
    features: Array
    """Shape (n, f)."""
    known: Mapping[str, Array]
    """For each known metric that the search uses, its values, shape (n,)."""

    def __len__(self) -> int:
        return len(self.params)

    def at(self, places: Sequence[int] | NDArray[np.int64]) -> Candidates:
        """Those at the given places."""
        index = np.asarray(places, dtype=int)
        known = {name: values[index] for name, values in self.known.items()}
        return Candidates([self.params[place] for place in index], self.features[index], known)

    def with_others(self, others: Candidates) -> Candidates:
        """These, then the others."""
        known = {name: np.concatenate([values, others.known[name]]) for name, values in self.known.items()}
        return Candidates(self.params + others.params, np.vstack([self.features, others.features]), known)


def describe(problem: Problem, params: Sequence[Params]) -> Candidates:
    """Encode configurations, and evaluate the known metrics that are optimised or have a threshold.

    Raises:
        ConfigError: A known metric is no finite number.
    """
    used = {metric.name for metric in (*problem.objectives, *problem.constraints)}
    known = {
        name: np.array([float(function(row)) for row in params])
        for name, function in problem.known.items()
        if name in used
    }
    for name, values in known.items():
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ConfigError(
                f"the known metric {name} is {values[wrong[0]]} at {dict(params[wrong[0]])}, expected a finite number"
            )
    width = len(problem.domain.features)
    features = problem.domain.encode_many(params) if params else np.zeros((0, width))
    return Candidates(list(params), features, known)


def groups_of(domain: Domain | Table) -> Array:
    """The length scale that each feature belongs to: one a parameter, and one for whether it is active."""
    names = [(feature.parameter, feature.kind == "activity") for feature in domain.features]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], dtype=float)
