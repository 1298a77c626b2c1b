import numpy as np
import pytest

from subarch.optimize.surrogate.warping import Warping

VALUES = np.concatenate([np.random.default_rng(0).standard_normal(50), [1e9]])


def test_the_good_side_keeps_its_proportions_and_the_wild_one_is_bounded():
    warping = Warping.of(VALUES)
    better = np.sort(VALUES)[:25]
    scaled = warping(better)
    np.testing.assert_allclose(np.diff(scaled) * warping.width, np.diff(better))
    assert warping(VALUES).max() < warping.knee + warping.room
    assert np.std(warping(VALUES[:-1])) > 0.3


def test_it_increases_everywhere_and_its_slope_is_its_derivative():
    warping = Warping.of(VALUES)
    at = np.linspace(-5, 50, 200)
    assert (np.diff(warping(at)) > 0).all()
    numerical = (warping(at + 1e-6) - warping(at - 1e-6)) / 2e-6
    np.testing.assert_allclose(warping.slope(at), numerical, rtol=1e-4)


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [0.0, 0.0], [1.0, 1.0, 1.0, 5.0], [-1e300, 1e300]])
def test_equal_and_extreme_values(values):
    warped = Warping.of(np.array(values))(np.array(values))
    assert np.isfinite(warped).all()
    assert list(np.argsort(warped, kind="stable")) == list(np.argsort(values, kind="stable"))
