import numpy as np
import pytest

from subarch.optimize.domain import Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.quasi_random import QuasiRandomSampler
from subarch.optimize.trials import Trial


def points(problem, count, seed=0):
    trials = []
    for number in range(count):
        params = QuasiRandomSampler(seed=seed).suggest(problem, trials, np.random.default_rng(number))
        trials.append(Trial(number=number, params=params))
    return trials


def test_sixteen_points_lie_in_sixteen_strips(square):
    for name in ("x", "y"):
        strips = {int(trial.params[name] * 16) for trial in points(square, 16)}
        assert strips == set(range(16))


def test_a_point_depends_on_the_seed_and_the_number_alone(square):
    whole = points(square, 6)
    sampler = QuasiRandomSampler()
    assert sampler.suggest(square, whole[:4], np.random.default_rng(99)) == whole[4].params
    failed = [Trial(number=t.number, params=t.params, state="failed", reason="") for t in whole[:4]]
    assert sampler.suggest(square, failed, np.random.default_rng(0)) == whole[4].params
    assert points(square, 1, seed=1)[0].params != whole[0].params


def test_the_rows_of_a_table_are_spread():
    rows = tuple({"x": float(x)} for x in [*np.linspace(0, 0.1, 60), 0.5, 1.0])
    problem = Problem(domain=Table(rows), metrics=(Metric(name="m"),))
    hits = [{trial.params["x"] for trial in points(problem, 4, seed)} for seed in range(10)]
    # A uniform draw of four rows would have one of the two far ones in about one of eight cases.
    assert sum(bool(chosen & {0.5, 1.0}) for chosen in hits) >= 9


@pytest.mark.parametrize("seed", range(3))
def test_an_enqueued_row_is_not_drawn_again(table, seed):
    first = points(table, 1, seed)[0]
    again = QuasiRandomSampler(seed=seed).suggest(table, [first], np.random.default_rng(0))
    assert again != first.params
