import pytest

from stages.trials import small
from subarch.errors import ConfigError
from subarch.stages.trials.params import apply_params, may_be, possible_values


@pytest.fixture
def config(tmp_path):
    ranges = {
        "student.num_hidden_layers": {"low": 2, "high": 6, "step": 2},
        "student.start": {"choices": ["random", "inherited"]},
        "student.layers": {"choices": ["first", "last"], "when": {"student.start": ["inherited"]}},
        "loop.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "distillation.repeats": {"low": 1, "high": 100},
    }
    return small.search(tmp_path, parameters=ranges)


def test_params_take_the_place_of_settings(config):
    params = {"student.num_hidden_layers": 4, "loop.learning_rate": 1, "distillation.temperature": 3}
    found = apply_params(config, params)
    assert (found.student.num_hidden_layers, found.student.start) == (4, "inherited")
    assert (found.loop.learning_rate, found.loop.max_steps) == (1.0, config.loop.max_steps)
    assert found.distillation.temperature == 3.0
    assert (found.teacher, found.metrics) == (config.teacher, config.metrics)
    assert config.student.num_hidden_layers is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"student.num_layers": 4}, r"unknown parameter 'student.num_layers'\n.*student.num_hidden_layers"),
        ({"learning_rate": 4}, r"unknown parameter 'learning_rate'\n.*loop.learning_rate"),
        ({"student.start": "warm"}, "student.start is 'warm': input should be 'inherited' or 'random'"),
        ({"student.num_hidden_layers": 2.5}, "student.num_hidden_layers is 2.5: input should be a valid integer"),
        ({"loop.beta_2": 1.0}, r"beta_2 is 1.0, expected a share in \[0, 1\)"),
        ({"distillation.weight": 2.0}, "weight is 2.0, expected a share from 0 to 1"),
    ],
)
def test_what_is_no_setting_is_refused(config, params, message):
    with pytest.raises(ConfigError, match=message):
        apply_params(config, params)


def test_the_values_that_a_setting_can_have(config):
    assert possible_values(config, "student.num_hidden_layers") == (2, 4, 6)
    assert possible_values(config, "student.start") == ("random", "inherited")
    # where its condition does not hold, the fixed one counts
    assert possible_values(config, "student.layers") == ("first", "last", "important")
    assert possible_values(config, "student.hidden_size") == (None,)
    assert possible_values(config, "loop.learning_rate") is None
    assert possible_values(config, "distillation.repeats") is None


def test_a_setting_may_be_a_value(config):
    assert may_be(config, "student.start", "random")
    assert not may_be(config, "student.vocabulary", 0.5)
    assert may_be(config, "loop.learning_rate", 123.0)
