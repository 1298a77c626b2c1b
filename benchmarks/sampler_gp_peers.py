"""Peers built on Gaussian processes that are installed for the comparison only: BoTorch, Ax, SigOpt's own library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc

from sampler_peers import excess, only_active, parents_first
from sampler_problems import Task, Values
from subarch.optimize.domain import Choice, Domain, Float, Int, Params, Value
from subarch.optimize.parameters import exact

GRID = 20
"""A whole number with more values is optimised as a continuous one and rounded, as BoTorch's optimiser does."""


@contextmanager
def broken_off(*errors: type[Exception]) -> Iterator[None]:
    """A peer's own errors, most of which are plain exceptions, as one that the benchmark records."""
    try:
        yield
    except errors as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


class Columns:
    """One column a parameter: a number's share of its range, a category's index; what is inactive keeps its draw."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._values = [values_of(parameter) for parameter in domain.parameters.values()]
        kinds = [parameter.kind for parameter in domain.parameters.values()]
        self.categories = [place for place, kind in enumerate(kinds) if kind == "category"]
        self.places = [self._places(place) for place in range(len(kinds))]
        top = [max(places) if places is not None else 1.0 for places in self.places]
        self.bounds = torch.tensor([[0.0] * len(top), top], dtype=torch.double)
        listed = {i: places for i, places in enumerate(self.places) if places is not None and len(places) <= GRID}
        self.discrete = {i: places for i, places in listed.items() if i not in self.categories}
        self.categorical = {i: places for i, places in listed.items() if i in self.categories}

    def snapped(self, row: Sequence[float]) -> list[float]:
        return [
            float(x) if places is None else min(places, key=lambda place, x=x: abs(place - x))
            for x, places in zip(row, self.places, strict=True)
        ]

    def at_unit(self, u: Sequence[float]) -> list[float]:
        """Of a point of the unit cube."""
        return [
            float(x) if places is None else places[min(int(x * len(places)), len(places) - 1)]
            for x, places in zip(u, self.places, strict=True)
        ]

    def params(self, row: Sequence[float]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for place, (name, parameter) in enumerate(self._domain.parameters.items()):
            places, choices = self.places[place], self._values[place]
            values[name] = parameter.from_unit(row[place]) if choices is None else choices[places.index(row[place])]
        return only_active(self._domain, values)

    def _places(self, place: int) -> list[float] | None:
        values = self._values[place]
        if values is None:
            return None
        if place in self.categories:
            return [float(index) for index in range(len(values))]
        parameter = list(self._domain.parameters.values())[place]
        return [float(share) for share in parameter.encode(values)[:, 0]]


def values_of(parameter: Any) -> list[Value] | None:
    """Those of a discrete one."""
    if isinstance(parameter, Float):
        return None
    return (
        list(parameter.values)
        if isinstance(parameter, Choice)
        else list(range(parameter.low, parameter.high + 1, parameter.step))
    )


class BoTorch:
    """The recipe of BoTorch's tutorial on constrained and noisy multi-objective optimisation: 2 (d + 1) Sobol points,
    then a Gaussian process an outcome and qLogNEHVI, with the points in flight as `X_pending`."""

    def __init__(self, task: Task, seed: int, impute: bool) -> None:
        self._task = task
        self._impute = impute
        self._columns = Columns(task.problem.domain)
        self._sobol = qmc.Sobol(len(self._columns.places), scramble=True, rng=np.random.default_rng(seed))
        self._initial = 2 * (len(self._columns.places) + 1)
        self._rows: list[list[float]] = []
        self._outcomes: dict[int, list[float] | None] = {}
        torch.manual_seed(seed)

    def ask(self) -> tuple[int, dict[str, Value]]:
        from botorch.exceptions.errors import BotorchError, ModelFittingError

        finished = [number for number, outcome in self._outcomes.items() if outcome is not None]
        if len(self._rows) < self._initial or len(finished) < 2:
            row = self._columns.at_unit(self._sobol.random(1)[0].tolist())
        else:
            with broken_off(BotorchError, ModelFittingError):
                row = self._columns.snapped(self._candidate(finished))
        self._rows.append(row)
        return len(self._rows) - 1, self._columns.params(row)

    def tell(self, number: int, values: Values | None) -> None:
        if values is None:
            self._outcomes[number] = None
            return
        problem = self._task.problem
        objectives = [-metric.minimised(values[metric.name]) for metric in problem.objectives]
        self._outcomes[number] = objectives + [excess(metric, values[metric.name]) for metric in problem.constraints]

    def _candidate(self, finished: list[int]) -> list[float]:
        from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
        from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
        from botorch.sampling.normal import SobolQMCNormalSampler

        x, y = self._data(finished)
        pending = [row for number, row in enumerate(self._rows) if number not in self._outcomes]
        count = len(self._task.problem.objectives)
        constrained = range(count, y.shape[1])
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=self._model(x, y),
            ref_point=[-float(value) for value in self._task.problem.reference_point(())],
            X_baseline=x,
            sampler=SobolQMCNormalSampler(sample_shape=torch.Size([128])),
            prune_baseline=True,
            objective=IdentityMCMultiOutputObjective(outcomes=list(range(count))),
            constraints=[lambda z, place=place: z[..., place] for place in constrained] or None,
            X_pending=torch.tensor(pending, dtype=torch.double) if pending else None,
        )
        return self._best(acquisition)

    def _best(self, acquisition: Any) -> list[float]:
        from botorch.optim import optimize_acqf
        from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating

        columns = self._columns
        common = {"acq_function": acquisition, "bounds": columns.bounds, "q": 1, "num_restarts": 10, "raw_samples": 512}
        if columns.discrete or columns.categorical:
            found, _ = optimize_acqf_mixed_alternating(
                discrete_dims=columns.discrete, cat_dims=columns.categorical, **common
            )
        else:
            found, _ = optimize_acqf(options={"batch_limit": 5, "maxiter": 200}, **common)
        return found[0].tolist()

    def _model(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import ModelListGP, SingleTaskGP
        from botorch.models.gp_regression_mixed import MixedSingleTaskGP
        from gpytorch.mlls import SumMarginalLogLikelihood

        problem, columns = self._task.problem, self._columns
        models = []
        for place, metric in enumerate((*problem.objectives, *problem.constraints)):
            error = self._task.errors.get(metric.name)
            noise = None if error is None else torch.full((len(y), 1), error**2, dtype=torch.double)
            kind = MixedSingleTaskGP if columns.categories else SingleTaskGP
            options = {"cat_dims": columns.categories} if columns.categories else {}
            models.append(kind(x, y[:, place : place + 1], train_Yvar=noise, **options))
        model = ModelListGP(*models)
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        return model

    def _data(self, finished: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [self._rows[number] for number in finished]
        outcomes = [self._outcomes[number] for number in finished]
        if self._impute:
            count = len(self._task.problem.objectives)
            seen = np.array(outcomes)
            worst = [*seen[:, :count].min(axis=0), *seen[:, count:].max(axis=0)]
            failed = [self._rows[number] for number, outcome in self._outcomes.items() if outcome is None]
            rows, outcomes = rows + failed, outcomes + [worst] * len(failed)
        return torch.tensor(rows, dtype=torch.double), torch.tensor(np.array(outcomes), dtype=torch.double)


class Ax:
    """`ax.api.client.Client` with its own choice of method; more than it plans may be in flight at the start, as it
    otherwise refuses to go on until some have ended."""

    def __init__(self, task: Task, seed: int) -> None:
        from ax.api.client import Client

        problem = task.problem
        self._names = [metric.name for metric in (*problem.objectives, *problem.constraints)]
        self._errors = task.errors
        self._domain = problem.domain
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(parameters=ax_parameters(problem.domain))
        self._client.configure_generation_strategy(
            initialization_random_seed=seed, allow_exceeding_initialization_budget=True
        )
        signs = {"maximize": "", "minimize": "-"}
        limits = [(metric, metric.threshold) for metric in problem.limited]
        limits += [(metric, problem.reference.get(metric.name)) for metric in problem.objectives]
        self._client.configure_optimization(
            objective=", ".join(signs[metric.direction] + metric.name for metric in problem.objectives),
            outcome_constraints=[
                f"{metric.name} {'>=' if metric.direction == 'maximize' else '<='} {limit}"
                for metric, limit in limits
                if limit is not None
            ],
        )

    def ask(self) -> tuple[int, dict[str, Value]]:
        from ax.exceptions.core import AxError

        with broken_off(AxError):
            suggested = self._client.get_next_trials(max_trials=1)
        if not suggested:
            raise RuntimeError("Ax suggests no trial")
        ((number, params),) = suggested.items()
        return number, self._domain.validate(only_known(self._domain, params))

    def tell(self, number: int, values: Values | None) -> None:
        if values is None:
            self._client.mark_trial_failed(number)
            return
        data = {
            name: (values[name], self._errors[name]) if name in self._errors else values[name] for name in self._names
        }
        self._client.complete_trial(number, raw_data=data)


def only_known(domain: Domain, params: Params) -> dict[str, Value]:
    """The active parameters, with floats clipped to their ranges: Ax's lie beyond by an ulp at times."""
    values: dict[str, Value] = {}
    for name in parents_first(domain):
        if name in params:
            parameter, value = domain.parameters[name], params[name]
            values[name] = min(max(value, parameter.low), parameter.high) if isinstance(parameter, Float) else value
    return only_active(domain, values)


