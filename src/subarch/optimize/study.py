"""A search that someone else runs: ask for a configuration, try it out, tell what it gave.

A study is its trials: one made from another's trials goes on as that one would have, in the same order of calls.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.candidates_table import row_key
from subarch.optimize.hypervolume import hypervolume, hypervolume_history
from subarch.optimize.parameters import Params, Value, is_number
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.base import Sampler
from subarch.optimize.trials import Trial

__all__ = ["Problem", "Study"]


class Study:
    """Trials of a problem, and the sampler that names the next one.

    Args:
        problem: What is searched and measured.
        sampler: Names the configurations, see `make_sampler`.
        seed: With a trial's number, of the sampler's generator: a resume suggests what would have been suggested.
        trials: Of the study that this one continues, running ones among them; they keep their numbers.

    Raises:
        ConfigError: The trials' numbers are not 0, 1, 2, …, or one of them is none of this problem.
    """

    def __init__(self, problem: Problem, sampler: Sampler, seed: int = 0, trials: Sequence[Trial] = ()) -> None:
        self.problem = problem
        self.sampler = sampler
        self.seed = seed
        self._trials: list[Trial] = []
        self._queue: deque[dict[str, Value]] = deque()
        for expected, trial in enumerate(sorted(trials, key=lambda trial: trial.number)):
            if trial.number != expected:
                raise ConfigError(f"trial {trial.number} where trial {expected} was expected")
            self._trials.append(self._checked(trial))
        self._replayed: Counter[Hashable] = Counter(row_key(trial.params) for trial in self._trials)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All of them, by number."""
        return tuple(self._trials)

    @property
    def running(self) -> tuple[Trial, ...]:
        """Those that were asked for and have not ended."""
        return tuple(trial for trial in self._trials if not trial.ended)

    def enqueue(self, params: Params) -> None:
        """Have this configuration tried before any that the sampler names; the first in is the first out.

        A continued study enqueues what the first one did: what its trials hold already is not tried again.

        Raises:
            ConfigError: It is no configuration of the domain.
        """
        checked = self.problem.domain.validate(params)
        if self._replayed[row_key(checked)] > 0:
            self._replayed[row_key(checked)] -= 1
            return
        self._queue.append(checked)

    def ask(self, params: Params | None = None) -> Trial:
        """A new trial, running: of `params` where given, else of what is enqueued, else of what the sampler names.

        Raises:
            ConfigError: `params` is no configuration of the domain.
            Exhausted: The sampler has no candidate left.
        """
        if params is not None:
            chosen = self.problem.domain.validate(params)
        elif self._queue:
            chosen = self._queue.popleft()
        else:
            rng = np.random.default_rng([self.seed, len(self._trials)])
            chosen = self.problem.domain.validate(self.sampler.suggest(self.problem, self.trials, rng))
        self._trials.append(Trial(number=len(self._trials), params=chosen))
        return self._trials[-1]

    def tell(self, number: int, metrics: Mapping[str, float], errors: Mapping[str, float] | None = None) -> Trial:
        """The trial finished with these metrics.

        Args:
            number: Of a running trial.
            metrics: All metrics of the problem but the known ones, which are computed; others are kept.
            errors: Standard errors of some of them.

        Raises:
            ConfigError: No such trial runs, a metric is missing, a value is not finite, an error is below zero.
        """
        trial = self._running(number)
        finished = replace(trial, state="finished", metrics=dict(metrics), errors=dict(errors or {}))
        return self._put(self._checked(finished))

    def fail(self, number: int, reason: str) -> Trial:
        """The trial failed, and its configuration is to blame: the sampler learns to avoid its like.

        What was not the configuration's fault is tried again under the same number instead.

        Raises:
            ConfigError: No such trial runs.
        """
        return self._put(replace(self._running(number), state="failed", reason=reason))

    def stop(self, number: int, metrics: Mapping[str, float], reason: str) -> Trial:
        """The trial was stopped early; `metrics` is what it had reached, which is no final value.

        Raises:
            ConfigError: No such trial runs, or a value is not finite.
        """
        trial = self._running(number)
        stopped = replace(trial, state="stopped", metrics=_finite(number, metrics), reason=reason)
        return self._put(stopped)

    def set_threshold(self, name: str, value: float | None) -> None:
        """Change or clear a threshold; the front, the hypervolume and the next suggestions follow at once.

        Raises:
            ConfigError: As `Problem.with_threshold`.
        """
        self.problem = self.problem.with_threshold(name, value)

    def front(self) -> list[Trial]:
        """The feasible trials that no other feasible trial dominates, by number."""
        return self.problem.front(self._trials)

    def hypervolume(self) -> float:
        """What the front dominates, up to `Problem.reference_point`."""
        return hypervolume(self.problem.values(self.front()), self.problem.reference_point(self._trials))

    def hypervolume_history(self) -> list[float]:
        """The hypervolume after each trial that ended, in order of number, all against today's reference point."""
        ended = [trial for trial in self._trials if trial.ended]
        counts = [index for index, trial in enumerate(ended) if self.problem.feasible(trial)]
        points = np.full((len(ended), len(self.problem.objectives)), np.nan)
        points[counts] = self.problem.values([ended[index] for index in counts])
        return hypervolume_history(points, self.problem.reference_point(self._trials))

    def nearest_to_feasible(self) -> Trial | None:
        """Where no trial is feasible: the finished one that misses the thresholds least; the first of equal ones.

        Misses are added up, each as a share of the range that its metric was observed in. None where a trial is
        feasible, or none has finished.
        """
        finished = [trial for trial in self._trials if trial.state == "finished"]
        if not finished or any(map(self.problem.feasible, finished)):
            return None
        total = np.zeros(len(finished))
        for metric in self.problem.limited:
            observed = np.array([trial.metrics[metric.name] for trial in finished])
            misses = np.array([metric.violation(value) for value in observed])
            total += misses / (np.ptp(observed) or max(misses.max(), 1.0))
        return finished[int(np.argmin(total))]

    def _running(self, number: int) -> Trial:
        if not 0 <= number < len(self._trials):
            raise ConfigError(f"trial {number} is unknown, expected one of the {len(self._trials)} asked for")
        trial = self._trials[number]
        if trial.ended:
            raise ConfigError(f"trial {number} has ended already: {trial.state}")
        return trial

    def _put(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        return trial

    def _checked(self, trial: Trial) -> Trial:
        """The trial as the study keeps it: values of the domain, and known metrics where it finished."""
        params = self.problem.domain.validate(trial.params)
        metrics = _finite(trial.number, trial.metrics)
        if trial.state != "finished":
            return replace(trial, params=params, metrics=metrics)
        known = self.problem.known_metrics(params)
        metrics |= known
        for metric in self.problem.metrics:
            if metric.name not in metrics:
                raise ConfigError(
                    f"trial {trial.number} did not report {metric.name}", did_you_mean(metric.name, metrics)
                )
        errors = _finite(trial.number, trial.errors)
        for name, error in errors.items():
            if name not in metrics:
                raise ConfigError(f"trial {trial.number} has an error of {name}, which it did not report")
            if error < 0:
                raise ConfigError(f"the error of {name} of trial {trial.number} is {error}, expected zero or more")
        errors = {name: error for name, error in errors.items() if name not in known}
        return replace(trial, params=params, metrics=metrics, errors=errors)


def _finite(number: int, values: Mapping[str, float]) -> dict[str, float]:
    for name, value in values.items():
        if not is_number(value):
            raise ConfigError(f"trial {number} has {name} = {value!r}, expected a finite number")
    return {name: float(value) for name, value in values.items()}
