"""What the processes learn from: the features of a configuration, and what is known of it.

A known metric, such as the size, is often what a modelled one depends on most; as an input of its own it saves the
process from learning it from the parameters anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from subarch.optimize.domain import Domain, Table
from subarch.optimize.surrogate.candidates import Candidates, groups_of
from subarch.optimize.surrogate.kernel import Array


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Features, then a column a known metric that varies: its logarithm where that exists, scaled by what ran."""

    groups: Array
    """Shape (f,): the length scale of each column, see `Observations`."""
    ranges: Mapping[str, tuple[float, float, bool]]
    """Of each known metric: its lowest value, its span, and whether both are logarithms."""

    @classmethod
    def of(cls, domain: Domain | Table, evidence: Candidates) -> Inputs:
        """The columns for some evidence, over which those of known metrics lie in [0, 1]."""
        groups = groups_of(domain)
        first = groups.max(initial=-1.0) + 1.0
        ranges = {}
        for name, values in evidence.known.items():
            log = bool(len(values)) and bool((values > 0).all())
            scaled = np.log(values) if log else values
            low = float(scaled.min()) if len(values) else 0.0
            span = float(np.ptp(scaled)) if len(values) else 0.0
            if span > 0.0:
                ranges[name] = (low, span, log)
        return cls(groups=np.concatenate([groups, first + np.arange(len(ranges))]), ranges=ranges)

    def __call__(self, candidates: Candidates) -> Array:
        """Shape (candidates, f)."""
        columns = [candidates.features]
        for name, (low, span, log) in self.ranges.items():
            values = candidates.known[name]
            scaled = np.log(np.maximum(values, np.finfo(float).tiny)) if log else values
            columns.append(((scaled - low) / span)[:, None])
        result: Array = np.hstack(columns)
        return result
