import numpy as np
import pytest

from subarch.optimize.hypervolume import hypervolume
from subarch.optimize.surrogate.boxes import open_boxes


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", [0, 5])
def test_the_boxes_are_disjoint_and_cover_what_is_open(objectives, grid):
    rng = np.random.default_rng(objectives)
    points = rng.random((12, objectives))
    if grid:
        points = np.round(points * grid) / grid  # ties in single objectives
    reference = np.full(objectives, 0.9)
    lower, upper = open_boxes(points, reference)
    probes = rng.random((4000, objectives))
    holding = ((probes[:, None] > lower) & (probes[:, None] <= upper)).all(axis=2).sum(axis=1)
    counted = points[(points < reference).all(axis=1)]
    dominated = (counted[None] <= probes[:, None]).all(axis=2).any(axis=1)
    expected = ~dominated & (probes < reference).all(axis=1)
    np.testing.assert_array_equal(holding, expected.astype(int))


def test_the_volume_of_the_boxes_and_of_the_front_is_the_whole():
    points = np.random.default_rng(0).random((15, 3))
    lower, upper = open_boxes(points, np.ones(3))
    volume = (upper - np.maximum(lower, 0.0)).prod(axis=1).sum()
    assert volume + hypervolume(points, np.ones(3)) == pytest.approx(1.0)


def test_three_objectives_need_two_boxes_a_member_and_one():
    directions = np.abs(np.random.default_rng(0).standard_normal((40, 3)))
    front = 1.0 - directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert len(open_boxes(front, np.full(3, 1.1))[0]) == 81


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_without_a_point_before_the_reference_all_is_one_box(objectives):
    lower, upper = open_boxes(np.full((2, objectives), 2.0), np.ones(objectives))
    assert lower.tolist() == [[-np.inf] * objectives]
    assert upper.tolist() == [[1.0] * objectives]
