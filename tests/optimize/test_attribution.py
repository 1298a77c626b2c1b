import numpy as np
import pytest

from subarch.optimize.attribution import Design, attribute, attribute_by


def design_of(values, active=None):
    count, parameters = values.shape
    return Design(
        values=values.astype(np.float32),
        active=np.ones((count, parameters), dtype=bool) if active is None else active,
        columns=tuple(np.array([index]) for index in range(parameters)),
        numeric=(True,) * parameters,
    )


def shares(attribution, terms):
    return terms.mean(0) / attribution.explained.mean()


def test_main_and_total_effects_of_a_product():
    rng = np.random.default_rng(0)
    values = rng.random((400, 3))
    y = (values[:, 0] - 0.5) * (values[:, 1] - 0.5)
    found = attribute(design_of(values), y / y.std(), 40, rng)
    assert shares(found, found.main) == pytest.approx([0, 0, 0], abs=0.1)
    assert shares(found, found.total) == pytest.approx([1, 1, 0], abs=0.15)


def test_the_better_kind_of_learners_is_taken():
    rng = np.random.default_rng(0)
    values = rng.random((80, 8))
    sloped = values @ np.arange(1.0, 9)
    found = attribute(design_of(values), sloped, 20, rng)
    assert found.additive
    assert found.error < 0.5 * attribute_by(False, design_of(values), sloped, np.arange(8), 20, rng).error
    steps = (values[:, 0] > 0.4).astype(float) * (values[:, 1] > 0.4)
    assert not attribute(design_of(values), steps, 20, rng).additive


def test_what_is_learned_by_heart_counts_nothing():
    rng = np.random.default_rng(0)
    values = rng.random((100, 4))
    y = rng.standard_normal(100)
    found = attribute(design_of(values), y, 30, rng)
    assert np.abs(found.total.mean(0)).max() < 0.1


def test_a_companion_of_a_parameter_is_not_credited():
    rng = np.random.default_rng(0)
    values = rng.random((200, 4))
    values[:, 1] = 0.5 * values[:, 0] + 0.5 * values[:, 1]  # the search moved both together; only the first matters
    y = values[:, 0] + 0.5 * values[:, 2] + 0.1 * rng.standard_normal(200)
    assert np.corrcoef(values[:, 1], y)[0, 1] > 0.5
    found = attribute(design_of(values), y / y.std(), 30, rng)
    assert shares(found, found.total)[1] < 0.05


def test_an_inactive_parameter_has_no_terms():
    rng = np.random.default_rng(0)
    values = rng.random((60, 2))
    active = np.ones((60, 2), dtype=bool)
    active[:30, 1] = False
    found = attribute(design_of(values, active), values.sum(1), 20, rng)
    assert not found.total[:30, 1].any() and found.total[30:, 1].any()


def test_shuffling_keeps_to_the_active_trials():
    rng = np.random.default_rng(0)
    values = np.arange(20.0).reshape(10, 2)
    active = np.ones((10, 2), dtype=bool)
    active[:4, 1] = False
    design = design_of(values, active)
    shuffled = design.shuffled(np.array([1]), rng)
    assert (shuffled.values[:, 0] == values[:, 0]).all()
    assert (shuffled.values[:4, 1] == values[:4, 1]).all()
    assert (shuffled.values[4:, 1] != values[4:, 1]).any()
    assert sorted(shuffled.values[4:, 1]) == sorted(values[4:, 1])
    assert (design.values == values).all()
