import numpy as np

from subarch.optimize.surrogate.kernel import (
    contracted_gradient,
    matern,
    matern_and_slope,
    own_effects,
    squared_distances,
)


def test_squared_distances_and_their_weighted_sums():
    rng = np.random.default_rng(0)
    points = rng.random((7, 3))
    differences = (points[:, None] - points[None]) ** 2
    np.testing.assert_allclose(squared_distances(points, points), differences.sum(axis=2), atol=1e-14)
    weights = rng.random((7, 7))
    weights += weights.T
    expected = (weights[:, :, None] * differences).sum(axis=(0, 1))
    np.testing.assert_allclose(contracted_gradient(weights, points), expected)


def test_the_kernel_is_one_at_zero_and_its_slope_is_its_derivative():
    squared = np.array([0.0, 0.01, 0.5, 4.0, 400.0])
    values, slopes = matern_and_slope(squared)
    assert values[0] == 1.0 and values[-1] < 1e-15
    np.testing.assert_allclose(values, matern(squared))
    step = 1e-6
    derivative = (matern(squared[1:] + step) - matern(squared[1:] - step)) / (2 * step)
    np.testing.assert_allclose(slopes[1:], -2 * derivative, rtol=1e-5, atol=1e-12)


def test_own_effects_multiply_to_the_mean_of_a_kernel_a_group():
    rng = np.random.default_rng(1)
    numbers, category = rng.random((9, 2)), np.eye(3)[rng.integers(3, size=9)]
    # What is inactive has equal shares of all values.
    category[0] = 1 / 3
    features = np.hstack([numbers[:, :1], category, numbers[:, 1:]])
    groups = np.array([0, 1, 1, 1, 2])
    alone = [matern(squared_distances(2 * features[:, groups == g], 2 * features[:, groups == g])) for g in range(3)]
    effects = own_effects(features, groups)
    np.testing.assert_allclose(effects @ effects.T, np.mean(alone, axis=0), atol=1e-3)
    np.testing.assert_allclose((effects**2).sum(axis=1), 1.0)


def test_own_effects_beyond_the_range_are_those_of_its_ends():
    """A known size may lie outside of those that were tried."""
    effects = own_effects(np.array([[-3.0], [0.0], [1.0], [50.0]]), np.array([0]))
    np.testing.assert_allclose(effects[[0, 3]], effects[[1, 2]])
