import numpy as np
import pytest
from scipy.stats import truncnorm

from subarch.optimize.surrogate.censoring import _site


@pytest.mark.parametrize("bound", [-0.5, 0.0, 1.0, 3.0])
def test_a_site_gives_the_moments_of_the_truncated_normal(bound):
    mean, deviation = 0.2, 0.7
    value, variance = _site(mean, deviation, bound)
    precision = 1 / deviation**2 + 1 / variance
    expected = truncnorm((bound - mean) / deviation, np.inf, loc=mean, scale=deviation)
    assert 1 / precision == pytest.approx(expected.var(), rel=1e-6)
    assert (mean / deviation**2 + value / variance) / precision == pytest.approx(expected.mean(), rel=1e-6)


def test_where_nothing_better_was_expected_nothing_is_added():
    assert _site(5.0, 0.5, 0.0) is None
    assert _site(500.0, 0.5, 0.0) is None


def test_a_bound_far_beyond_what_was_expected_is_finite():
    value, variance = _site(0.0, 0.01, 10.0)
    assert np.isfinite([value, variance]).all() and value == pytest.approx(10.0, rel=0.01)
