import math

import numpy as np
import pytest

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Domain, Exhausted, Float, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.bayesian import BayesianSampler, _centres
from subarch.optimize.samplers.quasi_random import QuasiRandomSampler
from subarch.optimize.samplers.random_search import RandomSampler
from subarch.optimize.study import Study
from subarch.optimize.trials import Trial

UNIT = Domain(parameters={name: Float(low=0.0, high=1.0) for name in ("x", "y", "z")})


def two(**thresholds):
    """Two objectives that pull x apart; y and z should be 0."""
    metrics = tuple(
        Metric(name=name, direction="minimize", threshold=thresholds.get(name)) for name in ("left", "right")
    )
    return Problem(domain=UNIT, metrics=metrics, reference={} if thresholds else {"left": 2.0, "right": 2.0})


def pull(params):
    off = params["y"] ** 2 + params["z"] ** 2
    return {"left": params["x"] ** 2 + off, "right": (1 - params["x"]) ** 2 + off}


def run(problem, report, count, sampler=None, seed=0):
    """A sequential search; a report of None is a failure."""
    study = Study(problem, sampler or BayesianSampler(seed=seed, initial=6), seed=seed)
    for _ in range(count):
        trial = study.ask()
        metrics = report(trial.params)
        if metrics is None:
            study.fail(trial.number, "out of memory")
        else:
            study.tell(trial.number, metrics)
    return study


def test_it_finds_the_front_of_two_objectives():
    ours, theirs = run(two(), pull, 20), run(two(), pull, 20, RandomSampler())
    best = 4.0 - 1 / 6  # area before (2, 2) that the front x in [0, 1] dominates
    assert ours.hypervolume() > 0.97 * best
    assert ours.hypervolume() > theirs.hypervolume()
    assert sum(trial.params["y"] < 0.1 and trial.params["z"] < 0.1 for trial in ours.front()) >= 6


def test_one_objective_is_improved_to_its_optimum(square):
    def loss(params):
        return {"loss": (params["x"] - 0.3) ** 2 + (params["y"] - 0.8) ** 2}

    study = run(square, loss, 18)
    assert min(trial.metrics["loss"] for trial in study.trials) < 1e-3


def test_a_single_threshold_steers():
    """Only `left` has one; after the start, hardly a trial lies beyond it."""
    held = run(two(left=0.1), pull, 16)
    beyond = [trial.metrics["left"] > 0.1 for trial in held.trials[8:]]
    assert sum(beyond) <= 3  # of the front that no threshold cuts, two thirds lie beyond
    assert len(held.front()) >= 4


def test_a_constraint_that_nothing_meets_yet_is_approached():
    """A corner of 0.1 % of the volume: feasible trials are found, though none is at the start."""
    metrics = (Metric(name="gain"), Metric(name="far", direction="minimize", constraint=True, threshold=0.15))
    problem = Problem(domain=UNIT, metrics=metrics)

    def report(params):
        return {"gain": params["x"], "far": math.hypot(params["x"] - 0.9, params["y"] - 0.9, params["z"] - 0.1)}

    study = run(problem, report, 20)
    assert not any(problem.feasible(trial) for trial in study.trials[:6])
    assert sum(problem.feasible(trial) for trial in study.trials) >= 5


def test_a_changed_threshold_is_followed_at_once():
    study = run(two(left=1.5, right=1.5), pull, 16)
    study.set_threshold("left", 0.05)
    suggestions = []
    for _ in range(3):
        trial = study.ask()
        suggestions.append(pull(trial.params)["left"])
        study.tell(trial.number, pull(trial.params))
    assert max(suggestions) < 0.1


def test_a_failing_region_is_avoided():
    """Although half of the front would lie there."""

    def report(params):
        return None if params["x"] > 0.5 else pull(params)

    ours = run(two(), report, 24)
    theirs = run(two(), report, 24, RandomSampler())
    failures = [sum(trial.state == "failed" for trial in study.trials[6:]) for study in (ours, theirs)]
    assert failures[0] <= 4 < failures[1]
    assert ours.hypervolume() > theirs.hypervolume()


def test_what_is_known_is_not_explored():
    """The size is known and limited: once the models lead, no suggestion lies beyond."""
    metrics = (Metric(name="quality"), Metric(name="size", direction="minimize", constraint=True, threshold=0.5))
    known = Problem(domain=UNIT, metrics=metrics, known={"size": lambda params: params["x"] + params["y"]})
    study = run(known, lambda params: {"quality": params["x"] + params["y"] - params["z"]}, 14)
    assert all(trial.metrics["size"] <= 0.5 for trial in study.trials[6:])
    assert max(t.metrics["quality"] for t in study.trials if known.feasible(t)) > 0.45


def test_eight_pending_trials_are_eight_different_ideas():
    study = run(two(), pull, 12)
    pending = [study.ask() for _ in range(8)]
    points = np.array([[trial.params[name] for name in ("x", "y", "z")] for trial in pending])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)[np.triu_indices(8, 1)]
    assert distances.min() > 0.005
    assert np.ptp(points[:, 0]) > 0.3


