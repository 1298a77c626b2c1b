import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.domain import Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import REFERENCE_TRIALS, Problem
from subarch.optimize.trials import Trial

DOMAIN = Domain(parameters={"x": Float(low=0, high=1)})
QUALITY, SIZE = Metric(name="quality"), Metric(name="size", direction="minimize")
PROBLEM = Problem(domain=DOMAIN, metrics=(QUALITY, SIZE))


def finished(number, quality, size=1.0, **others):
    metrics = {"quality": float(quality), "size": float(size), **others}
    return Trial(number=number, params={"x": 0.5}, state="finished", metrics=metrics)


# A few values each, so that ties occur; None is a trial that has not finished.
OUTCOMES = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 4), st.integers(0, 4))), max_size=12)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(outcomes=OUTCOMES, threshold=st.one_of(st.none(), st.integers(0, 5)), data=st.data())
def test_the_classes_by_brute_force(outcomes, threshold, data):
    problem = PROBLEM.with_threshold("quality", threshold)
    states = data.draw(st.tuples(*[st.sampled_from(["running", "failed", "stopped"])] * len(outcomes)))
    baseline = data.draw(st.one_of(st.none(), st.integers(0, 12)))
    trials = [
        finished(number, *outcome) if outcome else Trial(number=number, params={"x": 0.5}, state=states[number])
        for number, outcome in enumerate(outcomes)
    ]
    feasible = {
        number: outcome
        for number, outcome in enumerate(outcomes)
        if outcome and (threshold is None or outcome[0] >= threshold)
    }

    def expected(number):
        if outcomes[number] is None:
            return states[number]
        if number == baseline:
            return "baseline"
        if number not in feasible:
            return "beyond"
        quality, size = outcomes[number]
        better = [q >= quality and s <= size and (q, s) != (quality, size) for q, s in feasible.values()]
        return "dominated" if any(better) else "front"

    assert problem.classify(trials, baseline) == {number: expected(number) for number in range(len(outcomes))}
    on_front = {number for number in feasible if expected(number) == "front"}
    assert {trial.number for trial in problem.front(trials)} - {baseline} == on_front


def test_a_threshold_alone_makes_what_lies_beyond_it_infeasible():
    problem = Problem(domain=DOMAIN, metrics=(Metric(name="quality", threshold=50),))
    trials = [finished(0, 49), finished(1, 50), finished(2, 51)]
    assert problem.classify(trials) == {0: "beyond", 1: "dominated", 2: "front"}


def test_a_constraint_is_no_objective_and_makes_infeasible():
    latency = Metric(name="latency_ms", direction="minimize", constraint=True, threshold=10)
    problem = Problem(domain=DOMAIN, metrics=(QUALITY, latency))
    assert problem.objectives == (QUALITY,)
    assert problem.constraints == problem.limited == (latency,)
    trials = [finished(0, 9, latency_ms=10.5), finished(1, 3, latency_ms=10.0)]
    assert problem.classify(trials) == {0: "beyond", 1: "front"}


def test_objectives_and_what_is_limited():
    problem = Problem(domain=DOMAIN, metrics=(QUALITY, SIZE, Metric(name="f1", store=True))).with_threshold("size", 5)
    assert [metric.name for metric in problem.objectives] == ["quality", "size"]
    assert [metric.name for metric in problem.limited] == ["size"]
    assert problem.constraints == ()
    assert PROBLEM.limited == ()  # the other one is as it was


def test_the_reference_is_the_threshold_else_the_one_given():
    problem = Problem(domain=DOMAIN, metrics=(QUALITY, SIZE), reference={"size": 80.0, "quality": 3.0})
    assert problem.reference_point([]).tolist() == [-3.0, 80.0]
    assert problem.with_threshold("quality", 50).reference_point([finished(0, 1)]).tolist() == [-50.0, 80.0]


def test_else_the_first_trials_decide_and_later_ones_do_not():
    trials = [finished(n, quality=n, size=100 + n) for n in range(REFERENCE_TRIALS)]
    expected = [0.9, 109.9]  # a tenth of the range of 9 beyond the worst: quality 0, size 109
    assert PROBLEM.reference_point(trials).tolist() == pytest.approx(expected)
    worse = [finished(REFERENCE_TRIALS + n, quality=-99, size=999) for n in range(5)]
    assert PROBLEM.reference_point(trials + worse).tolist() == pytest.approx(expected)
    assert PROBLEM.reference_point((trials + worse)[::-1]).tolist() == pytest.approx(expected)
    failed = [Trial(number=n, params={}, state="failed") for n in range(3)]
    late = [finished(trial.number + 3, **trial.metrics) for trial in trials]
    assert PROBLEM.reference_point(failed + late).tolist() == pytest.approx(expected)


def test_the_reference_of_one_trial_and_of_none():
    assert PROBLEM.reference_point([finished(0, quality=50, size=0)]).tolist() == pytest.approx([-45.0, 0.1])
    assert PROBLEM.reference_point([]).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("qualty", 1, "did you mean quality"),
        ("f1", 1, "only stored"),
        ("quality", math.nan, "threshold of quality is nan"),
        ("latency_ms", None, "a constraint without a threshold"),
    ],
)
def test_thresholds_that_cannot_be_set(name, value, said):
    latency = Metric(name="latency_ms", direction="minimize", constraint=True, threshold=10)
    problem = Problem(domain=DOMAIN, metrics=(QUALITY, latency, Metric(name="f1", store=True)))
    with pytest.raises(ConfigError) as caught:
        problem.with_threshold(name, value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"metrics": ()}, "no metric is optimised"),
        ({"metrics": (Metric(name="f1", store=True),)}, "no metric is optimised"),
        ({"metrics": (QUALITY, SIZE, QUALITY)}, "two metrics are called quality"),
        ({"reference": {"siz": 3.0}}, "did you mean size"),
        ({"reference": {"size": math.inf}}, "the reference of size is inf"),
    ],
)
def test_problems_that_cannot_be(settings, said):
    with pytest.raises(ConfigError) as caught:
        Problem(**{"domain": DOMAIN, "metrics": (QUALITY, SIZE)} | settings)
    assert said in str(caught.value)


def test_known_metrics_are_those_of_the_problem():
    known = {"size": lambda params: 1e6 * params["x"], "flops": lambda params: 1 / 0}
    problem = Problem(domain=DOMAIN, metrics=(QUALITY, SIZE), known=known)
    assert problem.known_metrics({"x": 0.5}) == {"size": 5e5}
    broken = Problem(domain=DOMAIN, metrics=(QUALITY, SIZE), known={"size": lambda params: math.nan})
    with pytest.raises(ConfigError, match="known metric size is nan"):
        broken.known_metrics({"x": 0.5})
