"""Honest winners: members of the front are trained anew under new seeds, and scored on data that selected nothing.

The value by which a trial was chosen is the best of many, so it flatters. These are means over seeds that the search
never saw, on the test split.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from subarch.optimize.trials import Trial
from subarch.stages.trials.attempts import Attempts, Trying
from subarch.stages.trials.driver import Driver, trial_seed
from subarch.stages.trials.ledger import Entry, Ledger

Spread = dict[str, float]
"""mean, std (over seeds; 0 of one) and count."""


def spread_over(front: Sequence[Trial], count: int, metric: str) -> list[int]:
    """The numbers of at most so many members of a front: evenly placed along a metric, both ends among them."""
    ordered = sorted(front, key=lambda trial: (trial.metrics[metric], trial.number))
    if len(ordered) <= count:
        return sorted(trial.number for trial in ordered)
    places = [round(index * (len(ordered) - 1) / max(1, count - 1)) for index in range(count)]
    return sorted({ordered[place].number for place in places})


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
        # The last objective is mostly a cost: along it lies what a user picks from.
        chosen = spread_over(study.front(), self.members, study.problem.objectives[-1].name) if self.members else []
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
