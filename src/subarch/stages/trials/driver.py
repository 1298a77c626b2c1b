"""The loop of a search: ask the study when a worker is free, try, record, tell; free of what a trial does.

A driver begins where the record stands: what ended is replayed, what was in flight is tried again first, and then the
study suggests what it would have suggested in an uninterrupted search.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from subarch.optimize.domain import Exhausted, Params
from subarch.optimize.early_stopping import StoppingRule, can_still_reach_front
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.base import Sampler
from subarch.optimize.study import Study
from subarch.running.budget import Deadline
from subarch.stages.trials.attempts import Attempts, Curve, Trying
from subarch.stages.trials.ledger import Ending, Entry, Ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and how far."""

    problem: Problem
    sampler: Sampler
    trials: int
    """How many at most, those of earlier calls included."""
    seed: int = 0
    baseline: Params | None = None
    """Tried first, as trial 0."""
    rule: StoppingRule | None = None
    """Stops trials early; never by default."""
    deadline: Deadline = field(default_factory=lambda: Deadline.after(None))
    """No trial begins after it; those that run go on to their end."""


OnTold = Callable[["Driver", Entry, Mapping[str, Any]], None]


def trial_seed(seed: int, *places: int) -> int:
    """A seed below 2^31 for a place in a search, such as a trial's number."""
    return int(np.random.SeedSequence([seed, *places]).generate_state(1)[0] >> 1)


class Driver:
    """A search that goes on from its record.

    Args:
        plan: What is searched.
        ledger: The record of its trials; read at once.
    """

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan = plan
        self.entries: dict[int, Entry] = {entry.number: entry for entry in ledger.load()}
        trials = [entry.trial for entry in self.entries.values()]
        self.study = Study(plan.problem, plan.sampler, plan.seed, trials)
        if plan.baseline is not None:
            self.study.enqueue(plan.baseline)
        self._ledger = ledger
        self._unfinished = deque(entry for entry in self.entries.values() if entry.ending is None)
        self._workers = 1

    @property
    def ended(self) -> int:
        """Trials that have ended; lost ones have not."""
        return sum(trial.ended for trial in self.study.trials)

    @property
    def baseline(self) -> int | None:
        """The number of the baseline's trial; None where there is none yet."""
        return 0 if self.plan.baseline is not None and self.study.trials else None

    @property
    def remaining(self) -> int:
        """Trials that have not ended, and those that have not begun."""
        return max(self.plan.trials, len(self.study.trials)) - self.ended

    @property
    def lost(self) -> list[Entry]:
        """Trials that were put aside in this call because their workers died."""
        return [entry for entry in self.entries.values() if entry.ending is not None and entry.ending.state == "lost"]

    def run(self, trying: Trying, on_told: OnTold = lambda driver, entry, value: None) -> None:
        """Try until all trials have ended or the deadline has come.

        Args:
            trying: How a trial is tried.
            on_told: Called when a trial has ended and the study knows, with what its function returned.

        Raises:
            SubarchError: As `Attempts.endings`.
        """
        self._workers = trying.executor.workers
        problem = self.study.problem
        wanted = tuple(metric.name for metric in problem.metrics)
        trying = replace(trying, wanted=wanted, known=problem.known_metrics)
        attempts = Attempts(trying, self._ledger, self._ask, self._judge if self.plan.rule is not None else None)
        for entry, ending, value in attempts.endings():
            self.entries[entry.number] = entry
            self._tell(entry.number, ending)
            on_told(self, entry, value)

    def progress(self) -> dict[str, Any]:
        """How far the search is: `done`, `total`, `front` (its size), `best` (by objective, of feasible trials),
        `nearest` (a trial's number where none is feasible yet), `seconds_left` (None where nobody knows)."""
        front = self.study.front()
        best = {}
        for metric in self.study.problem.objectives if front else ():
            best[metric.name] = min((trial.metrics[metric.name] for trial in front), key=metric.minimised)
        nearest = self.study.nearest_to_feasible()
        return {
            "done": self.ended,
            "total": self.ended + self.remaining,
            "front": len(front),
            "best": best,
            "nearest": None if nearest is None else nearest.number,
            "seconds_left": self._seconds_left(),
        }

    def _ask(self) -> Entry | None:
        if self.plan.deadline.expired:
            return None
        if self._unfinished:
            return self._unfinished.popleft()
        if len(self.study.trials) >= self.plan.trials:
            return None
        try:
            trial = self.study.ask()
        except Exhausted:
            return None
        entry = Entry(number=trial.number, params=trial.params, seed=trial_seed(self.plan.seed, trial.number))
        self.entries[entry.number] = entry
        return entry

    def _tell(self, number: int, ending: Ending) -> None:
        if ending.state == "finished":
            self.study.tell(number, ending.metrics, ending.errors)
        elif ending.state == "failed":
            self.study.fail(number, ending.reason or "failed")
        elif ending.state == "stopped":
            self.study.stop(number, ending.metrics, ending.reason or "stopped")
        else:
            _log.warning("trial %d is put aside, the next call tries it again: %s", number, ending.reason)

    def _judge(self, entry: Entry, curve: Curve) -> str | None:
        """Why a trial that runs is stopped; never the baseline, which is to be seen whole."""
        assert self.plan.rule is not None
        if entry.number == self.baseline:
            return None
        curves = {
            other.number: other.ending.curve
            for other in self.entries.values()
            if other.ending is not None and other.ending.state == "finished" and other.ending.curve
        }
        verdict = can_still_reach_front(
            self.study.problem, self.study.trials, curves, curve, entry.params, self.plan.rule
        )
        return verdict.reason if verdict.stop else None

    def _seconds_left(self) -> float | None:
        endings = [entry.ending for entry in self.entries.values() if entry.ending is not None]
        spent = [ending.seconds for ending in endings if ending.seconds is not None]
        if not spent:
            return None
        expected = sum(spent) / len(spent) * self.remaining / self._workers
        return min(expected, self.plan.deadline.remaining())
