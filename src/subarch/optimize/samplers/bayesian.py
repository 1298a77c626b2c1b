"""Bayesian optimisation for one or several metrics, with thresholds, failures, noise and pending trials.

Quasi-random points first; then a Gaussian process a metric that is not known, and the configuration with the highest
expected hypervolume improvement that is likely to be feasible and to succeed (`surrogate/utility.py`), in turn
anywhere and around the best trials (`surrogate/candidate_search.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from subarch.errors import ConfigError
from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Table
from subarch.optimize.parameters import Params, Value
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.quasi_random import QuasiRandomSampler, sobol_points
from subarch.optimize.surrogate.candidate_search import CandidateSearch, Score, best_row
from subarch.optimize.surrogate.candidates import Candidates, describe
from subarch.optimize.surrogate.metric_models import FitCache
from subarch.optimize.surrogate.utility import Utility, success_of
from subarch.optimize.trials import Trial

_POOL = 2048
_POOL_START = 1 << 20
"""The pool is a part of the Sobol sequence that no suggestion of the start comes from."""
_FEWEST, _MOST = 8, 12
_CENTRES = 24
_PROMISING = 6
"""Trials that are looked around while none is feasible."""
_BOLD, _BOLD_EVERY = 2.0, 4
"""Every fourth suggestion doubles the models' deviations: a hedge against models that are too sure, which costs little
and finds what a greedy search leaves out for long, such as a category that had bad luck at the start."""
_WIDE_EVERY = 2
"""Every second suggestion looks everywhere and not only around the best trials, those that are bold among them."""


@dataclass
class BayesianSampler:
    """The default sampler.

    Args:
        seed: Of the quasi-random start: the study's seed, for a start that differs from study to study.
        initial: Trials before the models lead, whatever became of them, half of which must have ended; by default one
            more than the parameters, within 8 and 12, and no more than a quarter of a table's rows.

    Raises:
        ConfigError: `initial` is below 1.
    """

    seed: int = 0
    initial: int | None = None
    name: str = "bayesian"
    _fits: FitCache = field(default_factory=FitCache, init=False, repr=False)
    _pool: tuple[Problem, Candidates] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.initial is not None and self.initial < 1:
            raise ConfigError(f"{self.initial} initial trials, expected 1 or more")

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> dict[str, Value]:
        """See `Sampler`.

        Raises:
            Exhausted: The domain is a table whose rows were all tried.
        """
        start = QuasiRandomSampler(seed=self.seed)
        initial, ended = self._initial(problem), sum(trial.state in ("finished", "failed") for trial in trials)
        if len(trials) < initial or 2 * ended < initial:
            return start.suggest(problem, trials, rng)
        score = self._score(problem, trials, rng)
        if isinstance(problem.domain, Table):
            return best_row(problem, problem.domain.remaining(trials), score)
        search = CandidateSearch(
            problem=problem,
            domain=problem.domain,
            pool=self._pool_of(problem),
            tried={row_key(trial.params) for trial in trials},
            rng=rng,
        )
        found = search.best(score, _centres(problem, trials, score), near=not _turn(trials, _WIDE_EVERY))
        return start.suggest(problem, trials, rng) if found is None else found

    def _initial(self, problem: Problem) -> int:
        if self.initial is not None:
            return self.initial
        count = min(max(_FEWEST, len(problem.domain.parameters) + 1), _MOST)
        return min(count, max(1, len(problem.domain.rows) // 4)) if isinstance(problem.domain, Table) else count

    def _score(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> Score:
        if any(trial.state == "finished" for trial in trials):
            return Utility(problem, trials, self._fits, rng, _BOLD if _turn(trials, _BOLD_EVERY) else 1.0)
        return success_of(problem, trials, self._fits)

    def _pool_of(self, problem: Problem) -> Candidates:
        """Points all over the domain, described once; a threshold changes nothing in them."""
        known = self._pool[0] if self._pool is not None else None
        if known is None or known.domain != problem.domain or known.known != problem.known:
            assert not isinstance(problem.domain, Table)
            points = itertools.islice(sobol_points(problem.domain, self.seed, _POOL_START), _POOL)
            self._pool = problem, describe(problem, list({row_key(point): point for point in points}.values()))
        assert self._pool is not None
        return self._pool[1]


def _turn(trials: Sequence[Trial], every: int) -> bool:
    """Of one suggestion in so many."""
    return len(trials) % every == every - 1


def _centres(problem: Problem, trials: Sequence[Trial], score: Score) -> list[Params]:
    """The front before the reference, or while nothing is feasible, the finished trials with the highest score.

    What lies beyond the reference adds no hypervolume, and is looked around only while nothing else is on the front.
    Running trials are no centres: what they turn out to be is not known, and many at once would outnumber the front.
    """
    front = problem.front(trials)
    if front:
        before: NDArray[np.bool_] = np.all(problem.values(front) < problem.reference_point(trials), axis=1)
        counted = [trial for trial, counts in zip(front, before, strict=True) if counts]
        return [trial.params for trial in (counted or front)[-_CENTRES:]]
    finished = [trial.params for trial in trials if trial.state == "finished"]
    if not finished:
        return []
    order = np.argsort(-score(describe(problem, finished)), kind="stable")
    return [finished[place] for place in order[:_PROMISING]]
