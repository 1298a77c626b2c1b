import numpy as np
import pytest

from subarch.optimize.domain import Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidates import describe
from subarch.optimize.surrogate.metric_models import FitCache
from subarch.optimize.surrogate.utility import Utility
from subarch.optimize.trials import Trial

LINE = Domain(parameters={"x": Float(low=0.0, high=1.0)})


def problem(count=1, **limits):
    """Metric k is (x - k / count)², minimised."""
    return Problem(
        domain=LINE,
        metrics=tuple(Metric(name=f"m{k}", direction="minimize", threshold=limits.get(f"m{k}")) for k in range(count)),
    )


def finished(number, x, count=1, errors=()):
    metrics = {f"m{k}": (x - k / count) ** 2 for k in range(count)}
    return Trial(number=number, params={"x": x}, state="finished", metrics=metrics, errors=dict(errors))


def values(of, trials, xs, seed=0):
    utility = Utility(of, trials, FitCache(), np.random.default_rng(seed))
    return utility(describe(of, [{"x": float(x)} for x in xs]))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("many", [1, 2, 9])
def test_it_is_never_a_nan(count, many):
    trials = [finished(k, 0.1 + 0.8 * k / 9, count) for k in range(many)]
    trials.append(Trial(number=many, params={"x": 0.35}))
    trials.append(Trial(number=many + 1, params={"x": 0.55}, state="failed", reason=""))
    trials.append(Trial(number=many + 2, params={"x": 0.65}, state="stopped", metrics={"m0": 4.0}))
    for limits in ({}, {"m0": -1e9}, {"m0": 1e9}):
        assert not np.isnan(values(problem(count, **limits), trials, np.linspace(0, 1, 21))).any()


def test_a_running_trial_makes_its_place_less_attractive():
    trials = [finished(k, x) for k, x in enumerate((0.3, 0.6, 0.9))]
    place = np.array([0.05])
    alone = values(problem(), trials, place)[0]
    pending = values(problem(), [*trials, Trial(number=3, params={"x": 0.05})], place)[0]
    assert pending < alone - 1.0


def test_a_noisy_best_value_is_not_taken_at_its_word():
    """The optimum is at 0; one reading at 0.9 says -1, with a standard error of 3."""
    lucky = Trial(number=9, params={"x": 0.9}, state="finished", metrics={"m0": -1.0}, errors={"m0": 3.0})
    trials = [finished(k, x) for k, x in enumerate(np.linspace(0.15, 1, 8))]
    near, far = values(problem(), [*trials, lucky], [0.02, 0.93])
    assert near > far


def test_a_stop_lowers_what_is_expected_beside_it():
    trials = [finished(k, x) for k, x in enumerate((0.4, 0.7, 1.0))]
    stopped = Trial(number=3, params={"x": 0.1}, state="stopped", metrics={"m0": 0.8})
    assert values(problem(), [*trials, stopped], [0.1])[0] < values(problem(), trials, [0.1])[0] - 0.5


def test_without_a_feasible_trial_the_threshold_leads():
    """m0 is at most 0.01 only below x = 0.1; m1 is best at 0.5, and tried only above 0.4."""
    of = problem(2, m0=0.01)
    trials = [finished(k, x, 2) for k, x in enumerate((0.45, 0.6, 0.75, 0.9))]
    assert values(of, trials, [0.05])[0] > values(of, trials, [0.5])[0]
