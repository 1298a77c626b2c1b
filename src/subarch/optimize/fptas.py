"""Optimal Subarchitecture Extraction: Algorithm 1 of the FPTAS (arXiv 2010.08512; for BERT arXiv 2010.10499).

| symbol | here                        | symbol | here                                    |
|--------|-----------------------------|--------|-----------------------------------------|
| Ξ      | `space`                     | p̂      | `Cost.parameters`                       |
| ξ      | an element of it            | î      | `Cost.latency_ms`, one forward pass     |
| T      | `maximum_point`             | ê      | `Measured.error`, a subset's mean loss  |
| Θ, θ   | `hyperparameters`           | W(f,T) | `w_coefficient`                         |
| ε      | `epsilon`, interval size    | s      | inside `measure`: the training steps    |

Cost: ⌈|Ξ|/ε⌉·|Θ| short trainings. ε = 1 is exhaustive; the published ratio is ρ ≤ |1 - ε|. Not in the paper, and ours:
the order of equal sizes (as given), the guards of W, intervals and ties, what was not measured being left out.

A candidate is tied with the winner where W cannot tell the two apart on the rows that judged both. p̂ and î are taken
as exact, so W = A/ê, and W of the winner (w) is above that of another (c) exactly where the mean over rows of
dᵢ = A_w·eᵢ(c) - A_c·eᵢ(w) is above 0 (Fieller 1954): linear in the errors of a row, although 1/ê is not. The two are
tied where the 95 % t interval of that mean holds 0. The rows are the same, so what makes a row hard for both cancels
out. Each candidate is compared by itself: with many of them, about one in twenty that are as good is not called tied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.special import stdtrit

from subarch.errors import ConfigError
from subarch.optimize.pareto import pareto_front

ERROR_FLOOR = 1e-7
"""Keeps 1/ê finite; the value of the one earlier open implementation (QOSE, 2021)."""

ROUNDING = 1e-9
"""Differences of a smaller share than this are of arithmetic; ours."""

Candidate = TypeVar("Candidate", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """p̂ and î of one architecture."""

    parameters: int
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What training a candidate for s steps told: its cost, ê, and ê's 95 % interval."""

    cost: Cost
    error: float
    error_interval: tuple[float, float]
    """The upper end is infinite where a single unit was measured."""
    errors: tuple[float, ...] = ()
    """What each held-out unit (a row, a block of text) adds to ê, which is their mean; empty where it is not known."""
    units: str = ""
    """Names these units. Only errors of the same units are compared in pairs."""


@dataclass(frozen=True, kw_only=True)
class Trial(Generic[Candidate]):
    """One line of the table of candidates."""

    candidate: Candidate
    hyperparameters: int
    measured: Measured
    w: float
    w_interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Extraction(Generic[Candidate]):
    """The table, the winner, those it cannot be told from, and the front over (p̂, î, ê)."""

    trials: tuple[Trial[Candidate], ...]
    chosen: int
    tied: tuple[int, ...]
    front: tuple[int, ...]


Measure = Callable[[tuple[Candidate, int]], Measured]
Map = Callable[[Measure[Candidate], Iterable[tuple[Candidate, int]]], Iterable[tuple[tuple[Candidate, int], Measured]]]


def w_coefficient(cost: Cost, error: float, maximum_point: Cost) -> float:
    """W(f, T) = (p̂(T) - p̂(f))/p̂(T) · (î(T) - î(f))/î(T) · 1/ê(f), to be maximised (Eq. 2).

    Two negative factors would multiply to a good W for a candidate that is worse than T in both: a candidate with a
    non-positive factor is dominated, and gets the smaller factor instead, so that it ranks below every other.
    """
    smaller = (maximum_point.parameters - cost.parameters) / maximum_point.parameters
    faster = (maximum_point.latency_ms - cost.latency_ms) / maximum_point.latency_ms
    if smaller <= 0 or faster <= 0:
        return min(smaller, faster)
    return smaller * faster / max(error, ERROR_FLOOR)


def mean_with_interval(errors: np.ndarray) -> tuple[float, tuple[float, float]]:
    """ê as the mean of errors that are not negative, and its 95 % interval by Student's t.

    One error tells nothing of its spread: the interval is then (0, inf).
    """
    errors = np.asarray(errors, dtype=np.float64)
    mean = float(errors.mean())
    half = _half_width(errors)
    return mean, (max(0.0, mean - half) if math.isfinite(half) else 0.0, mean + half)


