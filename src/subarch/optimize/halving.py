"""Successive halving on s: a few steps for every candidate, more for the better ones (Jamieson and Talwalkar 2016,
arXiv 1502.07943).

It is no part of Bort's search. K rungs train for s/ηᴷ⁻¹, …, s/η, s steps; of each, the 1/η with the largest W go on.
W of different rungs are never compared: fewer steps leave a larger ê. The cost is about K/ηᴷ⁻¹ of training all of them
for s steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from subarch.errors import ConfigError
from subarch.optimize.fptas import Candidate, Cost, Extraction, Measured, choose, trials_of

Pair = tuple[Candidate, int]
"""A candidate and the index of its hyperparameter set θ."""
MeasureRung = Callable[[int, Sequence[tuple[Candidate, int]]], Iterable[tuple[tuple[Candidate, int], Measured]]]
"""Measures these pairs after so many steps, in any order; one that failed is left out."""


@dataclass(frozen=True, kw_only=True)
class Rung(Generic[Candidate]):
    """One round: what was measured after `steps` steps."""

    steps: int
    extraction: Extraction[Candidate]


def rung_steps(count: int, steps: int, factor: int) -> list[int]:
    """Training steps of each rung, ascending to `steps`; as many rungs as `count` pairs and `steps` can be divided.

    Raises:
        ConfigError: A factor below 2.
    """
    if factor < 2:
        raise ConfigError(f"the halving factor is {factor}, expected at least 2")
    shrunk = [steps]
    while count >= factor ** len(shrunk) and shrunk[0] >= factor:
        shrunk.insert(0, shrunk[0] // factor)
    return shrunk


def halve(
    pairs: Sequence[tuple[Candidate, int]],
    maximum_point: Cost,
    measure_rung: MeasureRung[Candidate],
    *,
    steps: int,
    factor: int = 3,
) -> list[Rung[Candidate]]:
    """All rungs; the last one holds the winner.

    Args:
        pairs: Candidates under each θ.
        maximum_point: p̂(T) and î(T).
        measure_rung: See `MeasureRung`.
        steps: s of the last rung.
        factor: η: of every η pairs one goes on.

    Raises:
        ConfigError: Nothing could be measured in the first rung, or a factor below 2.
    """
    rungs: list[Rung[Candidate]] = []
    survivors = list(pairs)
    for number in rung_steps(len(pairs), steps, factor):
        trials = trials_of(survivors, dict(measure_rung(number, survivors)), maximum_point)
        if not trials and rungs:
            break  # out of time: the rung before decides
        rungs.append(Rung(steps=number, extraction=choose(trials)))
        best = sorted(trials, key=lambda trial: -trial.w)[: max(1, len(trials) // factor)]
        survivors = [(trial.candidate, trial.hyperparameters) for trial in best]
    return rungs
