import dataclasses
from pathlib import Path

import pytest

from subarch.errors import ConfigError
from subarch.recipe import build_config
from subarch.session.output import plain
from subarch.stages.trials.settings import PASSING, SearchConfig, flattened, in_unit, parse_thresholds

LAYERS = {"student.num_hidden_layers": {"low": 1, "high": 6}}
METRICS = {"accuracy": {"threshold": 80}, "num_parameters": {}, "latency_ms": {"store": True}}


def config(**changes):
    given = {"teacher": "t", "out": "out", "task": "sst2", "parameters": LAYERS, "metrics": METRICS}
    return build_config(SearchConfig, given | changes)


def refused(match, **changes):
    with pytest.raises(ConfigError, match=match) as caught:
        config(**changes)
    return caught.value.hint or ""


def test_metrics_have_their_usual_direction_and_qualities_are_shares():
    accuracy, size, latency = config().objectives
    assert (accuracy.direction, accuracy.threshold, accuracy.role) == ("maximize", 0.8, "objective")
    assert (size.direction, size.role, latency.role) == ("minimize", "objective", "stored")
    assert [in_unit("f1", 55), in_unit("f1", 0.55), in_unit("f1", 1), in_unit("flops", 55), in_unit("f1", None)] == [
        0.55,
        0.55,
        1,
        55,
        None,
    ]


def test_parameters_may_be_nested_or_dotted():
    nested = {"student": {"num_hidden_layers": {"low": 1, "high": 6}}, "loop.batch_size": {"choices": [8, 16]}}
    dotted = {**LAYERS, "loop.batch_size": {"choices": [8, 16]}}
    assert config(parameters=nested) == config(parameters=dotted)
    assert flattened(flattened(nested)) == flattened(nested) == dotted
    found = config(parameters=nested, baseline={"student": {"num_hidden_layers": 3}, "loop": {"batch_size": 8}})
    assert found.domain.validate(found.baseline) == {"student.num_hidden_layers": 3, "loop.batch_size": 8}


def test_settings_that_are_not_searched_stand_in_their_sections():
    found = config(student={"layers": "first"}, loop={"max_steps": 7}, distillation={"weight": 0.5})
    assert (found.student.layers, found.loop.max_steps, found.loop.evaluations) == ("first", 7, 3)
    assert (found.distillation.weight, found.distillation.repeats) == (0.5, 1)


@pytest.mark.parametrize(
    ("parameters", "match", "hint"),
    [
        ({}, "the search has no parameters", "recipes"),
        ({"student.num_hiden_layers": {"low": 1, "high": 2}}, "unknown parameter", "did you mean student.num_hidden"),
        ({"learning_rate": {"low": 1e-5, "high": 1e-3}}, "unknown parameter", "did you mean loop.learning_rate?"),
        ({"size": {"low": 1, "high": 3}}, "unknown parameter 'size'", "a setting of student, loop, distillation"),
        ({"loop.learning_rate": {"low": 1e-3, "high": 1e-5}}, "learning_rate", ""),
        ({"loop.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, "learning_rate", ""),
        ({"student.layers": {"choices": ["first", "lats"]}}, "student.layers may be 'lats'", ""),
        ({"student.num_hidden_layers": {"low": 1.5, "high": 3.0}}, "student.num_hidden_layers may be 1.5", ""),
        ({"distillation.weight": {"low": 0.5, "high": 2.0}}, "distillation.weight may be 2.0: weight is 2.0", ""),
        ({**LAYERS, "loop.batch_size": {"low": 4, "high": 8, "when": {"student.num_hidden_layers": [9]}}}, "9", ""),
    ],
)
def test_parameters_that_cannot_be(parameters, match, hint):
    assert hint in refused(match, parameters=parameters)


@pytest.mark.parametrize(
    ("metrics", "match", "hint"),
    [
        ({"accuracy": {"treshold": 1}}, "unknown setting metrics.accuracy.treshold", "did you mean threshold"),
        ({"accuracy": {"store": True}}, "the search optimises no metric", "metrics"),
        ({"accuracy": {}, "f1": {"store": True, "threshold": 0.5}}, "f1 is only stored and has a threshold", "drop"),
        ({"accuracy": {}, "f1": {"constraint": True}}, "f1 is a constraint without a threshold", ""),
        ({"accuracy": {"direction": "up"}}, "direction", ""),
    ],
)
def test_metrics_that_cannot_be(metrics, match, hint):
    assert hint in refused(match, metrics=metrics)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"attempts": 0}, "attempts is 0"),
        ({"train_examples": 0}, "train_examples is 0, expected at least 1"),
        ({"cpus": 0}, "cpus is 0"),
        ({"budget": "soon"}, "the duration is 'soon'"),
        ({"confirm": {"seeds": 0}}, "confirm is 3 members and 0 seeds"),
        ({"baseline": {"student.num_hidden_layers": 7}}, "num_hidden_layers"),
        ({"baseline": {}}, "num_hidden_layers"),
        ({"set_threshold": ["recall=1"]}, "the search has no metric 'recall'"),
        ({"set_threshold": ["latency_ms=9"]}, "latency_ms is only stored"),
        ({"set_threshold": ["accuracy"]}, "--set-threshold 'accuracy', expected NAME=VALUE"),
        ({"set_threshold": ["accuracy=high"]}, "--set-threshold 'accuracy=high'"),
        ({"stopping": {"margin": -1.0}}, "the margin of early stopping is -1.0"),
        ({"stopping": {"marign": 1.0}}, "unknown setting stopping.marign"),
        ({"distillation": {"layer": 1}}, "unknown setting distillation.layer"),
    ],
)
def test_settings_that_cannot_be(changes, match):
    refused(match, **changes)


def test_thresholds_are_texts_or_a_mapping():
    assert parse_thresholds(("a=55", "b = none")) == {"a": 55.0, "b": None}
    assert parse_thresholds("a=1e6") == {"a": 1e6}
    assert config(set_threshold=["accuracy=85", "num_parameters=2e6"]).thresholds == {
        "accuracy": 0.85,
        "num_parameters": 2e6,
    }
    assert config(set_threshold={"accuracy": None}).thresholds == {"accuracy": None}


def test_what_may_change_are_settings():
    assert set(PASSING) <= {field.name for field in dataclasses.fields(SearchConfig)}


def test_a_configuration_survives_its_plain_form():
    found = config(baseline={"student.num_hidden_layers": 3}, stopping={"margin": 0.02}, student={"layers": "first"})
    assert build_config(SearchConfig, {**plain(found), "out": "out"}) == found
    assert found.out == Path("out") and found.stopping.rule("accuracy").margin == 0.02
