import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.optimize.pareto import pareto_front

# few distinct values, so that ties and equal points occur
POINTS = st.integers(1, 4).flatmap(lambda count: st.lists(st.tuples(*[st.integers(0, 4)] * count), max_size=14))


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@settings(max_examples=200, deadline=None, derandomize=True)
@given(points=POINTS)
def test_the_front_is_what_nothing_dominates(points):
    expected = [i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)]
    assert pareto_front(points) == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(points=POINTS, data=st.data())
def test_the_order_of_the_points_does_not_matter(points, data):
    order = data.draw(st.permutations(range(len(points))))
    shuffled = pareto_front([points[index] for index in order])
    assert {order[index] for index in shuffled} == set(pareto_front(points))


def test_equal_points_stay_together():
    assert pareto_front([(1, 2), (1, 2), (2, 2)]) == [0, 1]


def test_an_unknown_objective_is_never_on_the_front_and_hides_nobody():
    assert pareto_front([(1.0, math.nan), (5.0, 5.0)]) == [1]
    assert pareto_front([(math.nan,)]) == []


def test_zeros_of_either_sign_are_equal():
    points = [(0.0, 1.0), (-0.0, 1.0), (1.0, -0.0), (1.0, 0.0)]
    assert pareto_front(points) == pareto_front([(*point, 0.0) for point in points]) == [0, 1, 2, 3]
    assert pareto_front([(-0.0,), (0.0,)]) == [0, 1]


@pytest.mark.parametrize("points", [[], [(3.0, math.inf)], [(1.0, math.inf), (2.0, 0.0)]])
def test_none_and_one(points):
    assert pareto_front(points) == list(range(len(points)))
