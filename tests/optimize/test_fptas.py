import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from subarch.errors import ConfigError
from subarch.optimize.fptas import (
    ERROR_FLOOR,
    Cost,
    Measured,
    choose,
    every_epsilon,
    extract,
    mean_with_interval,
    w_coefficient,
)

T = Cost(parameters=100, latency_ms=10.0)
# Table 1 of arXiv 2010.10499: million parameters, seconds, published W, and the ê that W implies with T = (355, 6.170)
BORT_T = Cost(parameters=355_000_000, latency_ms=6170.0)
BORT_FACTORS = {
    "A1": (0.8419, 0.9501, 8.6, 0.093),
    "A2": (0.9008, 0.9491, 7.5, 0.114),
    "A3": (0.9008, 0.9485, 6.6, 0.129),
}
BORT_FACTORS["BERT-base"] = (0.6901, 0.6084, 0.7, 0.600)

COSTS = st.tuples(
    st.integers(10, 130), st.sampled_from([1.0, 4.0, 9.0, 10.0, 12.0]), st.sampled_from([0.0, 0.1, 0.5, 2.0])
)


def measured(parameters, latency_ms, error, half=0.0):
    return Measured(
        cost=Cost(parameters=parameters, latency_ms=latency_ms),
        error=error,
        error_interval=(max(0.0, error - half), error + half),
    )


def of_table(table):
    return lambda item: table[item[0]]


def test_w_by_hand():
    # (100 - 40) / 100 · (10 - 5) / 10 · 1 / 0.2
    assert w_coefficient(Cost(parameters=40, latency_ms=5.0), 0.2, T) == pytest.approx(1.5)


@pytest.mark.parametrize("name", BORT_FACTORS)
def test_w_agrees_with_the_table_of_bort(name):
    smaller, faster, published, error = BORT_FACTORS[name]
    cost = Cost(parameters=round(BORT_T.parameters * (1 - smaller)), latency_ms=BORT_T.latency_ms * (1 - faster))
    assert w_coefficient(cost, error, BORT_T) == pytest.approx(published, rel=0.01)


def test_w_grows_as_each_objective_improves():
    base = w_coefficient(Cost(parameters=50, latency_ms=5.0), 0.5, T)
    assert w_coefficient(Cost(parameters=49, latency_ms=5.0), 0.5, T) > base
    assert w_coefficient(Cost(parameters=50, latency_ms=4.9), 0.5, T) > base
    assert w_coefficient(Cost(parameters=50, latency_ms=5.0), 0.49, T) > base


def test_worse_than_the_maximum_point_in_both_ranks_below_everything():
    both = w_coefficient(Cost(parameters=200, latency_ms=20.0), 1e-3, T)
    one = w_coefficient(Cost(parameters=50, latency_ms=11.0), 1e-3, T)
    poor = w_coefficient(Cost(parameters=99, latency_ms=9.9), 50.0, T)
    assert both < one < 0 < poor


def test_as_large_as_the_maximum_point_is_no_gain():
    assert w_coefficient(T, 0.1, T) == 0
    assert w_coefficient(Cost(parameters=100, latency_ms=1.0), 0.1, T) == 0


def test_no_error_at_all_is_finite():
    assert w_coefficient(Cost(parameters=50, latency_ms=5.0), 0.0, T) == pytest.approx(0.25 / ERROR_FLOOR)


