import time
from dataclasses import replace

import numpy as np
import pytest

from subarch.optimize.domain import Choice, Condition, Domain, Float, Int, Table
from subarch.optimize.importance import FAILED, importance
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial

SCORE = (Metric(name="score"),)


def box(count):
    return Domain(parameters={f"x{index}": Float(low=0.0, high=1.0) for index in range(count)})


def tried(domain, count, function, noise=0.0, seed=0):
    """Finished trials at drawn configurations; noise is relative to the spread of the function."""
    rng = np.random.default_rng(seed)
    drawn = [domain.sample(rng) for _ in range(count)]
    values = np.array([function(params) for params in drawn])
    values = values + noise * values.std() * rng.standard_normal(count)
    return [
        Trial(number=number, params=params, state="finished", metrics={"score": float(value)})
        for number, (params, value) in enumerate(zip(drawn, values, strict=True))
    ]


def of_score(domain, trials, **settings):
    rows = importance(Problem(domain=domain, metrics=SCORE), trials, **settings)["score"]
    assert {row.parameter for row in rows} == set(domain.parameters)
    assert [row.importance for row in rows] == sorted((row.importance for row in rows), reverse=True)
    assert sum(row.importance for row in rows) <= 1 + 1e-9
    for row in rows:
        assert 0 <= row.low <= row.importance <= row.high <= 1
        assert not (row.inert and row.unknown)
    return {row.parameter: row for row in rows}


def ishigami(params):
    """The usual test of sensitivity analysis: x0 and x2 interact, x2 does nothing alone."""
    first, second, third = ((2 * params[f"x{index}"] - 1) * np.pi for index in range(3))
    return np.sin(first) + 7 * np.sin(second) ** 2 + 0.1 * third**4 * np.sin(first)


def test_additive_effects_get_their_sobol_indices_and_their_directions():
    domain = box(6)
    weights = np.array([3.0, -2.0, 1.0, 0.0, 0.0, 0.0])
    trials = tried(domain, 120, lambda params: weights @ list(params.values()), noise=0.2)
    rows = of_score(domain, trials)
    shares = weights**2 / (weights**2).sum()
    for index, share in enumerate(shares):
        assert rows[f"x{index}"].importance == pytest.approx(share, abs=0.06)
        assert rows[f"x{index}"].interaction < 0.1
    assert [rows[f"x{index}"].direction for index in range(4)] == ["up", "down", "up", None]
    assert not any(rows[name].inert or rows[name].unknown for name in ("x0", "x1", "x2"))
    assert sum(rows[name].inert for name in ("x3", "x4", "x5")) >= 2


def test_interactions_are_told_apart():
    domain = box(3)
    rows = of_score(domain, tried(domain, 250, ishigami, noise=0.1))
    # First-order indices 0.31, 0.44, 0; total ones 0.56, 0.44, 0.24.
    assert rows["x0"].importance == pytest.approx(0.436, abs=0.12)
    assert rows["x1"].importance == pytest.approx(0.442, abs=0.12)
    assert 0.03 < rows["x2"].importance < 0.2
    assert rows["x1"].direction == "mixed"
    assert rows["x1"].interaction < 0.1 < rows["x2"].interaction + rows["x0"].interaction
    assert not any(row.inert for row in rows.values())


def study_like(params):
    """17 parameters, of which x13 to x16 do nothing; the learning rate (x0) has a best value."""
    rate, layers, heads, dropout, *rest = list(params.values())[:13]
    fits = 1 / (1 + np.exp(-25 * (rate - 0.25))) / (1 + np.exp(25 * (rate - 0.65)))
    quality = fits * (1 - np.exp(-4 * layers - 0.3)) * (1 - 0.3 * (1 - heads) ** 2) * (1 - 0.7 * dropout**2)
    return quality + 0.02 * sum(rest)


def test_inert_parameters_among_seventeen_are_named_quickly():
    domain = box(17)
    trials = tried(domain, 300, study_like, noise=0.2)
    start = time.process_time()
    rows = of_score(domain, trials)
    assert time.process_time() - start < 2
    inert = {name for name, row in rows.items() if row.inert}
    assert len(inert & {"x13", "x14", "x15", "x16"}) >= 3
    assert not inert & {"x0", "x1", "x3"}
    assert rows["x0"].direction == "mixed" and rows["x0"].importance > 0.6
    assert rows["x1"].direction == "up" and rows["x3"].direction == "down"
    for name in inert:
        assert rows[name].importance < 0.03 and rows[name].direction is None


def test_with_few_trials_nothing_is_called_inert():
    domain = box(17)
    rows = of_score(domain, tried(domain, 45, study_like, noise=0.2))
    assert not any(row.inert for row in rows.values())
    assert rows["x16"].unknown == "45 trials have it, expected at least 51 for 17 parameters"
    assert rows["x0"].unknown is None and rows["x0"].direction == "mixed"


def test_a_handful_of_trials_says_nothing():
    domain = box(2)
    rows = of_score(domain, tried(domain, 6, lambda params: params["x0"]))
    assert all(row.unknown == "6 trials, expected at least 10" and row.high == 1 for row in rows.values())


