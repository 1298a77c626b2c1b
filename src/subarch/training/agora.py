"""Agora: fine-tuning that grows its own data (de Wynter, "An Algorithm for Learning Smaller Representations of Models
With Scarce Data", arXiv 2010.07990; the seven steps after its author's description).

| symbol | here | meaning |
|---|---|---|
| f, Timaeus | `Trained` | the small model, trained once for each hyperparameter set |
| S, Socrates | `Academy.grow` | a trained model of loose accuracy, which labels |
| D | grows inside the academy | the training data |
| E | inside the academy | the expansion set: it selects, and its mistakes are the points that τ varies |
| Θ | `remaining` | the hyperparameter sets that are left |
| τ | inside the academy | gives points similar to a given one (`training/augment`) |
| CHS | `Iteration.best` of the last | the set that survives, "convergent hyperparameter set" |

One iteration with t sets left:

1. Timaeus is trained t times, once for each set, and each is scored on E.
2. The best model answers E.
3. Its mistakes are transformed by τ into new points.
4. Socrates labels them, they are balanced and added to D.
5. The sets are sorted by score.
6. Those of the longest common subsequence rooted at the worst are removed (`optimize.pruning`).
7. If sets are left it goes on; else the best model of all iterations is the answer.

Replay is the author's word for "re-doing some iterations", without a criterion. Ours: if the best score of an iteration
is below that of the one before, the points added in between are drawn afresh and the iteration is repeated, up
to a cap. The best attempt counts.

Other departures from the paper, whatever the settings: its guarantees are for accuracy, with two balanced classes, but
sets compete here by whatever score the academy gives, and a task's main metric may be F1 or a correlation; an iteration
that adds no points is the last. `docs/agora.md` lists those of the academy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from subarch.optimize.hyperparameters import HyperparameterSet
from subarch.optimize.pruning import Pruned, Rule, prune


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Timaeus under one θ."""

    theta: HyperparameterSet
    iteration: int
    attempt: int
    """0, or the number of the replay."""
    score: float | None
    """On E, higher is better; None where the training diverged. It ranks the sets of one iteration."""
    held_out: float | None = None
    """The same on the rows of E from which nothing grows, if some are reserved: it compares iterations, since models
    that learned from points like E's mistakes answer these better than any others."""
    error: float = 0.0
    """Standard error of what compares iterations."""

    @property
    def lasting(self) -> float:
        """What compares iterations; minus infinity where the training diverged."""
        return _number(self.score if self.held_out is None else self.held_out)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What an iteration adds to D."""

    mistakes: int
    """Examples of E that the best model got wrong."""
    produced: int
    """Points that τ made of them."""
    added: int
    """Points that are left after confidence and balance."""


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What came of one iteration."""

    number: int
    """k, from 1."""
    attempt: int
    """0, or the number of the replay that counts."""
    trained: tuple[Trained, ...]
    best: Trained
    growth: Growth | None
    """None in the last iteration: nobody would learn from it."""
    pruned: Pruned

    @property
    def bound(self) -> float:
        """1 − 2^−k, the accuracy that the paper's analysis promises on its conditions: an upper guide here."""
        return float(1 - 2.0**-self.number)


class Academy(Protocol):
    """Where Timaeus is trained and Socrates answers.

    Each call may be repeated: what was done before, in this process or in a killed one, is not done again, and gives
    the same answer.
    """

    def train(self, iteration: int, attempt: int, thetas: Sequence[HyperparameterSet]) -> tuple[Trained, ...]:
        """Step 1: on D and all that was added before `iteration`, the attempt's own last points included.

        Fewer than all where the time is up; then this iteration is the last.
        """
        ...

    def grow(self, best: Trained, attempt: int) -> Growth:
        """Steps 2 to 4 after the iteration of `best`; each attempt draws other points from the same mistakes."""
        ...

    def settle(self, iteration: int, attempt: int) -> None:
        """The points of this attempt are those that `iteration` added."""
        ...


