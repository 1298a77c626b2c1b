import importlib.util

import pytest

from subarch.errors import ConfigError, MissingExtraError
from subarch.optimize.samplers.registry import DEFAULT, SAMPLERS, make_sampler


def test_the_default_and_the_names():
    assert DEFAULT == "bayesian"
    assert set(SAMPLERS) == {"bayesian", "random", "quasi-random", "tpe", "nsga2", "optuna-gp", "optuna-random"}
    for name in SAMPLERS:
        assert make_sampler(name).name == name


def test_options_reach_the_sampler():
    sampler = make_sampler("bayesian", seed=5, initial=3)
    assert (sampler.seed, sampler.initial) == (5, 3)


def test_an_unknown_name_or_option_is_one_clear_line():
    with pytest.raises(ConfigError, match="unknown sampler 'bayes'") as error:
        make_sampler("bayes")
    assert "did you mean bayesian" in error.value.hint
    with pytest.raises(ConfigError, match="has no option 'population'"):
        make_sampler("random", population=3)
    with pytest.raises(ConfigError, match="0 initial trials"):
        make_sampler("bayesian", initial=0)


def test_without_optuna_the_hint_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="tpe is Optuna's") as error:
        make_sampler("tpe")
    assert error.value.hint == 'pip install "subarch[search]"'
    assert make_sampler("bayesian").name == "bayesian"
