import math

import pytest

from subarch.errors import ConfigError
from subarch.optimize.domain import Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.surrogate.candidates import describe

DOMAIN = Domain(parameters={"x": Float(low=0.0, high=2.0)})


def problem(function):
    metrics = (Metric(name="quality"), Metric(name="size", direction="minimize"), Metric(name="kept", store=True))
    return Problem(domain=DOMAIN, metrics=metrics, known={"size": function, "kept": lambda params: 1 / 0})


def test_the_known_metrics_that_count_are_evaluated_and_stored_ones_are_not():
    found = describe(problem(lambda params: 3 * params["x"]), [{"x": 0.5}, {"x": 2.0}])
    assert found.features.tolist() == [[0.25], [1.0]]
    assert {name: values.tolist() for name, values in found.known.items()} == {"size": [1.5, 6.0]}
    assert found.at([1]).with_others(found.at([0])).known["size"].tolist() == [6.0, 1.5]
    assert len(describe(problem(lambda params: 1.0), [])) == 0


def test_a_known_metric_that_is_no_number_is_the_users_mistake():
    with pytest.raises(ConfigError, match="the known metric size is nan at"):
        describe(problem(lambda params: math.nan), [{"x": 0.5}])
