"""Where the acquisition is largest: in a domain by a broad look and local moves, in a table by looking at each row.

A search near the best trials looks only where a few moves of single parameters lead from them. In many dimensions the
models are least sure at the corners of the domain, and a search everywhere is drawn to one after the other; that local
searches fare better is what Papenmeier et al. (2025, arXiv 2502.09198) find.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Domain
from subarch.optimize.parameters import Float, Params, Value
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidates import Candidates, describe
from subarch.optimize.surrogate.kernel import Array

Score = Callable[[Candidates], Array]

_BROAD = 768
"""Candidates of the broad look that come from the pool."""
_AROUND = 256
"""Candidates of the broad look near the best trials."""
_STARTS = 6
_MOVES = 12
"""Local moves of each start in a round."""
_SCALES = (0.2, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.012, 0.006, 0.003, 0.0015)
_NEAR_SCALES = _SCALES[4:]
_STEPS = (0.2, 0.1, 0.05)
"""Scales of the moves that a search near the best trials begins with."""
_HOPS = 3
"""Most moves in a row that it begins with."""
_TO_AN_END = 0.15
"""Share of local moves that put one number to an end of its range, where steps alone would hardly arrive."""
_CHUNK = 4096


@dataclass
class _Best:
    """The highest score seen for a configuration that was not tried."""

    tried: set[Hashable]
    params: Params | None = None
    score: float = -np.inf

    def look(self, candidates: Candidates, scores: Array) -> None:
        for place in np.argsort(-scores, kind="stable"):
            if scores[place] <= self.score and self.params is not None:
                return
            if row_key(candidates.params[place]) not in self.tried:
                self.params, self.score = candidates.params[place], float(scores[place])
                return


def best_row(problem: Problem, rows: Sequence[Params], score: Score) -> dict[str, Value]:
    """The row with the highest score, the first of equal ones; all are looked at."""
    scores = [score(describe(problem, rows[start : start + _CHUNK])) for start in range(0, len(rows), _CHUNK)]
    return dict(rows[int(np.argmax(np.concatenate(scores)))])


@dataclass(frozen=True, kw_only=True)
class CandidateSearch:
    """A search of a domain for the highest score."""

    problem: Problem
    domain: Domain
    pool: Candidates
    """Spread over the domain; a part of it is looked at."""
    tried: set[Hashable]
    """Keys of the configurations that are not suggested again."""
    rng: np.random.Generator

    def best(self, score: Score, centres: Sequence[Params], near: bool = False) -> dict[str, Value] | None:
        """The best configuration found that was not tried; None where all that were seen were.

        Args:
            score: Shape (candidates,); higher is better.
            centres: Configurations worth looking around, the best trials.
            near: Look only around the centres, if there are any.
        """
        near = near and bool(centres)
        best = _Best(self.tried)
        broad = self._near(centres) if near else self._broad(centres)
        scores = score(broad)
        best.look(broad, scores)
        order = np.argsort(-scores, kind="stable")[:_STARTS]
        starts, heights = [broad.params[place] for place in order], scores[order]
        for scale in _NEAR_SCALES if near else _SCALES:
            moved = [self._moved(params, scale, scale if near else 0.5) for params in starts for _ in range(_MOVES)]
            candidates = describe(self.problem, moved)
            scores = score(candidates)
            best.look(candidates, scores)
            for start, block in enumerate(scores.reshape(len(starts), _MOVES)):
                place = int(np.argmax(block))
                if block[place] > heights[start]:
                    starts[start], heights[start] = moved[start * _MOVES + place], block[place]
        return None if best.params is None else dict(best.params)

    def _broad(self, centres: Sequence[Params]) -> Candidates:
        chosen = self.rng.choice(len(self.pool), size=min(_BROAD, len(self.pool)), replace=False)
        broad = self.pool.at(chosen)
        if not centres:
            return broad
        around = [
            self._moved(centres[place % len(centres)], (0.2, 0.05, 0.01)[(place // len(centres)) % 3])
            for place in range(_AROUND)
        ]
        return broad.with_others(describe(self.problem, around))

    def _near(self, centres: Sequence[Params]) -> Candidates:
        around = []
        for place in range(_BROAD):
            moved, scale = centres[place % len(centres)], _STEPS[place // len(centres) % len(_STEPS)]
            for _ in range(1 + place % _HOPS):
                moved = self._moved(moved, scale, scale)
            around.append(moved)
        return describe(self.problem, around)

    def _moved(self, params: Params, scale: float, reach: float = 0.5) -> Params:
        """One local move, or one number put to an end of its range that is no farther than `reach` of it."""
        ends = self._ends(params, reach) if self.rng.random() < _TO_AN_END else []
        if not ends:
            return self.domain.neighbours(params, self.rng, scale)
        name, end = ends[int(self.rng.integers(len(ends)))]
        return {**params, name: end}

    def _ends(self, params: Params, reach: float) -> list[tuple[str, float]]:
        parents = {condition.parent for condition in self.domain.conditions.values()}
        ends = []
        for name, value in params.items():
            parameter = self.domain.parameters[name]
            if isinstance(parameter, Float) and name not in parents:
                place = parameter.place(value)
                ends += [(name, parameter.from_unit(end)) for end in (0.0, 1.0) if abs(place - end) <= reach]
        return ends