def ax_parameters(domain: Domain) -> list[Any]:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    found: list[Any] = []
    for name, parameter in domain.parameters.items():
        if isinstance(parameter, Choice):
            children: dict[Value, list[str]] = {}
            for child, condition in domain.conditions.items():
                for value in condition.values if condition.parent == name else ():
                    children.setdefault(value, []).append(child)
            kind = {str: "str", bool: "bool", int: "int", float: "float"}[type(parameter.values[0])]
            found.append(
                ChoiceParameterConfig(
                    name=name,
                    values=list(parameter.values),
                    parameter_type=kind,
                    is_ordered=parameter.ordered,
                    dependent_parameters=children or None,
                )
            )
            continue
        found.append(
            RangeParameterConfig(
                name=name,
                bounds=(parameter.low, parameter.high),
                parameter_type="int" if isinstance(parameter, Int) else "float",
                step_size=parameter.step if isinstance(parameter, Int) and parameter.step > 1 else None,
                scaling="log" if parameter.log else None,
            )
        )
    return found


class SigOpt:
    """`sigoptlite`, which serves one suggestion at a time: those in flight are handed to the same `libsigopt` under it,
    as the points being sampled."""

    def __init__(self, task: Task, seed: int, trials: int) -> None:
        vars(np).setdefault("product", np.prod)  # libsigopt is of the time before NumPy 2
        np.random.seed(seed)  # noqa: NPY002, it draws from there
        from sigoptlite.broker import Broker
        from sigoptlite.builders import LocalExperimentBuilder

        problem = task.problem
        self._domain, self._errors = problem.domain, task.errors
        self._parents = {condition.parent for condition in problem.domain.conditions.values()}
        self._names = [metric.name for metric in (*problem.objectives, *problem.constraints)]
        metrics = [
            {
                "name": metric.name,
                "objective": metric.direction,
                "strategy": "constraint" if metric.constraint else "optimize",
                "threshold": metric.threshold,
            }
            for metric in (*problem.objectives, *problem.constraints)
        ]
        experiment = {
            "name": "benchmark",
            "parameters": [self._parameter(name) for name in self._domain.parameters if name not in self._parents],
            "metrics": metrics,
            "observation_budget": trials,
            "parallel_bandwidth": 1,
        }
        if self._parents:
            experiment["conditionals"] = [
                {"name": name, "values": [str(value) for value in self._domain.parameters[name].values]}
                for name in self._domain.parameters
                if name in self._parents
            ]
        self._broker = Broker(LocalExperimentBuilder(experiment))
        self._open: dict[int, dict[str, Any]] = {}
        self._asked = 0

    def ask(self) -> tuple[int, dict[str, Value]]:
        from libsigopt.aux.errors import SigoptComputeError
        from sigoptlite import sources

        source = sources.GPSource(self._broker.experiment)
        points = [source.get_point_from_assignments(source.experiment, given) for given in self._open.values()]
        empty = sources.EMPTY_POINTS_CONTAINER
        sources.EMPTY_POINTS_CONTAINER = sources.PointsContainer(points=np.array(points)) if points else empty
        try:
            with broken_off(SigoptComputeError):
                assignments = dict(self._broker.create_suggestion().assignments)
        finally:
            sources.EMPTY_POINTS_CONTAINER = empty
            self._broker.stored_suggestion = None
        self._asked += 1
        self._open[self._asked] = assignments
        return self._asked, self._domain.validate({name: self._value(name, v) for name, v in assignments.items()})

    def tell(self, number: int, values: Values | None) -> None:
        assignments = self._open.pop(number)
        if values is None:
            self._broker.create_observation(assignments=assignments, failed=True)
            return
        reported = [
            {"name": name, "value": values[name], "value_stddev": self._errors.get(name)} for name in self._names
        ]
        self._broker.create_observation(assignments=assignments, values=reported)

    def _parameter(self, name: str) -> dict[str, Any]:
        parameter = self._domain.parameters[name]
        condition = self._domain.conditions.get(name)
        described: dict[str, Any] = {"name": name}
        if condition is not None:
            described["conditions"] = {condition.parent: [str(value) for value in condition.values]}
        if isinstance(parameter, Choice) and parameter.ordered:
            whole = all(isinstance(value, int) for value in parameter.values)
            described |= {"type": "int" if whole else "double", "grid": list(parameter.values)}
        elif isinstance(parameter, Choice):
            described |= {"type": "categorical", "categorical_values": [str(value) for value in parameter.values]}
        else:
            described["type"] = "int" if isinstance(parameter, Int) else "double"
            described["bounds"] = {"min": parameter.low, "max": parameter.high}
            if parameter.log and isinstance(parameter, Float):
                described["transformation"] = "log"
        return described

    def _value(self, name: str, value: Any) -> Value:
        parameter = self._domain.parameters[name]
        if isinstance(parameter, Choice):
            return next(own for own in parameter.values if str(own) == str(value) or exact(own) == exact(value))
        if isinstance(parameter, Int):
            return round(value)
        return min(max(float(value), parameter.low), parameter.high)
