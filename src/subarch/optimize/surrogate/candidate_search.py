"""Where the acquisition is largest: in a domain by a broad look and local moves, in a table by looking at each row."""

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

    def best(self, score: Score, centres: Sequence[Params]) -> dict[str, Value] | None:
        """The best configuration found that was not tried; None where all that were seen were.

        Args:
            score: Shape (candidates,); higher is better.
            centres: Configurations worth looking around, the best trials.
        """
        best = _Best(self.tried)
        broad = self._broad(centres)
        scores = score(broad)
        best.look(broad, scores)
        order = np.argsort(-scores, kind="stable")[:_STARTS]
        starts, heights = [broad.params[place] for place in order], scores[order]
        for scale in _SCALES:
            moved = [self._moved(params, scale) for params in starts for _ in range(_MOVES)]
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

    def _moved(self, params: Params, scale: float) -> dict[str, Value]:
        parents = {condition.parent for condition in self.domain.conditions.values()}
        numbers = [name for name in params if name not in parents and isinstance(self.domain.parameters[name], Float)]
        if not numbers or self.rng.random() > _TO_AN_END:
            return self.domain.neighbours(params, self.rng, scale)
        name = numbers[int(self.rng.integers(len(numbers)))]
        end = self.domain.parameters[name].from_unit(float(self.rng.integers(2)))
        return {**params, name: end}