def agora(
    remaining: Sequence[HyperparameterSet],
    academy: Academy,
    *,
    rule: Rule = "lcs",
    replays: int = 0,
    iterations: int | None = None,
) -> Iterator[Iteration]:
    """Yield the iterations, each when it is complete.

    Args:
        remaining: Θ. With a single set and `iterations` it is the mode that iterates with the CHS alone.
        academy: Trains, labels and grows.
        rule: What step 6 removes.
        replays: How often an iteration is repeated whose best score fell.
        iterations: End after so many; None until Θ is empty. A single set stays until then.
    """
    number, previous = 1, None
    thetas = tuple(remaining)
    while thetas and (iterations is None or number <= iterations):
        attempt, trained, complete = _train(academy, number, thetas, previous, replays)
        if not trained:
            return  # the time is up
        pruned = prune([(each.theta, each.score) for each in trained], rule)
        # Of equal scores the one that stays: its mistakes are the ones to learn from.
        survivor = pruned.kept[0] if pruned.kept else pruned.root
        best = next(each for each in trained if each.theta == survivor)
        if iterations is not None and not pruned.kept:
            pruned = Pruned(kept=(survivor,), removed=(), root=survivor, common=0)
        last = not pruned.kept or number == iterations or not complete or best.score is None
        growth = None if last else academy.grow(best, 0)
        yield Iteration(number=number, attempt=attempt, trained=trained, best=best, growth=growth, pruned=pruned)
        if growth is None or growth.added == 0:
            return  # without new points the same sets would learn the same again
        number, previous, thetas = number + 1, best, pruned.kept


def best_of(trained: Sequence[Trained], *, seen_most: bool = False) -> Trained:
    """Of each iteration the highest score, and of these what lasts; of equal ones the latest, which saw the most data.

    Args:
        trained: At least one; all of some iterations, or the best of each.
        seen_most: Take for equal what is no more than one standard error below the highest (the rule of Breiman et al.,
            Classification and Regression Trees, 1984): where each iteration goes on from the one before, a model of an
            early one that is ahead by less than E can tell has merely been lucky, in the draw of E or of a step.
    """
    best: dict[int, Trained] = {}
    for each in trained:
        if each.iteration not in best or _number(each.score) > _number(best[each.iteration].score):
            best[each.iteration] = each
    highest = max(best.values(), key=lambda each: (each.lasting, each.iteration))
    least = highest.lasting - (highest.error if seen_most else 0.0)
    return max((each for each in best.values() if each.lasting >= least), key=lambda each: each.iteration)


def _train(
    academy: Academy,
    number: int,
    thetas: Sequence[HyperparameterSet],
    previous: Trained | None,
    replays: int,
) -> tuple[int, tuple[Trained, ...], bool]:
    """Step 1 with replay: the attempt that counts, its trainings, and whether no attempt was cut short."""
    attempts = [academy.train(number, 0, thetas)]
    complete = len(attempts[0]) == len(thetas)
    while previous is not None and complete and len(attempts) <= replays and _fell(attempts, previous):
        if academy.grow(previous, len(attempts)).added == 0:
            break
        attempts.append(academy.train(number, len(attempts), thetas))
        complete = len(attempts[-1]) == len(thetas)
    chosen = max(range(len(attempts)), key=lambda index: _number(_highest(attempts[index])))
    if previous is not None:
        academy.settle(previous.iteration, chosen)
    return chosen, attempts[chosen], complete


def _fell(attempts: Sequence[Sequence[Trained]], previous: Trained) -> bool:
    return max(best_of(attempt).lasting for attempt in attempts) < previous.lasting


def _highest(trained: Sequence[Trained]) -> float | None:
    return max((each.score for each in trained), key=_number, default=None)


def _number(score: float | None) -> float:
    return float("-inf") if score is None or math.isnan(score) else score
