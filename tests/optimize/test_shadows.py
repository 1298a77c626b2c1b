import numpy as np

from subarch.optimize.attribution import Design, attribute
from subarch.optimize.shadows import compare


def verdicts(count, weights, noise, seed=0, negligible=0.03):
    rng = np.random.default_rng(seed)
    values = rng.random((count, len(weights))).astype(np.float32)
    y = values @ np.array(weights)
    y = (y - y.mean()) / y.std() + noise * rng.standard_normal(count)
    design = Design(
        values=values,
        active=np.ones(values.shape, dtype=bool),
        columns=tuple(np.array([index]) for index in range(len(weights))),
        numeric=(True,) * len(weights),
    )
    return compare(design, y, attribute(design, y, 25, rng), negligible, rng)


def test_effects_are_shown_and_their_absence_too():
    found = verdicts(150, [2, 1, 0, 0, 0], 0.2)
    assert found.shown.tolist()[:2] == [True, True]
    assert found.inert.tolist()[:2] == [False, False]
    assert found.inert[2:].sum() >= 2
    assert not found.shown[2:].any()


def test_noise_hides_what_would_be_worth_naming():
    quiet, loud = (verdicts(80, [2, 1, 0, 0, 0, 0], noise).inert[2:].sum() for noise in (0.1, 2.0))
    assert quiet >= 3 and loud <= 1


def test_a_single_weak_parameter_is_its_own_shadow():
    found = verdicts(150, [2, 1, 0], 0.1)
    assert found.shown.tolist()[:2] == [True, True]
    assert found.inert[2] or not found.shown[2]


def test_nothing_is_weak():
    found = verdicts(120, [1, 1], 0.05)
    assert found.shown.all() and not found.inert.any()
