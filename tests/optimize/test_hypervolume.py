import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.optimize.hypervolume import hypervolume, hypervolume_history

COUNT = {1: 6, 2: 9, 3: 8, 4: 7, 5: 5}


@st.composite
def clouds(draw, dimensions=(1, 2, 3, 4, 5)):
    """Points on a small grid, so that ties, equal points and points beyond the reference (5, 5, …) occur."""
    columns = draw(st.sampled_from(dimensions))
    point = st.tuples(*[st.integers(0, 6)] * columns)
    return np.array(draw(st.lists(point, max_size=COUNT[columns])), dtype=float).reshape(-1, columns)


def by_inclusion_and_exclusion(points, reference):
    """Sum over all subsets of the volume of their common box, in the sign of their size."""
    inside = [point for point in points if (point < reference).all()]
    total = 0.0
    for subset in range(1, 2 ** len(inside)):
        chosen = [point for index, point in enumerate(inside) if subset >> index & 1]
        total += (-1) ** (len(chosen) + 1) * math.prod(reference - np.max(chosen, axis=0))
    return total


@settings(max_examples=150, deadline=None, derandomize=True)
@given(points=clouds())
def test_the_volume_is_that_of_inclusion_and_exclusion(points):
    reference = np.full(points.shape[1], 5.0)
    assert hypervolume(points, reference) == pytest.approx(by_inclusion_and_exclusion(points, reference), abs=1e-9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(points=clouds())
def test_the_history_is_the_volume_of_each_beginning(points):
    reference = np.full(points.shape[1], 5.0)
    expected = [hypervolume(points[: count + 1], reference) for count in range(len(points))]
    assert hypervolume_history(points, reference) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(points=clouds(), data=st.data())
def test_the_order_of_points_and_of_objectives_does_not_matter(points, data):
    order = data.draw(st.permutations(range(len(points))))
    columns = data.draw(st.permutations(range(points.shape[1])))
    reference = np.full(points.shape[1], 5.0)
    shuffled = points[list(order)][:, list(columns)]
    assert hypervolume(shuffled, reference) == pytest.approx(hypervolume(points, reference), abs=1e-9)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_volume_is_that_of_random_darts(objectives):
    rng = np.random.default_rng(objectives)
    points = rng.random((12, objectives)) * [1.0, 100.0, 0.01, 5.0][:objectives]
    reference = points.max(axis=0) * 1.1
    darts = rng.random((40_000, objectives)) * reference
    hit = (darts[:, None, :] >= points[None]).all(axis=2).any(axis=1).mean()
    assert hypervolume(points, reference) / reference.prod() == pytest.approx(hit, abs=0.01)


def test_what_is_not_better_than_the_reference_adds_nothing():
    assert hypervolume([(1.0, 5.0), (6.0, -9.0), (math.nan, 0.0), (5.0, 5.0)], (5.0, 5.0)) == 0.0
    assert hypervolume([(4.0, 4.0), (6.0, -9.0), (math.nan, 0.0)], (5.0, 5.0)) == 1.0
    assert hypervolume_history([(6.0, 0.0), (4.0, 4.0), (math.nan, 0.0)], (5.0, 5.0)) == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_no_points(objectives):
    assert hypervolume(np.empty((0, objectives)), np.ones(objectives)) == 0.0
    assert hypervolume_history([], np.ones(objectives)) == []


@pytest.mark.parametrize("objectives", [2, 3])
def test_a_thousand_points_all_on_the_front_are_quick(objectives):
    points = np.abs(np.random.default_rng(0).standard_normal((1000, objectives)))
    points = -points / np.linalg.norm(points, axis=1, keepdims=True)
    started = time.process_time()
    history = hypervolume_history(points, np.zeros(objectives))
    assert time.process_time() - started < 3.0
    assert history[-1] == pytest.approx(hypervolume(points, np.zeros(objectives)))
    assert history[-1] == pytest.approx({2: math.pi / 4, 3: math.pi / 6}[objectives], rel=0.05)