@settings(deadline=None, derandomize=True)
@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=30), data=st.data())
def test_every_epsilon_takes_one_of_each_interval(sizes, data):
    epsilon = data.draw(st.integers(1, len(sizes)))
    taken = every_epsilon(sizes, float, epsilon)
    assert len(taken) == -(-len(sizes) // epsilon)
    assert taken == sorted(sizes)[::epsilon]


def test_epsilon_one_is_exhaustive_and_the_largest_leaves_the_smallest():
    assert every_epsilon("bca", ord, 1) == ["a", "b", "c"]
    assert every_epsilon("bca", ord, 3) == ["a"]


@pytest.mark.parametrize("epsilon", [0, -1, 4])
def test_an_epsilon_outside_the_space_is_refused(epsilon):
    with pytest.raises(ConfigError, match=rf"epsilon is {epsilon}, expected 1 to .*\(3\)"):
        every_epsilon("abc", ord, epsilon)


def test_the_largest_w_is_extracted():
    table = {"big": measured(90, 9.0, 0.1), "good": measured(20, 2.0, 0.2), "bad": measured(10, 1.0, 5.0)}
    extraction = extract(list(table), T, of_table(table))
    chosen = extraction.trials[extraction.chosen]
    assert (chosen.candidate, chosen.hyperparameters) == ("good", 0)
    assert chosen.w == pytest.approx(0.8 * 0.8 / 0.2)
    assert [trial.candidate for trial in extraction.trials] == ["big", "good", "bad"]


def test_each_candidate_is_measured_once_under_each_hyperparameter():
    calls = []

    def measure(item):
        calls.append(item)
        return measured(50, 5.0, 1.0 if item != ("b", 1) else 0.5)

    extraction = extract(["a", "b"], T, measure, hyperparameters=2)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    winner = extraction.trials[extraction.chosen]
    assert (winner.candidate, winner.hyperparameters) == ("b", 1)


def test_what_was_not_measured_gets_no_score():
    table = {"a": measured(50, 5.0, 1.0), "lost": None, "c": measured(50, 5.0, 2.0)}

    def run(measure, work):
        return [(item, measure(item)) for item in work if item[0] != "lost"]

    extraction = extract(list(table), T, of_table(table), run=run)
    assert [trial.candidate for trial in extraction.trials] == ["a", "c"]
    with pytest.raises(ConfigError, match="no candidate could be measured"):
        extract(["lost"], T, of_table(table), run=run)


def test_an_empty_space_is_refused_with_a_hint():
    with pytest.raises(ConfigError, match="empty") as error:
        extract([], T, of_table({}))
    assert error.value.hint


def of_rows(errors, units="rows", parameters=50):
    """A candidate as a workshop measures it."""
    errors = np.asarray(errors)
    mean, interval = mean_with_interval(errors)
    cost = Cost(parameters=parameters, latency_ms=5.0)
    return Measured(cost=cost, error=mean, error_interval=interval, errors=tuple(errors), units=units)


def tied_of(table):
    extraction = extract(list(table), T, of_table(table))
    names = list(table)
    return names[extraction.chosen], {names[index] for index in extraction.tied}


HARD = np.random.default_rng(0).lognormal(0.0, 1.0, 400)
"""Errors that differ much more between rows than candidates do."""


def test_candidates_that_differ_on_each_row_are_not_tied_although_their_intervals_overlap():
    table = {"best": of_rows(HARD), "a little worse": of_rows(HARD + 0.03)}
    assert table["a little worse"].error_interval[0] < table["best"].error_interval[1]
    assert tied_of(table) == ("best", set())


def test_candidates_that_differ_by_chance_alone_are_tied():
    noise = np.random.default_rng(1).normal(0, 0.2, 400)
    table = {"best": of_rows(HARD), "as good": of_rows(np.abs(HARD + noise) + 0.001), "same": of_rows(HARD)}
    winner, tied = tied_of(table)
    assert tied == set(table) - {winner}


def test_what_the_size_makes_good_ties_with_what_the_error_makes_good():
    """W = (1 - p/100)/2 / ê: half the parameters left out and an error of 1 are as good as 0.9 and 1.8."""
    noise = np.random.default_rng(2).normal(0, 0.1, 400)
    table = {"large": of_rows(HARD), "small": of_rows(1.8 * (HARD + noise - noise.mean()), parameters=10)}
    assert len(tied_of(table)[1]) == 1
    assert tied_of(table | {"large": of_rows(0.95 * HARD)}) == ("large", set())
    # Where only the means of ê were compared, these would not be tied.
    assert table["small"].error_interval[0] > table["large"].error_interval[1]


def test_equal_candidates_are_called_tied_as_often_as_promised():
    rng, apart = np.random.default_rng(3), 0
    for _ in range(400):
        hard = rng.lognormal(0, 1, 60)
        table = {name: of_rows(hard * rng.lognormal(0, 0.2, 60)) for name in "ab"}
        apart += not tied_of(table)[1]
    assert 0.02 <= apart / 400 <= 0.085  # 5 %, three standard errors


def test_errors_of_other_rows_are_never_paired():
    """Then overlapping intervals decide, which the pair alone would not."""
    table = {"best": of_rows(HARD), "elsewhere": of_rows(HARD + 0.03, units="other rows")}
    assert tied_of(table) == ("best", {"elsewhere"})
    assert tied_of(table | {"elsewhere": of_rows(HARD[:399] + 0.03)}) == ("best", {"elsewhere"})
    assert tied_of(table | {"elsewhere": measured(50, 5.0, 1.02 * table["best"].error, half=0.1)})[1] == {"elsewhere"}


def test_a_single_row_tells_nothing_apart():
    assert mean_with_interval(np.asarray([2.0])) == (2.0, (0.0, math.inf))
    table = {"best": of_rows([1.0]), "worse": of_rows([9.0])}
    assert tied_of(table) == ("best", {"worse"})


def test_no_gain_over_the_maximum_point_ties_with_nothing_that_gains():
    table = {"best": of_rows([1.0]), "no smaller": of_rows([0.1], parameters=100)}
    assert tied_of(table) == ("best", set())
    assert tied_of({"one": of_rows(HARD, parameters=120), "other": of_rows(2 * HARD, parameters=120)})[1] == {"other"}


def test_the_interval_of_a_mean_is_students():
    errors = HARD[:7]
    mean, interval = mean_with_interval(errors)
    expected = stats.t.interval(0.95, 6, errors.mean(), stats.sem(errors))
    assert mean == pytest.approx(errors.mean()) and interval == pytest.approx((max(0, expected[0]), expected[1]))


def test_without_errors_of_rows_ties_are_overlapping_intervals_of_w():
    table = {
        "first": measured(50, 5.0, 1.0, half=0.1),
        "near": measured(50, 5.0, 1.15, half=0.1),
        "far": measured(50, 5.0, 2.0, half=0.1),
        "sure of nothing": measured(50, 5.0, 2.0, half=1.5),
    }
    extraction = extract(list(table), T, of_table(table))
    assert extraction.chosen == 0
    assert extraction.tied == (1, 3)
    low, high = extraction.trials[0].w_interval
    assert low == pytest.approx(0.25 / 1.1)
    assert high == pytest.approx(0.25 / 0.9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(numbers=st.lists(COSTS, min_size=1, max_size=10), data=st.data())
def test_the_chosen_has_the_largest_w_whatever_the_order(numbers, data):
    table = {index: measured(*row, half=0.05) for index, row in enumerate(numbers)}
    straight = extract(list(table), T, of_table(table))
    order = data.draw(st.permutations(list(table)))
    shuffled = extract(order, T, of_table(table), run=lambda measure, work: [(i, measure(i)) for i in reversed(work)])
    largest = max(trial.w for trial in straight.trials)
    for extraction in (straight, shuffled):
        assert extraction.trials[extraction.chosen].w == largest
        assert extraction.chosen not in extraction.tied
        for trial in extraction.trials:
            assert trial.w_interval[0] <= trial.w <= trial.w_interval[1]

    def on_front(extraction):
        return {extraction.trials[index].candidate for index in extraction.front}

    assert on_front(straight) == on_front(shuffled)


def test_choose_puts_the_front_beside_the_winner():
    table = {"small": measured(10, 9.0, 9.0), "fast": measured(90, 1.0, 9.0), "worst": measured(90, 9.0, 9.0)}
    extraction = choose(extract(list(table), T, of_table(table)).trials)
    assert extraction.front == (0, 1)


def test_the_published_w_of_table_1_follow_from_its_numbers():
    """With ê = factors / W, rounded as published, W comes back; ê grows down the table."""
    maximum = Cost(parameters=355_000_000, latency_ms=6170.0)
    published = {
        "A1": (56_140_000, 308.0, 8.6, 0.093),
        "A2": (35_200_000, 314.0, 7.5, 0.114),
        "A3": (35_200_000, 318.0, 6.6, 0.129),
        "BERT-base": (110_000_000, 2416.0, 0.7, 0.600),
    }
    for parameters, latency_ms, w, error in published.values():
        cost = Cost(parameters=parameters, latency_ms=latency_ms)
        assert w_coefficient(cost, 1.0, maximum) / w == pytest.approx(error, abs=5e-4)
        assert round(w_coefficient(cost, error, maximum), 1) == w
    trials = extract(
        list(published),
        maximum,
        lambda item: Measured(
            cost=Cost(parameters=published[item[0]][0], latency_ms=published[item[0]][1]),
            error=published[item[0]][3],
            error_interval=(published[item[0]][3],) * 2,
        ),
    )
    assert trials.trials[trials.chosen].candidate == "A1"
    # BERT-base is worse in all three; A3 is worse than A2 in latency and error
    assert [trials.trials[index].candidate for index in trials.front] == ["A1", "A2"]
