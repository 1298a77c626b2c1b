import numpy as np
import pytest

from subarch.optimize.surrogate.feasibility import learn_success
from subarch.optimize.surrogate.gaussian_process import fit


def learned(features, failed, first=None):
    groups = np.arange(features.shape[1], dtype=float)
    return learn_success(features, groups, np.asarray(failed), fit, len(features) if first is None else first)


def test_a_region_that_fails_is_told_from_one_that_does_not():
    features = np.random.default_rng(0).random((40, 4))
    success = learned(features, features[:, 1] > 0.7)
    points = np.full((2, 4), 0.5)
    points[:, 1] = (0.2, 0.95)
    safe, bad = np.exp(success(points))
    assert safe > 0.85 and bad < 0.2


def test_far_from_everything_it_is_the_rate_of_success():
    """All trials in one corner, a quarter of which failed at random."""
    rng = np.random.default_rng(1)
    features = 0.05 * rng.random((24, 2))
    far = np.exp(learned(features, np.arange(24) % 4 == 0)(np.full((1, 2), 1e3)))[0]
    assert far == pytest.approx((18 + 1) / (24 + 2), abs=0.05)


def test_without_a_failure_all_is_well_and_with_only_failures_distance_counts():
    features = np.random.default_rng(2).random((5, 3))
    assert learned(features, [False] * 5)(features).tolist() == [0.0] * 5
    only = learned(features, [True] * 5)
    assert only(features[:1])[0] < only(features[:1] + 2.0)[0] < 0.0


def test_a_first_failure_is_learned_though_the_fit_is_to_earlier_trials():
    features = np.linspace(0, 1, 12)[:, None]
    failed = np.arange(12) == 11
    success = learned(features, failed, first=10)
    assert success(np.array([[1.0]]))[0] < success(np.array([[0.2]]))[0]