def every_epsilon(space: Sequence[Candidate], size: Callable[[Candidate], float], epsilon: int) -> list[Candidate]:
    """Ξ sorted by parameter count, then every ε-th of it, from the first on."""
    if not 1 <= epsilon <= max(1, len(space)):
        raise ConfigError(f"epsilon is {epsilon}, expected 1 to the size of the search space ({len(space)})")
    return sorted(space, key=size)[::epsilon]


def extract(
    candidates: Sequence[Candidate],
    maximum_point: Cost,
    measure: Measure[Candidate],
    *,
    hyperparameters: int = 1,
    run: Map[Candidate] | None = None,
) -> Extraction[Candidate]:
    """Lines 4 to 9: train each candidate a little under each θ, keep the one with the largest W.

    Args:
        candidates: What `every_epsilon` left of Ξ.
        maximum_point: p̂(T) and î(T) (lines 2 and 3).
        measure: Trains (candidate, index of θ) for s steps and measures it (lines 7 and 8).
        hyperparameters: |Θ|; Bort uses one.
        run: How to map `measure` over the work, in any order; by default one after the other, here.

    Raises:
        ConfigError: There are no candidates, or none could be measured.
    """
    if not candidates:
        raise ConfigError("the search space is empty", "widen the space or relax its constraints")
    work = [(candidate, theta) for theta in range(hyperparameters) for candidate in candidates]  # lines 5 and 6
    measured = dict((run or _one_after_the_other)(measure, work))  # lines 7 and 8
    return choose(trials_of(work, measured, maximum_point))  # line 9


def trials_of(
    work: Sequence[tuple[Candidate, int]],
    measured: Mapping[tuple[Candidate, int], Measured],
    maximum_point: Cost,
) -> list[Trial[Candidate]]:
    """W and its interval for what was measured, in the order of `work`.

    What failed or ran out of time is not in `measured`: it is reported by the caller, never given a made-up score.
    """
    trials = []
    for candidate, theta in work:
        if (candidate, theta) not in measured:
            continue
        result = measured[candidate, theta]
        low, high = result.error_interval
        trials.append(
            Trial(
                candidate=candidate,
                hyperparameters=theta,
                measured=result,
                w=w_coefficient(result.cost, result.error, maximum_point),
                w_interval=(
                    w_coefficient(result.cost, high, maximum_point),
                    w_coefficient(result.cost, low, maximum_point),
                ),
            )
        )
    return trials


def choose(trials: Sequence[Trial[Candidate]]) -> Extraction[Candidate]:
    """The largest W; the candidates that cannot be told from the winner; the front.

    All trials were trained for equally many steps. Two whose errors are not of the same units are called tied where
    their intervals of W overlap, which is too cautious: it calls more tied than are.

    Raises:
        ConfigError: No trials.
    """
    if not trials:
        raise ConfigError("no candidate could be measured", "give more time, or a smaller search space")
    chosen = max(range(len(trials)), key=lambda index: trials[index].w)
    tied = tuple(i for i, trial in enumerate(trials) if i != chosen and _are_tied(trials[chosen], trial))
    points = [(t.measured.cost.parameters, t.measured.cost.latency_ms, t.measured.error) for t in trials]
    return Extraction(trials=tuple(trials), chosen=chosen, tied=tied, front=tuple(pareto_front(points)))


def _are_tied(winner: Trial[Candidate], other: Trial[Candidate]) -> bool:
    if other.w <= 0:
        return other.w == winner.w  # no error is in it
    ours, theirs = winner.measured, other.measured
    if not ours.errors or ours.units != theirs.units or len(ours.errors) != len(theirs.errors):
        return other.w_interval[1] >= winner.w_interval[0]
    factors = [trial.w * max(trial.measured.error, ERROR_FLOOR) for trial in (winner, other)]
    above, below = (
        factor * np.maximum(np.asarray(errors, dtype=np.float64), ERROR_FLOOR)
        for factor, errors in zip(factors, (theirs.errors, ours.errors), strict=True)
    )
    differences = above - below
    return bool(abs(differences.mean()) <= _half_width(differences) + ROUNDING * above.mean())


def _half_width(values: np.ndarray) -> float:
    """Of the 95 % t interval of the mean; infinite for one value."""
    if len(values) < 2:
        return math.inf
    return float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(len(values))


def _one_after_the_other(
    measure: Measure[Candidate], work: Iterable[tuple[Candidate, int]]
) -> Iterable[tuple[tuple[Candidate, int], Measured]]:
    return ((item, measure(item)) for item in work)
