import numpy as np

from subarch.optimize.surrogate.kernel import contracted_gradient, matern, matern_and_slope, squared_distances


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
