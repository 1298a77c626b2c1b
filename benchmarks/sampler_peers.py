"""The samplers that `samplers.py` compares, called as their users call them, behind one way to ask and tell.

What is handed over is what each one's documentation has a place for: a threshold is Optuna's constraint, the reference
point of BoTorch and of ours, Ax's objective threshold, SigOpt's threshold; the reference of an objective without a
threshold goes to those with a reference point; the standard error of a metric to all but Optuna; that a metric is a
known function of the configuration only to ours ("bayesian-blind" is ours without that). A failed trial is told as such
(Optuna's FAIL, Ax's `mark_trial_failed`, SigOpt's `failed`); BoTorch has no such thing: "botorch" leaves it out, and
"botorch-imputed" gives it the worst value seen.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sampler_problems import Task, Values
from subarch.optimize.domain import Choice, Domain, Float, Params, Value
from subarch.optimize.metrics import Metric
from subarch.optimize.study import Study


class Peer(Protocol):
    """A sampler at work on one problem."""

    def ask(self) -> tuple[int, dict[str, Value]]:
        """A number to tell by, and the configuration."""
        ...

    def tell(self, number: int, values: Values | None) -> None:
        """What a trial reported; None where it failed."""
        ...


Maker = Callable[[Task, int, int], Peer]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How a peer is made, of a problem, a seed and the number of trials."""

    make: Maker
    package: str = "subarch"
    refuses: Callable[[Task], str | None] = lambda task: None
    """Why it cannot take a problem, if so."""

    def missing(self) -> str | None:
        """What is not installed."""
        return None if importlib.util.find_spec(MODULES.get(self.package, self.package)) else self.package


MODULES = {"ax-platform": "ax"}


# Ours.


class Ours:
    def __init__(self, task: Task, seed: int, name: str, blind: bool = False) -> None:
        from subarch.optimize.samplers.registry import make_sampler

        problem = replace(task.problem, known={}) if blind else task.problem
        self._errors = task.errors
        self._study = Study(problem, make_sampler(name, seed=seed), seed)

    def ask(self) -> tuple[int, dict[str, Value]]:
        trial = self._study.ask()
        return trial.number, dict(trial.params)

    def tell(self, number: int, values: Values | None) -> None:
        if values is None:
            self._study.fail(number, "failed")
        else:
            self._study.tell(number, values, self._errors)


# Optuna's.


class Optuna:
    def __init__(self, task: Task, seed: int, name: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", module="optuna")
        makers = {
            "random": optuna.samplers.RandomSampler,
            "tpe": optuna.samplers.TPESampler,  # its constant liar is on by default
            "tpe-multivariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True),
            "nsga2": optuna.samplers.NSGAIISampler,
            "gp": optuna.samplers.GPSampler,
        }
        self._problem = task.problem
        self._failed = optuna.trial.TrialState.FAIL
        directions = [metric.direction for metric in self._problem.objectives]
        self._study = optuna.create_study(directions=directions, sampler=makers[name](seed=seed))
        self._trials: dict[int, Any] = {}

    def ask(self) -> tuple[int, dict[str, Value]]:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        params: dict[str, Value] = {}
        for name in parents_first(self._problem.domain):
            if active(self._problem.domain, name, params):
                params[name] = self._suggested(trial, name)
        return trial.number, params

    def tell(self, number: int, values: Values | None) -> None:
        trial = self._trials.pop(number)
        if values is None:
            self._study.tell(trial, state=self._failed)
            return
        for metric in self._problem.limited:
            trial.set_constraint(metric.name, excess(metric, values[metric.name]))
        self._study.tell(trial, [values[metric.name] for metric in self._problem.objectives])

    def _suggested(self, trial: Any, name: str) -> Value:
        parameter = self._problem.domain.parameters[name]
        if isinstance(parameter, Choice):
            return trial.suggest_categorical(name, list(parameter.values))
        if isinstance(parameter, Float):
            return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
        return trial.suggest_int(name, parameter.low, parameter.high, step=parameter.step, log=parameter.log)


# What several need.


def excess(metric: Metric, value: float) -> float:
    """By how much a value lies beyond the threshold; below zero where it meets it."""
    assert metric.threshold is not None
    return metric.minimised(value) - metric.minimised(metric.threshold)


def parents_first(domain: Domain) -> list[str]:
    def depth(name: str) -> int:
        condition = domain.conditions.get(name)
        return 0 if condition is None else 1 + depth(condition.parent)

    return sorted(domain.parameters, key=depth)


def active(domain: Domain, name: str, values: Params) -> bool:
    """Whether a parameter is, where `values` has its parent if that is."""
    condition = domain.conditions.get(name)
    return condition is None or (condition.parent in values and values[condition.parent] in condition.values)


def only_active(domain: Domain, values: Params) -> dict[str, Value]:
    """The configuration of a value for each parameter."""
    kept: dict[str, Value] = {}
    for name in parents_first(domain):
        if active(domain, name, kept):
            kept[name] = values[name]
    return kept


def version(package: str) -> str:
    return importlib.metadata.version(package)


def quiet() -> None:
    """Peers log each suggestion and warn of what the benchmark knows."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def _botorch(impute: bool) -> Maker:
    def make(task: Task, seed: int, trials: int) -> Peer:
        from sampler_gp_peers import BoTorch

        return BoTorch(task, seed, impute=impute)

    return make


def _ax(task: Task, seed: int, trials: int) -> Peer:
    from sampler_gp_peers import Ax

    return Ax(task, seed)


def _sigopt(task: Task, seed: int, trials: int) -> Peer:
    from sampler_gp_peers import SigOpt

    return SigOpt(task, seed, trials)


def _ours(name: str, blind: bool = False) -> Maker:
    return lambda task, seed, trials: Ours(task, seed, name, blind)


def _optuna(name: str) -> Maker:
    return lambda task, seed, trials: Optuna(task, seed, name)


def _unless(trait: str) -> Callable[[Task], str | None]:
    return lambda task: None if trait in task.traits else f"no {trait}"


def _two_objectives(task: Task) -> str | None:
    count = len(task.problem.objectives)
    return None if count <= 2 else f"{count} objectives"


def _nothing_known(task: Task) -> str | None:
    return None if task.problem.known else "nothing is known"


SAMPLERS: Mapping[str, Sampler] = {
    "bayesian": Sampler(make=_ours("bayesian")),
    "bayesian-blind": Sampler(make=_ours("bayesian", blind=True), refuses=_nothing_known),
    "quasi-random": Sampler(make=_ours("quasi-random")),
    "optuna-random": Sampler(make=_optuna("random"), package="optuna"),
    "optuna-tpe": Sampler(make=_optuna("tpe"), package="optuna"),
    "optuna-tpe-multivariate": Sampler(make=_optuna("tpe-multivariate"), package="optuna"),
    "optuna-nsga2": Sampler(make=_optuna("nsga2"), package="optuna"),
    "optuna-gp": Sampler(make=_optuna("gp"), package="optuna"),
    "botorch": Sampler(make=_botorch(impute=False), package="botorch"),
    "botorch-imputed": Sampler(make=_botorch(impute=True), package="botorch", refuses=_unless("failures")),
    "ax": Sampler(make=_ax, package="ax-platform"),
    "sigopt": Sampler(make=_sigopt, package="sigoptlite", refuses=_two_objectives),
}
VARIANTS = ("bayesian-blind",)
"""Shown, but not ranked: the same sampler with less."""
