import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.fptas import Cost, Measured
from subarch.optimize.halving import halve, rung_steps

T = Cost(parameters=100, latency_ms=10.0)


def measuring(error_after, lost=()):
    """A rung's measurements, and the calls that were made."""
    calls = []

    def measure(steps, pairs):
        calls.append((steps, list(pairs)))
        for pair in pairs:
            if (steps, pair[0]) not in lost:
                error = error_after(pair[0], steps)
                cost = Cost(parameters=50, latency_ms=5.0)
                yield pair, Measured(cost=cost, error=error, error_interval=(error, error))

    return measure, calls


def pairs_of(count):
    return [(index, 0) for index in range(count)]


@pytest.mark.parametrize(
    ("count", "steps", "factor", "expected"),
    [
        (12, 9, 3, [1, 3, 9]),
        (12, 100, 3, [11, 33, 100]),
        (27, 2, 3, [2]),
        (2, 100, 3, [100]),
        (1, 1, 2, [1]),
        (8, 8, 2, [1, 2, 4, 8]),
    ],
)
def test_rungs_by_hand(count, steps, factor, expected):
    assert rung_steps(count, steps, factor) == expected


def test_the_better_third_goes_on():
    measure, calls = measuring(lambda candidate, steps: 1 + candidate + 10 / steps)
    rungs = halve(pairs_of(9), T, measure, steps=9)
    assert [(steps, len(pairs)) for steps, pairs in calls] == [(1, 9), (3, 3), (9, 1)]
    assert calls[1][1] == [(0, 0), (1, 0), (2, 0)]
    last = rungs[-1].extraction
    assert last.trials[last.chosen].candidate == 0 and rungs[-1].steps == 9


def test_one_that_learns_slowly_is_lost():
    """What halving risks: candidate 5 would be the best after all steps."""
    measure, _ = measuring(lambda candidate, steps: 0.1 if (candidate, steps) == (5, 9) else 1 + candidate)
    last = halve(pairs_of(9), T, measure, steps=9)[-1].extraction
    assert last.trials[last.chosen].candidate == 0


def test_ties_are_those_of_the_last_rung_each_theta_by_itself():
    """After one step all are alike; after two the last candidate's second θ lags behind on every row."""
    hard = np.random.default_rng(0).lognormal(0, 1, 50)

    def measure(steps, pairs):
        for candidate, theta in pairs:
            errors = hard + 0.01 * candidate + (0.03 if (theta, steps) == (1, 2) else 0.0)
            yield (
                (candidate, theta),
                Measured(
                    cost=Cost(parameters=50, latency_ms=5.0 + 0.05 * candidate),
                    error=float(errors.mean()),
                    error_interval=(0.0, 9.0),
                    errors=tuple(errors),
                    units="rows",
                ),
            )

    first, last = halve([(0, 0), (0, 1), (1, 0), (1, 1)], T, measure, steps=2, factor=2)
    assert [trial.candidate for trial in first.extraction.trials] == [0, 0, 1, 1]
    assert first.extraction.tied == (1,)
    assert [(trial.candidate, trial.hyperparameters) for trial in last.extraction.trials] == [(0, 0), (0, 1)]
    assert last.extraction.tied == ()


def test_each_theta_of_a_candidate_is_judged_by_itself():
    measure, calls = measuring(lambda candidate, steps: 1.0)
    halve([(0, 0), (0, 1), (1, 0), (1, 1)], T, measure, steps=2, factor=2)
    assert [len(pairs) for _, pairs in calls] == [4, 2]


def test_out_of_time_the_rung_before_decides():
    measure, _ = measuring(lambda candidate, steps: 1 + candidate, lost={(3, c) for c in range(9)})
    rungs = halve(pairs_of(9), T, measure, steps=9)
    assert [rung.steps for rung in rungs] == [1]


def test_nothing_measured_at_all():
    measure, _ = measuring(lambda candidate, steps: 1.0, lost={(1, c) for c in range(9)})
    with pytest.raises(ConfigError, match="no candidate could be measured"):
        halve(pairs_of(9), T, measure, steps=9)


def test_a_factor_of_one_would_never_end():
    with pytest.raises(ConfigError, match="factor is 1"):
        rung_steps(9, 9, 1)


@settings(deadline=None, derandomize=True)
@given(count=st.integers(1, 60), steps=st.integers(1, 500), factor=st.integers(2, 5))
def test_it_never_costs_more_than_training_all_and_ends_at_s(count, steps, factor):
    measure, calls = measuring(lambda candidate, steps: 1 + candidate)
    rungs = halve(pairs_of(count), T, measure, steps=steps, factor=factor)
    assert rungs[-1].steps == steps and len(rungs) == len(rung_steps(count, steps, factor))
    numbers = [len(pairs) for _, pairs in calls]
    assert all(later == max(1, earlier // factor) for earlier, later in itertools.pairwise(numbers))
    if factor > 2:
        assert sum(number * rung.steps for number, rung in zip(numbers, rungs, strict=True)) <= 1.5 * count * steps
