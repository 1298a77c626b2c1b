"""The laws of `Sampler`, for every one."""

import math

import numpy as np
import pytest

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Choice, Domain, Exhausted, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.registry import SAMPLERS, make_sampler
from subarch.optimize.study import Study
from subarch.optimize.trials import Trial

every = pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "optuna-gp"])
# Optuna's GP takes seconds to import and to fit; one test of its own is enough.


def options(name):
    return {"initial": 4} if name == "bayesian" else {}


def mixture(problem, report, seed=0, count=12):
    """Trials of every state."""
    rng = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        params = problem.domain.sample(rng)
        if number % 5 == 3:
            trials.append(Trial(number=number, params=params, state="failed", reason="out of memory"))
        elif number % 5 == 4:
            trials.append(Trial(number=number, params=params))
        elif number % 7 == 5:
            partial = {"quality": report(params)["quality"] - 0.2}
            trials.append(Trial(number=number, params=params, state="stopped", metrics=partial))
        else:
            trials.append(Trial(number=number, params=params, state="finished", metrics=report(params)))
    return trials


def report(params):
    layers = float(params["layers"])
    return {"quality": 1.0 - 1.0 / layers, "size": layers * float(params.get("width", params.get("heads", 1)))}


@every
def test_a_suggestion_is_valid_and_not_tried_before(name, mixed):
    trials = mixture(mixed, report)
    for seed in range(3):
        params = make_sampler(name, **options(name)).suggest(mixed, trials, np.random.default_rng(seed))
        assert mixed.domain.validate(params) == params
        assert row_key(params) not in {row_key(trial.params) for trial in trials}
        assert all(math.isfinite(value) for value in params.values() if isinstance(value, float))


@every
def test_a_replayed_search_goes_on_as_the_uninterrupted_one(name, mixed):
    whole = Study(mixed, make_sampler(name, seed=3, **options(name)), seed=3)
    for _ in range(8):
        trial = whole.ask()
        whole.tell(trial.number, report(trial.params))
    resumed = Study(mixed, make_sampler(name, seed=3, **options(name)), seed=3, trials=whole.trials[:6])
    for number in (6, 7):
        trial = resumed.ask()
        assert trial.params == whole.trials[number].params
        resumed.tell(number, report(trial.params))


@every
def test_no_trials_and_all_failed(name, mixed):
    sampler = make_sampler(name, **options(name))
    mixed.domain.validate(sampler.suggest(mixed, (), np.random.default_rng(0)))
    rng = np.random.default_rng(1)
    failed = [Trial(number=k, params=mixed.domain.sample(rng), state="failed", reason="NaN") for k in range(10)]
    mixed.domain.validate(sampler.suggest(mixed, failed, np.random.default_rng(0)))


@every
def test_a_table_is_tried_out_row_by_row(name):
    rows = tuple({"layers": layers, "heads": heads} for layers in (1, 2, 3) for heads in (1, 2, 4))
    problem = Problem(domain=Table(rows), metrics=(Metric(name="quality"), Metric(name="size", direction="minimize")))
    study = Study(problem, make_sampler(name, **options(name)))
    for _ in rows:
        trial = study.ask()
        study.tell(trial.number, report(trial.params))
    assert {row_key(trial.params) for trial in study.trials} == {row_key(row) for row in rows}
    with pytest.raises(Exhausted, match="all 9 candidates"):
        study.ask()


@every
def test_a_domain_without_anything_new_repeats(name):
    problem = Problem(domain=Domain(parameters={"a": Choice(values=(1, 2))}), metrics=(Metric(name="m"),))
    trials = [Trial(number=k, params={"a": 1 + k % 2}, state="finished", metrics={"m": k}) for k in range(4)]
    suggested = make_sampler(name, **options(name)).suggest(problem, trials, np.random.default_rng(0))
    assert suggested in ({"a": 1}, {"a": 2})
