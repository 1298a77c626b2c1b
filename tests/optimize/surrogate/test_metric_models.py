import numpy as np

from subarch.optimize.domain import Choice, Condition, Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate import metric_models
from subarch.optimize.surrogate.candidates import describe, groups_of
from subarch.optimize.surrogate.gaussian_process import Observations
from subarch.optimize.surrogate.inputs import Inputs
from subarch.optimize.surrogate.metric_models import Evidence, FitCache, build_model, fitted_count
from subarch.optimize.trials import Trial

DOMAIN = Domain(
    parameters={"kind": Choice(values=("a", "b", "c")), "x": Float(low=0.0, high=1.0), "y": Float(low=0.0, high=1.0)},
    conditions={"y": Condition(parent="kind", values=("b",))},
)


def evidence(problem, count=12):
    drawn = [problem.domain.sample(np.random.default_rng(k)) for k in range(count)]
    trials = [Trial(number=k, params=p, state="finished", metrics={"m": p["x"]}) for k, p in enumerate(drawn)]
    where = describe(problem, drawn)
    return Evidence(trials=trials, candidates=where, inputs=Inputs.of(problem.domain, where))


def test_the_columns_of_a_category_share_a_length_and_activity_has_its_own():
    assert groups_of(DOMAIN).tolist() == [0, 0, 0, 1, 2, 3]


def test_a_maximised_metric_is_modelled_as_less_is_better():
    problem = Problem(domain=DOMAIN, metrics=(Metric(name="m", threshold=0.5),))
    model = build_model(problem, problem.metrics[0], evidence(problem), FitCache())
    means, _ = model.predict(describe(problem, [{"kind": "a", "x": 0.9}, {"kind": "a", "x": 0.1}]))
    assert means[0, 0] < model.threshold < means[0, 1]


def test_a_known_metric_is_exact_where_nothing_was_tried():
    problem = Problem(
        domain=DOMAIN, metrics=(Metric(name="m", direction="minimize"),), known={"m": lambda p: p["x"] ** 2}
    )
    model = build_model(problem, problem.metrics[0], evidence(problem), FitCache())
    means, deviations = model.predict(describe(problem, [{"kind": "c", "x": 0.25}]))
    assert means[0, 0] == model.warped(0.0625) and deviations[0] < 1e-5
    samples, same = model.sampled(describe(problem, [{"kind": "c", "x": 0.5}]), np.ones((3, 1)))
    assert same is model and samples.tolist() == [[model.warped(0.25)]] * 3


def test_the_count_that_is_fitted_grows_with_the_trials_and_lags_little():
    counts = [fitted_count(count) for count in range(1, 400)]
    assert counts[:31] == list(range(1, 32))
    assert all(0.93 * count <= fitted <= count for count, fitted in enumerate(counts, start=1))
    assert len(set(counts[250:300])) <= 6


def test_a_fit_is_made_once_for_the_same_content(monkeypatch):
    made = []
    monkeypatch.setattr(metric_models, "fit", lambda data: made.append(data) or len(made))
    cache, values = FitCache(), np.arange(3.0)

    def data(values):
        return Observations(features=np.zeros((3, 1)), groups=np.zeros(1), values=values, variances=np.zeros(3))

    assert [cache(data(values)), cache(data(values.copy())), cache(data(values + 1))] == [1, 1, 2]
    for k in range(100):
        cache(data(values * k))
    assert len(cache.fits) <= 32