def test_what_is_looked_around_is_the_front_that_counts():
    def trial(number, left, right, state="finished"):
        metrics = {"left": left, "right": right} if state == "finished" else {}
        return Trial(number=number, params={"x": 0.1 * number, "y": 0.5, "z": 0.5}, state=state, metrics=metrics)

    counts, beyond, dominated = trial(0, 1.0, 1.0), trial(1, 0.5, 2.5), trial(2, 1.5, 1.5)
    running = trial(3, 0.0, 0.0, "running")

    def around(*trials):
        return [params["x"] for params in _centres(two(), trials, lambda candidates: np.zeros(len(candidates)))]

    assert around(counts, beyond, dominated, running) == [counts.params["x"]]
    assert around(beyond, running) == [beyond.params["x"]]
    assert around(running) == []


def test_nothing_is_suggested_beside_what_was_stopped():
    """The models expect most where a trial was stopped; its stop says that this was a mistake."""
    study = run(two(), pull, 10)
    first = study.ask()
    study.stop(first.number, {"left": 3.0, "right": 3.0}, "cannot reach the front")
    again = study.ask()
    apart = max(abs(first.params[name] - again.params[name]) for name in first.params)
    assert apart > 0.01
    stopped_value = study.trials[first.number].metrics
    assert stopped_value == {"left": 3.0, "right": 3.0}


def test_one_wild_value_does_not_flatten_the_model(square):
    def loss(params):
        return {"loss": (params["x"] - 0.3) ** 2 + (params["y"] - 0.8) ** 2}

    study = Study(square, BayesianSampler(initial=6))
    for number in range(18):
        trial = study.ask()
        study.tell(trial.number, {"loss": 1e8} if number == 3 else loss(trial.params))
    assert min(trial.metrics["loss"] for trial in study.trials) < 2e-3


def test_noise_that_is_stated_is_believed(square):
    """One lucky reading with a large error does not draw the search to it."""
    rng = np.random.default_rng(0)
    trials = []
    for number in range(20):
        params = square.domain.sample(rng)
        trials.append(Trial(number=number, params=params, state="finished", metrics={"loss": (params["x"] - 0.2) ** 2}))
    lucky = Trial(
        number=20, params={"x": 0.95, "y": 0.5}, state="finished", metrics={"loss": -0.5}, errors={"loss": 2.0}
    )
    suggested = BayesianSampler(initial=1).suggest(square, [*trials, lucky], np.random.default_rng(0))
    assert abs(suggested["x"] - 0.2) < 0.2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_trials_and_equal_values(count):
    trials = [
        Trial(
            number=k,
            params=UNIT.sample(np.random.default_rng(k)),
            state="finished",
            metrics={"left": 1.0, "right": 1.0},
        )
        for k in range(count)
    ]
    params = BayesianSampler(initial=1).suggest(two(), trials, np.random.default_rng(0))
    assert UNIT.validate(params) == params
    assert all(math.isfinite(value) for value in params.values())


def test_a_table_of_one_candidate():
    problem = Problem(domain=Table(({"layers": 2},)), metrics=(Metric(name="m"),))
    study = Study(problem, BayesianSampler())
    assert study.ask().params == {"layers": 2}
    with pytest.raises(Exhausted):
        study.ask()


def test_the_best_rows_of_a_table_come_early(table):
    def report(params):
        return {
            "quality": 1.0 - 1.0 / params["layers"],
            "size": float(params["layers"] * (1 + abs(params["heads"] - 3))),
        }

    everything = {row_key(row) for row in table.domain.rows if row["heads"] == 3}
    study = run(table, report, 16, BayesianSampler(initial=5))
    assert {row_key(trial.params) for trial in study.trials} >= everything


def test_the_start_is_quasi_random_and_of_the_seed():
    one, same, other = (run(two(), pull, 4, BayesianSampler(seed=seed)) for seed in (1, 1, 2))
    assert [t.params for t in one.trials] == [t.params for t in same.trials]
    assert one.trials[0].params != other.trials[0].params


def test_the_models_wait_until_half_of_the_start_has_ended():
    """With eight in flight, what has ended is little, though much was asked for."""

    def ahead(ended):
        study = Study(two(), BayesianSampler(initial=6), seed=0)
        for _ in range(10):
            study.ask()
        for number in range(ended):
            study.tell(number, pull(study.trials[number].params))
        asked = study.ask().params
        return asked == QuasiRandomSampler().suggest(two(), study.trials[:10], np.random.default_rng(0))

    assert ahead(2) and not ahead(3)


def test_a_cache_changes_nothing():
    """A sampler that saw all of a search, and one that sees its end for the first time."""
    old = BayesianSampler(initial=6)
    study = run(two(), pull, 9, old)
    fresh = BayesianSampler(initial=6)
    for seed in range(2):
        suggestions = [
            sampler.suggest(study.problem, study.trials, np.random.default_rng(seed)) for sampler in (old, fresh)
        ]
        assert suggestions[0] == suggestions[1]
