import itertools

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from subarch.optimize.surrogate.gaussian_process import (
    GaussianProcess,
    Hyperparameters,
    Observations,
    _loss_and_gradient,
    _own_of,
    fit,
)
from subarch.optimize.surrogate.kernel import matern, own_effects, squared_distances


def data(count=20, width=3, noise=0.0, variances=None, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((count, width))
    values = np.sin(6 * features[:, 0]) + noise * rng.standard_normal(count)
    known = np.zeros(count) if variances is None else variances
    return Observations(features=features, groups=np.arange(width, dtype=float), values=values, variances=known)


def some(width=3, noise=1e-2):
    return Hyperparameters(lengths=np.linspace(0.4, 0.9, width), scale=1.3, noise=noise)


def test_the_gradient_is_the_numerical_one():
    observed = data(variances=np.linspace(0, 0.2, 20))
    # Features 0 and 2 share a length, as the columns of a category do.
    shared = Observations(
        features=observed.features,
        groups=np.array([0.0, 1.0, 0.0]),
        values=observed.values,
        variances=observed.variances,
    )
    theta = np.array([-0.3, 0.4, 0.2, -3.0])
    own = _own_of(shared)
    numerical = approx_fprime(theta, lambda at: _loss_and_gradient(at, shared, own)[0], 1e-7)
    np.testing.assert_allclose(_loss_and_gradient(theta, shared, own)[1], numerical, rtol=1e-4, atol=1e-4)


def test_the_fit_finds_what_matters_and_how_noisy_it_is():
    clean, noisy = fit(data(40)), fit(data(60, noise=0.4))
    assert clean.lengths[0] < 1.0 < min(clean.lengths[1:])
    assert clean.noise < 1e-3 < 0.03 < noisy.noise
    assert fit(data(40)).lengths.tolist() == clean.lengths.tolist()


def test_bounds_that_are_asked_for_are_kept():
    observed = data(30)
    held = Observations(
        features=observed.features,
        groups=observed.groups,
        values=np.sign(observed.features[:, 0] - 0.5),
        variances=observed.variances,
        shortest=0.5,
        least_noise=0.1,
    )
    assert fit(held).lengths.min() >= 0.5 - 1e-12 and fit(held).noise >= 0.1 - 1e-12


def covariance_of(one, other, hyper):
    """Half a process of all features, half the own effects of each."""
    joint = matern(squared_distances(one / hyper.lengths, other / hyper.lengths))
    groups = np.arange(one.shape[1])
    return 0.5 * hyper.scale * (joint + own_effects(one, groups) @ own_effects(other, groups).T)


def test_predictions_are_those_of_the_textbook():
    observed, hyper = data(), some()
    process = GaussianProcess(observed, hyper)
    covariance = covariance_of(observed.features, observed.features, hyper)
    inverse = np.linalg.inv(covariance + (hyper.noise + 1e-8 * hyper.scale) * np.eye(20))
    mean = inverse.sum(axis=0) @ observed.values / inverse.sum()
    points = np.random.default_rng(1).random((5, 3))
    across = covariance_of(points, observed.features, hyper)
    means, deviations = process.predict(points)
    np.testing.assert_allclose(means[0], mean + across @ inverse @ (observed.values - mean))
    np.testing.assert_allclose(deviations**2, hyper.scale - np.einsum("ij,jk,ik->i", across, inverse, across))


def test_a_known_variance_lets_go_of_a_value():
    variances = np.zeros(20)
    variances[4] = 100.0
    observed = data(variances=variances)
    sure, unsure = (GaussianProcess(data(variances=v), some(noise=1e-6)) for v in (np.zeros(20), variances))
    at = observed.features[4:5]
    assert unsure.predict(at)[1][0] > 3 * sure.predict(at)[1][0]


def test_joint_samples_have_the_posterior_moments():
    process = GaussianProcess(data(8), some(noise=0.2))
    points = np.random.default_rng(2).random((3, 3))
    means, deviations = process.predict(points)
    samples, _ = process.sampled(points, np.random.default_rng(3).standard_normal((20000, 3)))
    np.testing.assert_allclose(samples.mean(axis=0), means[0], atol=0.03)
    np.testing.assert_allclose(samples.std(axis=0), deviations, rtol=0.03)


def test_conditioning_on_a_sample_is_observing_it():
    observed, hyper = data(10), some(noise=1e-8)
    points = np.random.default_rng(2).random((2, 3))
    samples, further = GaussianProcess(observed, hyper).sampled(points, np.array([[0.5, -1.0], [1.0, 2.0]]))
    elsewhere = np.random.default_rng(3).random((4, 3))
    means, deviations = further.predict(elsewhere)
    assert means.shape == (2, 4)
    np.testing.assert_allclose(further.predict(points)[0], samples, atol=1e-3)
    assert (deviations <= GaussianProcess(observed, hyper).predict(elsewhere)[1] + 1e-12).all()


def test_leaving_one_out_is_fitting_without_it():
    observed, hyper = data(12), some()
    process = GaussianProcess(observed, hyper)
    mean, variance = process.left_out(observed.values)
    others = np.arange(12) != 3
    rest = Observations(
        features=observed.features[others],
        groups=observed.groups,
        values=observed.values[others],
        variances=observed.variances[others],
    )
    alone = GaussianProcess(rest, hyper)
    expected, deviation = alone.predict(observed.features[3:4])
    # The constant mean is not fitted again for each.
    assert mean[3] == pytest.approx(expected[0, 0], abs=0.05)
    assert variance[3] == pytest.approx(deviation[0] ** 2 + hyper.noise, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_equal_observations(count):
    observed = Observations(
        features=np.full((count, 2), 0.5),
        groups=np.arange(2.0),
        values=np.zeros(count),
        variances=np.zeros(count),
    )
    means, deviations = GaussianProcess(observed, fit(observed)).predict(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert np.isfinite(means).all() and (deviations > 0).all()


def test_values_at_the_ends_alone_leave_the_middle_unknown():
    """Else a search that tried corners would see a flat function between them, and go on with corners."""
    features = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    features[:, 0] = np.random.default_rng(0).random(32)
    values = 2 * features[:, 0] + np.sin(3 * features[:, 0])
    observed = Observations(
        features=features,
        groups=np.arange(5.0),
        values=(values - values.mean()) / values.std(),
        variances=np.zeros(32),
    )
    process = GaussianProcess(observed, fit(observed))
    assert process.hyperparameters.lengths[1:].min() > 10.0
    assert process.predict(features)[1].max() < 0.01
    assert process.predict(np.full((1, 5), 0.5))[1][0] > 0.3


def test_effects_that_add_up_are_learned_from_few_values():
    """Forty values of a bowl in six dimensions; a process of all features together alone reaches 0.87 to 0.97."""
    rng = np.random.default_rng(2)
    points, elsewhere = rng.random((40, 6)), rng.random((400, 6))
    values, expected = (((x - 0.5) ** 2).sum(axis=1) for x in (points, elsewhere))
    scaled = (values - values.mean()) / values.std()
    observed = Observations(features=points, groups=np.arange(6.0), values=scaled, variances=np.zeros(40))
    means, _ = GaussianProcess(observed, fit(observed)).predict(elsewhere)
    assert np.corrcoef(means[0], expected)[0, 1] > 0.99
