"""Optuna's samplers by name, for those who want them and for comparisons; the only file that imports Optuna.

Each suggestion rebuilds an in-memory study from the trials and asks it once, so that the record stays the only state.
Thresholds become Optuna's constraints; failed trials are its failed ones, which its samplers leave out. A parameter is
suggested as Optuna's users write it: ordered choices as the whole number of their place.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from subarch.errors import MissingExtraError
from subarch.optimize.domain import Choice, Domain, Float, Int, Parameter, Table
from subarch.optimize.parameters import Value, exact
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial

if TYPE_CHECKING:
    import optuna

OPTUNA_SAMPLERS = ("tpe", "nsga2", "optuna-gp", "optuna-random")
_NO_TIME = datetime(2020, 1, 1)
"""Optuna wants to know when a trial ran; its samplers do not look at it."""
_GENERATION = "NSGAIISampler:generation"


@dataclass(frozen=True, kw_only=True)
class OptunaSampler:
    """One of Optuna's samplers with its defaults.

    Raises:
        MissingExtraError: Optuna is not installed.
    """

    name: str

    def __post_init__(self) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise MissingExtraError(
                f"the sampler {self.name} is Optuna's, which is not installed", 'pip install "subarch[search]"'
            )

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> dict[str, Value]:
        """See `Sampler`. On a table, the untried row nearest to what Optuna suggests for its columns.

        Raises:
            Exhausted: The domain is a table whose rows were all tried.
        """
        rows = problem.domain.remaining(trials) if isinstance(problem.domain, Table) else ()
        with _quiet():
            params = self._ask(problem, trials, int(rng.integers(2**31)))
        if not isinstance(problem.domain, Table):
            return params
        target = problem.domain.encode(params)
        return dict(rows[int(np.argmin(((problem.domain.encode_many(rows) - target) ** 2).sum(axis=1)))])

    def _ask(self, problem: Problem, trials: Sequence[Trial], seed: int) -> dict[str, Value]:
        import optuna

        directions = [metric.direction for metric in problem.objectives]
        sampler = _sampler(self.name, seed)
        study = optuna.create_study(directions=directions, sampler=sampler)
        generations = _generations(trials, getattr(sampler, "population_size", None))
        for trial in sorted(trials, key=lambda trial: trial.number):
            study.add_trial(_frozen(problem, trial, generations.get(trial.number)))
        return _suggested(problem.domain, study.ask())


def _sampler(name: str, seed: int) -> Any:
    import optuna

    makers = {
        "tpe": optuna.samplers.TPESampler,
        "nsga2": optuna.samplers.NSGAIISampler,
        "optuna-gp": optuna.samplers.GPSampler,
        "optuna-random": optuna.samplers.RandomSampler,
    }
    return makers[name](seed=seed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes on new studies and experimental classes; as before afterwards."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _generations(trials: Sequence[Trial], size: int | None) -> Mapping[int, int]:
    """By number, the generation of NSGA-II in which a trial was born: as Optuna counts, over finished trials."""
    if size is None:
        return {}
    finished = sorted(trial.number for trial in trials if trial.state == "finished")
    return {number: place // size for place, number in enumerate(finished)}


def _frozen(problem: Problem, trial: Trial, generation: int | None) -> optuna.trial.FrozenTrial:
    from optuna.trial import FrozenTrial, TrialState

    finished = trial.state == "finished"
    states = {"finished": TrialState.COMPLETE, "running": TrialState.RUNNING}
    parameters = _columns(problem.domain).parameters
    frozen = FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=states.get(trial.state, TrialState.FAIL),
        value=None,
        values=[trial.metrics[metric.name] for metric in problem.objectives] if finished else None,
        datetime_start=_NO_TIME,
        datetime_complete=_NO_TIME if trial.ended else None,
        params={name: _outward(parameters[name], value) for name, value in trial.params.items()},
        distributions={name: _distribution(parameters[name]) for name in trial.params},
        user_attrs={},
        system_attrs={} if generation is None else {_GENERATION: generation},
        intermediate_values={},
    )
    for metric in problem.limited if finished else ():
        assert metric.threshold is not None
        beyond = metric.minimised(trial.metrics[metric.name]) - metric.minimised(metric.threshold)
        frozen.set_constraint(metric.name, beyond)
    return frozen


def _suggested(domain: Domain | Table, trial: optuna.trial.Trial) -> dict[str, Value]:
    """Ask for each parameter that is active, parents first."""
    columns = _columns(domain)
    values: dict[str, Value] = {}
    waiting = list(columns.parameters)
    while waiting:
        name = next(name for name in waiting if _parent(columns, name) not in waiting)
        waiting.remove(name)
        condition = columns.conditions.get(name)
        if condition is not None and not _holds(condition.values, values.get(condition.parent)):
            continue
        parameter = columns.parameters[name]
        values[name] = _inward(parameter, _suggest_one(trial, name, parameter))
    return {name: values[name] for name in columns.parameters if name in values}


def _parent(domain: Domain, name: str) -> str | None:
    condition = domain.conditions.get(name)
    return None if condition is None else condition.parent


def _holds(accepted: Sequence[Value], value: Value | None) -> bool:
    return value is not None and exact(value) in {exact(own) for own in accepted}


def _columns(domain: Domain | Table) -> Domain:
    return domain.domain if isinstance(domain, Table) else domain


def _suggest_one(trial: optuna.trial.Trial, name: str, parameter: Parameter) -> Any:
    if isinstance(parameter, Float):
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return trial.suggest_int(name, parameter.low, parameter.top, step=parameter.step, log=parameter.log)
    if parameter.ordered:
        return trial.suggest_int(name, 0, parameter.size - 1)
    return trial.suggest_categorical(name, parameter.values)


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.top, step=parameter.step, log=parameter.log)
    return IntDistribution(0, parameter.size - 1) if parameter.ordered else CategoricalDistribution(parameter.values)


def _outward(parameter: Parameter, value: Value) -> Value:
    """A value as Optuna has it: the place of an ordered choice."""
    if isinstance(parameter, Choice) and parameter.ordered:
        return [exact(own) for own in parameter.values].index(exact(value))
    return value


def _inward(parameter: Parameter, value: Any) -> Value:
    if isinstance(parameter, Choice) and parameter.ordered:
        return parameter.values[int(value)]
    accepted: Value = value
    return accepted
