"""Honest winners: members of the front are trained anew under new seeds, and scored on data that selected nothing.

The value by which a trial was chosen is the best of many, so it flatters. These are means over seeds that the search
never saw, on the test split.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean, stdev

from subarch.optimize.hypervolume import hypervolume
from subarch.optimize.study import Study
from subarch.stages.trials.attempts import Attempts, Trying
from subarch.stages.trials.driver import Driver, trial_seed
from subarch.stages.trials.ledger import Entry, Ledger

Spread = dict[str, float]
"""mean, std (over seeds; 0 of one) and count."""


def representatives(study: Study, count: int) -> list[int]:
    """The numbers of at most so many members of a front that stand for it.

    Both ends along the last objective, which mostly is a cost, and between them, one after the other, the one that adds
    most hypervolume to those chosen: where the front bends, a user's eye stops too. Greedy hypervolume subset
    selection (Guerreiro, Fonseca and Paquete 2016, "Greedy hypervolume subset selection in low dimensions").
    """
    cost = study.problem.objectives[-1].name
    front = sorted(study.front(), key=lambda trial: (trial.metrics[cost], trial.number))
    points, reference = study.problem.values(front), study.problem.reference_point(study.trials)
    chosen = [0, len(front) - 1] if 1 < count < len(front) else []
    rest = [place for place in range(len(front)) if place not in chosen]
    while rest and len(chosen) < count:
        best = max(rest, key=lambda place: hypervolume(points[[*chosen, place]], reference))
        chosen.append(best)
        rest.remove(best)
    return sorted(front[place].number for place in chosen)


@dataclass(kw_only=True)
class Confirmation:
    """The members of a search's front under new seeds."""

    driver: Driver
    ledger: Ledger
    members: int
    """At most so many of the front, and the baseline."""
    seeds: int
    _entries: dict[tuple[int, int], Entry] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = {entry.key: entry for entry in self.ledger.load()}

    @property
    def numbers(self) -> list[int]:
        """The trials that are to be confirmed."""
        study = self.driver.study
        chosen = representatives(study, self.members)
        first = self.driver.baseline
        baseline = [first] if self.members and first is not None and study.trials[first].state == "finished" else []
        return sorted({*chosen, *baseline})

    @property
    def waiting(self) -> list[int]:
        """Those whose trainings have not all ended."""
        return [number for number in self.numbers if any(entry.ending is None for entry in self._wanted(number))]

    def run(self, trying: Trying) -> Iterator[Entry]:
        """Train what waits, and yield each training that ended.

        Raises:
            SubarchError: As `Attempts.endings`.
        """
        todo = deque(entry for number in self.numbers for entry in self._wanted(number) if entry.ending is None)
        attempts = Attempts(trying, self.ledger, lambda: todo.popleft() if todo else None)
        for entry, ending, _ in attempts.endings():
            if ending.state != "lost":
                self._entries[entry.key] = entry
            yield entry

    def results(self) -> dict[int, dict[str, Spread]]:
        """{trial: {metric: {"mean", "std", "count"}}} of every trial ever confirmed, on the front or not."""
        found: dict[int, dict[str, list[float]]] = {}
        for entry in self._entries.values():
            if entry.ending is not None and entry.ending.state == "finished":
                for name, value in entry.ending.metrics.items():
                    found.setdefault(entry.number, {}).setdefault(name, []).append(value)
        return {
            number: {name: _spread(values) for name, values in metrics.items()}
            for number, metrics in sorted(found.items())
        }

    def _wanted(self, number: int) -> list[Entry]:
        params = self.driver.study.trials[number].params
        plan = self.driver.plan
        seeds = [trial_seed(plan.seed, number, index + 1) for index in range(self.seeds)]
        fresh = [Entry(number=number, params=params, seed=seed) for seed in seeds]
        return [self._entries.get(entry.key, entry) for entry in fresh]


def _spread(values: list[float]) -> Spread:
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0, "count": len(values)}
