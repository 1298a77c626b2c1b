"""What a search is after: where it looks, what it measures, which trials count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.domain import Domain, Params, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.parameters import Array, is_number
from subarch.optimize.pareto import pareto_front
from subarch.optimize.trials import Trial

Class = Literal["failed", "stopped", "running", "beyond", "dominated", "front", "baseline"]

REFERENCE_TRIALS = 10
"""Finished trials that decide the reference of an objective without a threshold."""
REFERENCE_MARGIN = 0.1
"""How far beyond the worst of them it lies, as a share of their range."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A domain and the metrics of its trials.

    Raises:
        ConfigError: No objective, two metrics of one name, a reference of what is no objective or that is no number.
    """

    domain: Domain | Table
    metrics: tuple[Metric, ...]
    known: Mapping[str, Callable[[Params], float]] = field(default_factory=dict)
    """Metrics that are functions of the configuration, by name; they need not be reported nor modelled."""
    reference: Mapping[str, float] = field(default_factory=dict)
    """The worst value that counts for the hypervolume, for objectives without a threshold."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))
        object.__setattr__(self, "known", dict(self.known))
        object.__setattr__(self, "reference", dict(self.reference))
        names = [metric.name for metric in self.metrics]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two metrics are called {name}")
        if not self.objectives:
            raise ConfigError(
                "no metric is optimised", "give at least one metric that is neither stored nor a constraint"
            )
        objectives = [metric.name for metric in self.objectives]
        for name, value in self.reference.items():
            if name not in objectives:
                raise ConfigError(f"a reference of {name}, which is no objective", did_you_mean(name, objectives))
            if not is_number(value):
                raise ConfigError(f"the reference of {name} is {value!r}, expected a finite number")

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """What is optimised, in order."""
        return tuple(metric for metric in self.metrics if metric.role == "objective")

    @property
    def constraints(self) -> tuple[Metric, ...]:
        """What is held against a threshold and not optimised."""
        return tuple(metric for metric in self.metrics if metric.role == "constraint")

    @property
    def limited(self) -> tuple[Metric, ...]:
        """Everything with a threshold: the constraints, and the objectives that have one."""
        return tuple(metric for metric in self.metrics if metric.threshold is not None)

    def metric(self, name: str) -> Metric:
        """The metric of this name.

        Raises:
            ConfigError: There is none.
        """
        named = {metric.name: metric for metric in self.metrics}
        if name not in named:
            raise ConfigError(f"{name} is no metric of this search", did_you_mean(name, named))
        return named[name]

    def with_threshold(self, name: str, value: float | None) -> Problem:
        """The same problem with another threshold, or none.

        Raises:
            ConfigError: The metric is unknown or only stored, the value is no number, or a constraint would lose it.
        """
        changed = replace(self.metric(name), threshold=value)
        return replace(self, metrics=tuple(changed if metric.name == name else metric for metric in self.metrics))

    def known_metrics(self, params: Params) -> dict[str, float]:
        """The metrics of this problem that are functions of the configuration.

        Raises:
            ConfigError: A function gave no finite number.
        """
        values = {m.name: self.known[m.name](params) for m in self.metrics if m.name in self.known}
        for name, value in values.items():
            if not is_number(value):
                raise ConfigError(f"the known metric {name} is {value!r} at {dict(params)}, expected a finite number")
        return {name: float(value) for name, value in values.items()}

    def values(self, trials: Sequence[Trial]) -> Array:
        """Objectives of finished trials, minimised, shape (trials, objectives)."""
        rows = [[metric.minimised(trial.metrics[metric.name]) for metric in self.objectives] for trial in trials]
        return np.array(rows, dtype=float).reshape(len(trials), len(self.objectives))

    def reference_point(self, trials: Sequence[Trial]) -> Array:
        """The point against which hypervolume is taken, minimised, shape (objectives,).

        An objective's is its threshold where it has one, else the `reference` given. Otherwise the first
        `REFERENCE_TRIALS` finished trials decide, in order of number: it lies `REFERENCE_MARGIN` of their range beyond
        the worst of them (of the worst value where they are all equal). It moves no more when those have ended, so that
        the hypervolumes of a study compare. Without a finished trial it is infinite.
        """
        finished = sorted((trial for trial in trials if trial.state == "finished"), key=lambda trial: trial.number)
        first = self.values(finished[:REFERENCE_TRIALS])
        return np.array([self._reference(metric, first[:, column]) for column, metric in enumerate(self.objectives)])

    def feasible(self, trial: Trial) -> bool:
        """Whether it finished and meets every threshold."""
        return trial.state == "finished" and all(metric.meets(trial.metrics[metric.name]) for metric in self.limited)

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The feasible trials that no other feasible trial dominates, in their order; equal ones all stay."""
        feasible = [trial for trial in trials if self.feasible(trial)]
        return [feasible[index] for index in pareto_front(self.values(feasible))]

    def classify(self, trials: Sequence[Trial], baseline: int | None = None) -> dict[int, Class]:
        """The class of each trial by its number: what became of it, else where it lies.

        The baseline's class is "baseline" once it finished, wherever it lies.
        """
        front = {trial.number for trial in self.front(trials)}
        return {trial.number: self._class(trial, front, baseline) for trial in trials}

    def _class(self, trial: Trial, front: set[int], baseline: int | None) -> Class:
        if trial.state != "finished":
            return trial.state
        if trial.number == baseline:
            return "baseline"
        if not self.feasible(trial):
            return "beyond"
        return "front" if trial.number in front else "dominated"

    def _reference(self, metric: Metric, first: Array) -> float:
        given = metric.threshold if metric.threshold is not None else self.reference.get(metric.name)
        if given is not None:
            return metric.minimised(given)
        if not len(first):
            return float("inf")
        worst, best = float(first.max()), float(first.min())
        return worst + REFERENCE_MARGIN * ((worst - best) or abs(worst) or 1.0)
