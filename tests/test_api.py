import dataclasses
import importlib
import subprocess
import sys

import pytest

import subarch
from subarch.api import CONFIGS, configured, public_function, run_stage
from subarch.errors import ConfigError


def test_every_stage_has_its_configuration():
    for name, config in CONFIGS.items():
        module = importlib.import_module(f"subarch.stages.{name}")
        assert dataclasses.is_dataclass(getattr(module, config)) and callable(getattr(module, name))


@pytest.mark.parametrize("name", [*CONFIGS, "describe"])
def test_every_stage_is_a_public_function(name):
    function = getattr(subarch, name)
    assert callable(function) and function.__name__ == name and function.__doc__


def test_an_unknown_stage():
    with pytest.raises(ConfigError, match="unknown stage 'compres'") as caught:
        run_stage("compres", {})
    assert "did you mean compress" in caught.value.hint


def test_settings_are_checked_before_anything_runs():
    with pytest.raises(ConfigError, match="unknown setting modle"):
        configured("evaluate", {"modle": "m"})
    with pytest.raises(ConfigError, match="--teacher is missing"):
        public_function("compress")(task="sst2", out="out")


def test_layers_are_bound_in_their_order(tmp_path):
    bound = configured("evaluate", {"task": "rte", "model": "a"}, {"model": "b", "out": tmp_path})
    (config,) = bound.args
    assert (config.model, config.data.task, config.out) == ("b", "rte", tmp_path)


def test_import_is_light():
    program = "import sys, subarch, subarch.api; assert not {'torch', 'transformers', 'mlflow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
