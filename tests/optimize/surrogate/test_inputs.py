import numpy as np
import pytest

from subarch.optimize.domain import Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidates import describe
from subarch.optimize.surrogate.inputs import Inputs
from subarch.optimize.surrogate.metric_models import Evidence, FitCache, build_model
from subarch.optimize.trials import Trial

SIDES = Domain(parameters={name: Float(low=1.0, high=10.0) for name in ("a", "b", "c", "d")})


def volume(params):
    return float(np.prod(list(params.values())))


def problem(*known):
    metrics = (Metric(name="m", direction="minimize"), *(Metric(name=f"k{place}") for place in range(len(known))))
    return Problem(domain=SIDES, metrics=metrics, known={f"k{place}": one for place, one in enumerate(known)})


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return [SIDES.sample(rng) for _ in range(count)]


def test_a_known_metric_is_a_column_with_a_length_of_its_own():
    of = problem(volume, lambda params: params["a"] - 5.0, lambda params: 7.0)
    where = describe(of, drawn(9))
    inputs = Inputs.of(SIDES, where)
    columns = inputs(where)
    assert inputs.groups.tolist() == [0, 1, 2, 3, 4, 5]  # what is the same everywhere tells nothing
    assert columns.shape == (9, 6)
    np.testing.assert_allclose(columns[:, 4:].min(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(columns[:, 4:].max(axis=0), 1)
    volumes = where.known["k0"]
    middle = describe(of, [{name: (volumes.min() * volumes.max()) ** 0.125 for name in "abcd"}])
    assert inputs(middle)[0, 4] == pytest.approx(0.5)  # logarithms, since all volumes are above zero


def test_without_known_metrics_the_inputs_are_the_features():
    where = describe(problem(), drawn(3))
    assert (Inputs.of(SIDES, where)(where) == where.features).all()


def test_a_metric_that_follows_a_known_one_is_learned_from_fewer_trials():
    """An S-curve in the volume, from 16 trials, with and without the volume known."""

    def metric(params):
        return 1.0 / (1.0 + np.exp(3.0 - np.log(volume(params))))

    errors = []
    for of in (problem(volume), problem()):
        trials = [
            Trial(number=k, params=p, state="finished", metrics={"m": metric(p)}) for k, p in enumerate(drawn(16))
        ]
        where = describe(of, drawn(16))
        evidence = Evidence(trials=trials, candidates=where, inputs=Inputs.of(SIDES, where))
        model = build_model(of, of.metrics[0], evidence, FitCache())
        unseen = drawn(50, seed=1)
        means, _ = model.predict(describe(of, unseen))
        errors.append(np.abs(means[0] - model.warping(np.array([metric(p) for p in unseen]))).mean())
    assert errors[0] < 0.5 * errors[1]
