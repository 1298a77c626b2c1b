"""Stages as functions of keyword arguments, for `import subarch` and for the command line."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from subarch.errors import ConfigError, did_you_mean
from subarch.recipe import build_config, merge, shown

CONFIGS = {
    "compress": "CompressConfig",
    "evaluate": "EvaluateConfig",
    "export": "ExportConfig",
    "extract": "ExtractConfig",
    "finetune": "FinetuneConfig",
    "latency": "LatencyConfig",
    "prepare": "PrepareConfig",
    "pretrain": "PretrainConfig",
    "search": "SearchConfig",
}


def public_function(name: str) -> Callable[..., Any]:
    """`subarch.NAME`: takes the stage's settings as keywords and returns the stage's `Result`."""
    if name == "describe":
        from subarch.stages.describe import describe

        return describe

    def stage(**settings: Any) -> Any:
        return run_stage(name, settings)

    stage.__name__ = stage.__qualname__ = name
    stage.__doc__ = importlib.import_module(f"subarch.stages.{name}").__dict__[name].__doc__
    return stage


def run_stage(name: str, settings: Mapping[str, Any], **surroundings: Any) -> Any:
    """Check `settings`, then run the stage.

    Args:
        name: Of the stage.
        settings: As in a recipe's section.
        surroundings: `session`, and for compress `started`.

    Raises:
        ConfigError: No such stage, or settings that cannot be.
    """
    return configured(name, settings)(**surroundings)


def configured(name: str, *layers: Mapping[str, Any]) -> partial[Any]:
    """The stage with its configuration checked and bound: what remains to be given is what surrounds it.

    Args:
        name: Of the stage.
        layers: Settings as in a recipe's section, later ones over earlier ones; a `preset` lies beneath all.

    Raises:
        ConfigError: No such stage, or settings that cannot be.
    """
    if name not in CONFIGS:
        raise ConfigError(f"unknown stage {name!r}", did_you_mean(name, CONFIGS))
    module = importlib.import_module(f"subarch.stages.{name}")
    presets = getattr(module, "PRESETS", {})
    preset = merge(*layers).get("preset") if presets else None
    if preset is not None and preset not in tuple(presets):
        raise ConfigError(f"unknown preset {shown(repr(preset))}", did_you_mean(str(preset), presets))
    return partial(
        getattr(module, name), build_config(getattr(module, CONFIGS[name]), presets.get(preset, {}), *layers)
    )
