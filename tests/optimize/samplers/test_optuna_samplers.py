import logging
import warnings

import numpy as np
import pytest

from subarch.optimize.domain import Choice, Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.optuna_samplers import OptunaSampler
from subarch.optimize.study import Study
from subarch.optimize.trials import Trial

pytest.importorskip("optuna")


def finished(problem, count, metrics, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [problem.domain.sample(rng) for _ in range(count)]
    return [Trial(number=k, params=p, state="finished", metrics=metrics(p)) for k, p in enumerate(drawn)]


def test_tpe_learns_from_the_trials_that_it_is_given(square):
    trials = finished(square, 40, lambda p: {"loss": (p["x"] - 0.9) ** 2 + (p["y"] - 0.1) ** 2})
    suggested = [OptunaSampler(name="tpe").suggest(square, trials, np.random.default_rng(k)) for k in range(10)]
    assert np.median([p["x"] for p in suggested]) > 0.65
    assert np.median([p["y"] for p in suggested]) < 0.35


def test_a_threshold_becomes_a_constraint():
    domain = Domain(parameters={"x": Float(low=0.0, high=1.0)})
    metrics = (Metric(name="gain"), Metric(name="cost", direction="minimize", constraint=True, threshold=0.3))
    problem = Problem(domain=domain, metrics=metrics)
    trials = finished(problem, 40, lambda p: {"gain": p["x"], "cost": p["x"]})
    suggested = [OptunaSampler(name="tpe").suggest(problem, trials, np.random.default_rng(k)) for k in range(10)]
    assert np.median([p["x"] for p in suggested]) < 0.4


def test_nsga2_has_generations_after_a_replay(square):
    trials = finished(square, 120, lambda p: {"loss": abs(p["x"] - 0.5) + abs(p["y"] - 0.5)})
    suggested = [OptunaSampler(name="nsga2").suggest(square, trials, np.random.default_rng(k)) for k in range(20)]
    # Children of the better half lie nearer than uniform draws, whose median distance is 0.5.
    assert np.median([abs(p["x"] - 0.5) + abs(p["y"] - 0.5) for p in suggested]) < 0.4


def test_the_gaussian_process_of_optuna(square):
    trials = finished(square, 12, lambda p: {"loss": (p["x"] - 0.9) ** 2 + (p["y"] - 0.1) ** 2})
    params = OptunaSampler(name="optuna-gp").suggest(square, trials, np.random.default_rng(0))
    assert abs(params["x"] - 0.9) < 0.25 and abs(params["y"] - 0.1) < 0.25


def test_values_of_ordered_choices_and_true_and_one_survive():
    domain = Domain(
        parameters={"width": Choice(values=(64, 128, 256), ordered=True), "mixed": Choice(values=("a", True, 2.5))}
    )
    problem = Problem(domain=domain, metrics=(Metric(name="m"),))
    study = Study(problem, OptunaSampler(name="tpe"))
    for _ in range(14):
        trial = study.ask()
        assert trial.params["width"] in (64, 128, 256)
        study.tell(trial.number, {"m": float(trial.params["width"])})
    assert {type(trial.params["mixed"]) for trial in study.trials} <= {str, bool, float}


def test_it_says_nothing_and_leaves_the_logging_as_it_was(square, capfd):
    import optuna

    level = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OptunaSampler(name="nsga2").suggest(square, (), np.random.default_rng(0))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna").level == level