def test_pure_noise_shows_no_effect_and_no_inertness():
    domain = box(5)
    rng = np.random.default_rng(3)
    rows = of_score(domain, tried(domain, 100, lambda params: rng.standard_normal()))
    assert all(row.unknown and "explain no clear part" in row.unknown for row in rows.values())


def test_a_metric_that_never_changes_has_inert_parameters():
    domain = box(2)
    rows = of_score(domain, tried(domain, 20, lambda params: 0.5))
    assert all(row.inert and row.high == 0 for row in rows.values())


def test_choices_have_a_direction_only_where_they_are_ordered():
    domain = Domain(
        parameters={
            "start": Choice(values=("inherited", "random", "spread")),
            "batch": Choice(values=(8, 16, 32, 64), ordered=True),
            "layers": Int(low=1, high=12),
            "fixed": Float(low=0.1, high=0.1),
        }
    )
    level = {"inherited": 1.0, "random": -1.0, "spread": 0.0}
    trials = tried(
        domain, 90, lambda params: level[params["start"]] + 0.02 * params["batch"] - 0.1 * params["layers"], 0.1
    )
    rows = of_score(domain, trials)
    assert rows["start"].direction is None and not rows["start"].inert and rows["start"].importance > 0.4
    assert rows["batch"].direction == "up"
    assert rows["layers"].direction == "down"
    assert rows["fixed"].unknown == "it has one value in all trials" and rows["fixed"].importance == 0


def test_a_conditional_parameter_counts_where_it_is_active():
    domain = Domain(
        parameters={
            "optimiser": Choice(values=("sgd", "adam")),
            "momentum": Float(low=0.0, high=1.0),
            "epsilon": Float(low=0.0, high=1.0),
        },
        conditions={
            "momentum": Condition(parent="optimiser", values=("sgd",)),
            "epsilon": Condition(parent="optimiser", values=("adam",)),
        },
    )
    trials = tried(
        domain, 200, lambda params: 1.0 * (params["optimiser"] == "sgd") + 1.5 * params.get("momentum", 0.5), 0.1
    )
    rows = of_score(domain, trials)
    # Var(optimiser) = 1/4; momentum adds 1.5²/12 in half of the trials.
    assert rows["optimiser"].importance == pytest.approx(0.73, abs=0.12)
    assert rows["momentum"].importance == pytest.approx(0.27, abs=0.12)
    assert rows["momentum"].direction == "up"
    assert rows["epsilon"].inert


def test_known_metrics_need_no_trials():
    domain = Domain(
        parameters={"layers": Int(low=1, high=12), "width": Int(low=1, high=12), "rate": Float(low=0.0, high=1.0)}
    )
    problem = Problem(
        domain=domain,
        metrics=(*SCORE, Metric(name="size", direction="minimize")),
        known={"size": lambda params: params["layers"] * params["width"]},
    )
    found = importance(problem, [])
    assert all(row.unknown for row in found["score"])
    rows = {row.parameter: row for row in found["size"]}
    assert rows["layers"].direction == rows["width"].direction == "up"
    assert rows["layers"].importance == pytest.approx(0.5, abs=0.1)
    assert rows["rate"].inert


def test_a_table_of_candidates():
    rows = tuple({"layers": layers, "heads": heads} for layers in range(1, 9) for heads in range(1, 9))
    problem = Problem(domain=Table(rows), metrics=SCORE, known={"score": lambda params: params["layers"]})
    first, second = importance(problem, [])["score"]
    assert (first.parameter, first.direction) == ("layers", "up")
    assert first.importance > 0.95
    assert second.inert


def test_what_makes_trials_fail():
    domain = box(3)
    trials = tried(domain, 80, lambda params: params["x1"])
    trials = [
        replace(trial, state="failed", metrics={}, reason="out of memory") if trial.params["x0"] > 0.75 else trial
        for trial in trials
    ]
    problem = Problem(domain=domain, metrics=SCORE)
    found = importance(problem, trials)
    assert found[FAILED][0].parameter == "x0" and found[FAILED][0].direction == "up"
    assert found[FAILED][0].importance > 0.8
    assert found["score"][0].parameter == "x1"
    assert FAILED not in importance(problem, [trial for trial in trials if trial.state != "failed"])


def test_only_final_values_count():
    domain = box(2)
    trials = tried(domain, 40, lambda params: params["x0"], noise=0.1)
    partial = [
        replace(trial, number=40 + trial.number, state=state, metrics={"score": 50 * trial.params["x1"]})
        for trial in trials
        for state in ("stopped", "running")
    ]
    broken = [replace(trials[0], number=999, metrics={"score": float("nan")})]
    assert of_score(domain, trials + partial + broken) == of_score(domain, trials)


def test_the_seed_decides():
    domain = box(2)
    trials = tried(domain, 30, lambda params: params["x0"], noise=0.5)
    assert of_score(domain, trials, seed=1) == of_score(domain, trials, seed=1)
    assert of_score(domain, trials, seed=1) != of_score(domain, trials, seed=2)
