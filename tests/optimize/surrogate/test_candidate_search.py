import numpy as np

from subarch.optimize.candidates_table import row_key
from subarch.optimize.domain import Choice, Domain, Float, Int, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidate_search import CandidateSearch, best_row
from subarch.optimize.surrogate.candidates import describe

DOMAIN = Domain(
    parameters={
        "x": Float(low=0.0, high=1.0),
        "rate": Float(low=1e-6, high=1.0, log=True),
        "n": Int(low=1, high=40),
        "kind": Choice(values=("a", "b", "c")),
    }
)
PROBLEM = Problem(domain=DOMAIN, metrics=(Metric(name="m"),))


def search(tried=(), seed=0):
    rng = np.random.default_rng(7)
    pool = describe(PROBLEM, [DOMAIN.sample(rng) for _ in range(200)])
    return CandidateSearch(
        problem=PROBLEM,
        domain=DOMAIN,
        pool=pool,
        tried={row_key(params) for params in tried},
        rng=np.random.default_rng(seed),
    )


def score(candidates):
    rows = candidates.params
    return np.array(
        [
            -abs(r["x"] - 1.0) - abs(np.log10(r["rate"]) + 3) / 6 - abs(r["n"] - 13) / 40 - (r["kind"] != "c")
            for r in rows
        ]
    )


def test_it_climbs_to_an_optimum_at_an_end_of_a_range():
    best = search().best(score, [])
    assert best["x"] == 1.0 and best["n"] == 13 and best["kind"] == "c"
    assert abs(np.log10(best["rate"]) + 3) < 0.1


def test_a_search_near_a_trial_stays_near_it():
    centre = {"x": 0.5, "rate": 1e-3, "n": 20, "kind": "a"}
    for seed in range(5):
        found = search(seed=seed).best(score, [centre], near=True)
        places = DOMAIN.encode(found)[:3] - DOMAIN.encode(centre)[:3]
        assert np.abs(places).max() < 0.95 and score(describe(PROBLEM, [found]))[0] > -0.6
    assert search().best(score, [], near=True) is not None


def test_a_search_near_a_trial_reaches_an_end_that_is_close():
    centre = {"x": 0.9, "rate": 1e-3, "n": 13, "kind": "c"}
    assert search().best(score, [centre], near=True)["x"] == 1.0


def test_what_was_tried_is_passed_over():
    first = search().best(score, [])
    second = search(tried=[first]).best(score, [first])
    assert row_key(second) != row_key(first)
    assert score(describe(PROBLEM, [second]))[0] > -0.1


def test_scores_of_minus_infinity_still_give_a_candidate():
    assert search().best(lambda candidates: np.full(len(candidates), -np.inf), []) is not None


def test_all_rows_of_a_table_are_looked_at():
    rows = tuple({"i": i} for i in range(9000))
    problem = Problem(domain=Table(rows), metrics=(Metric(name="m"),))
    assert best_row(problem, rows, lambda c: -abs(np.array([p["i"] for p in c.params]) - 8765.0)) == {"i": 8765}
