import math

import pytest

from subarch.errors import ConfigError
from subarch.optimize.metrics import Metric


@pytest.mark.parametrize(
    ("settings", "role"),
    [
        ({}, "objective"),
        ({"threshold": 50}, "objective"),
        ({"store": True}, "stored"),
        ({"constraint": True, "threshold": 1}, "constraint"),
    ],
)
def test_roles(settings, role):
    assert Metric(name="f1", **settings).role == role


@pytest.mark.parametrize(
    ("direction", "value", "met", "violation"),
    [
        ("maximize", 50.0, True, 0.0),
        ("maximize", 49.0, False, 1.0),
        ("maximize", 51.0, True, 0.0),
        ("minimize", 50.0, True, 0.0),
        ("minimize", 52.5, False, 2.5),
        ("minimize", 49.0, True, 0.0),
    ],
)
def test_a_threshold_is_met_at_its_value_and_beyond(direction, value, met, violation):
    metric = Metric(name="m", direction=direction, threshold=50)
    assert metric.meets(value) is met
    assert metric.violation(value) == violation


def test_without_a_threshold_everything_meets_it():
    assert Metric(name="m").meets(-math.inf)


def test_minimised_prefers_less():
    assert Metric(name="m", direction="maximize").minimised(2.0) == -2.0
    assert Metric(name="m", direction="minimize").minimised(2.0) == 2.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"direction": "maximise"}, "did you mean maximize"),
        ({"store": True, "threshold": 3.0}, "only stored and has a threshold of 3.0"),
        ({"store": True, "constraint": True, "threshold": 3.0}, "both stored and a constraint"),
        ({"constraint": True}, "a constraint without a threshold"),
        ({"threshold": math.nan}, "threshold of f1 is nan"),
        ({"threshold": "50"}, "threshold of f1 is '50'"),
        ({"threshold": True}, "threshold of f1 is True"),
    ],
)
def test_metrics_that_cannot_be(settings, said):
    with pytest.raises(ConfigError) as caught:
        Metric(name="f1", **settings)
    assert said in str(caught.value)
    assert "f1" in caught.value.message
