import numpy as np
import pytest
from scipy.integrate import quad

from subarch.optimize.hypervolume import hypervolume
from subarch.optimize.surrogate.acquisition import (
    log_expected_improvement,
    log_hypervolume_improvement,
    log_probability_below,
)
from subarch.optimize.surrogate.boxes import open_boxes


@pytest.mark.parametrize("level", [3.0, 0.0, -0.99, -1.01, -4.0, -8.0])
def test_expected_improvement_is_the_integral(level):
    density = np.exp(-0.5 * level**2) / np.sqrt(2 * np.pi)
    # E[(level - Y)+] = density(level) * integral of t exp(level t - t²/2), which does not underflow
    integral = quad(lambda t: t * np.exp(level * t - 0.5 * t * t), 0, 40)[0]
    got = log_expected_improvement(np.array([level]), np.zeros(1), np.ones(1))[0]
    assert got == pytest.approx(np.log(density) + np.log(integral), rel=1e-9)


def test_the_logarithm_goes_on_where_the_number_is_zero():
    levels = -np.logspace(0, 8, 400)
    values = log_expected_improvement(levels, np.zeros(400), np.ones(400))
    assert np.isfinite(values).all() and (np.diff(values) < 0).all()
    assert log_expected_improvement(np.array([-np.inf]), np.zeros(1), np.ones(1))[0] == -np.inf


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_hypervolume_improvement_is_what_sampling_gives(objectives):
    rng = np.random.default_rng(objectives)
    front, reference = rng.random((6, objectives)), np.full(objectives, 0.9)
    mean, deviation = np.full((1, objectives), 0.4), np.full((1, objectives), 0.3)
    before = hypervolume(front, reference)
    drawn = mean + deviation * rng.standard_normal((4000, objectives))
    gains = [hypervolume(np.vstack([front, point]), reference) - before for point in drawn]
    got = np.exp(log_hypervolume_improvement(open_boxes(front, reference), mean, deviation))[0]
    assert got == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(len(gains)))


def test_what_is_certain_gives_its_exact_improvement():
    front, reference = np.array([[0.2, 0.6], [0.6, 0.2]]), np.ones(2)
    point = np.array([[0.3, 0.3]])
    expected = hypervolume(np.vstack([front, point]), reference) - hypervolume(front, reference)
    got = np.exp(log_hypervolume_improvement(open_boxes(front, reference), point, np.full((1, 2), 1e-6)))
    assert got[0] == pytest.approx(expected, rel=1e-5)


def test_a_dominated_candidate_is_ranked_by_how_far_it_is():
    front, reference = np.array([[0.2, 0.6], [0.6, 0.2]]), np.ones(2)
    mean = np.array([[0.7, 0.7], [0.8, 0.8], [5.0, 5.0], [50.0, 50.0]])
    values = log_hypervolume_improvement(open_boxes(front, reference), mean, np.full((4, 2), 0.01))
    assert np.isfinite(values).all() and (np.diff(values) < 0).all()


def test_probability_below():
    np.testing.assert_allclose(
        np.exp(log_probability_below(0.0, np.array([0.0, -1.96]), np.ones(2))), [0.5, 0.975], atol=1e-4
    )
    assert log_probability_below(0.0, np.array([1e3]), np.ones(1))[0] < -1e5
