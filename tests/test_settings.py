"""Any settings at all are either a configuration or one line, found before anything is read or written."""

import dataclasses
import importlib
import math
import typing
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from subarch.api import CONFIGS, configured
from subarch.errors import ConfigError, UserError
from subarch.recipe import parse_settings, read_recipe

SCALARS = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.sampled_from([-1, 0, 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**400])
    | some.floats()
    | some.sampled_from(
        ["", "a\0b", "\udcff", "x" * 300, "1e999", "10m", "4,8,1024,768", "num_hidden_layers=2", "none"]
    )
    | some.text(max_size=8)
    | some.dates()
)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
STEADY = {
    "deadline": timedelta(seconds=5),
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
NEEDED = {
    "teacher": "t", "model": "m", "models": ["m"], "out": "o", "train": "t.csv", "input": ["a"], "tokenizer": "t",
    "architecture": "4,8,1024,768", "metrics": {"accuracy": {}}, "parameters": {"loop.learning_rate": [1e-4, 1e-3]},
}  # fmt: skip


def leaves(kind, path=()):
    """Dotted names of all settings below a dataclass."""
    for field in dataclasses.fields(kind):
        yield (*path, field.name)
        hint = typing.get_type_hints(kind)[field.name]
        for part in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(part):
                yield from leaves(part, (*path, field.name))


def kind_of(stage):
    return getattr(importlib.import_module(f"subarch.stages.{stage}"), CONFIGS[stage])


def needed(stage):
    names = {field.name for field in dataclasses.fields(kind_of(stage))} | {"train"}
    found = {name: value for name, value in NEEDED.items() if name in names}
    if stage in ("prepare", "pretrain", "export"):
        found.pop("train")
    return {**found, "data": "shards"} if stage == "pretrain" else found


@pytest.mark.parametrize("stage", sorted(CONFIGS))
@settings(max_examples=150, **STEADY)
@given(data=some.data())
def test_random_settings_are_a_configuration_or_one_line(stage, data):
    layer = {}
    for path in data.draw(some.lists(some.sampled_from(sorted(leaves(kind_of(stage)))), min_size=1, max_size=3)):
        target = layer
        for name in path[:-1]:
            target = target.setdefault(name, {}) if isinstance(target, dict) else {}
        if isinstance(target, dict):
            target[path[-1]] = data.draw(VALUES)
    try:
        config = configured(stage, needed(stage), layer).args[0]
    except UserError as error:
        assert "\n" not in error.message and len(error.message) < 1000
        error.message.encode()
    else:
        assert all(math.isfinite(number) for number in numbers(dataclasses.asdict(config)))


def numbers(value):
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, (list, tuple)):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, (int, float)) else []


@settings(max_examples=300, **STEADY)
@given(words=some.lists(some.text(max_size=12) | some.just("a=" + "[" * 5000), max_size=3))
def test_random_words_after_set(words):
    try:
        parse_settings(words)
    except ConfigError as error:
        assert "\n" not in error.message and len(error.message) < 300


@settings(max_examples=200, **STEADY)
@given(content=some.binary(max_size=40) | some.text(max_size=40).map(str.encode))
def test_random_recipes(tmp_path, content):
    (tmp_path / "recipe.toml").write_bytes(b"[finetune]\n" + content)
    try:
        assert isinstance(read_recipe(tmp_path / "recipe.toml", "finetune"), dict)
    except ConfigError as error:
        assert "\n" not in error.message


@pytest.mark.parametrize("content", ["x = " + "[" * 5000 + "]" * 5000, "x = " + "9" * 5000, "x = 1e", "x = '\\0"])
def test_recipes_that_are_too_much(tmp_path, content):
    (tmp_path / "recipe.toml").write_text(f"[finetune]\n{content}\n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_recipe(tmp_path / "recipe.toml", "finetune")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"loop": {"learning_rate": math.nan}}, "loop.learning_rate is nan, expected a finite number"),
        ({"loop": {"clip_norm": math.inf}}, "loop.clip_norm is inf, expected a finite number"),
        ({"loop": {"batch_size": True}}, "loop.batch_size is true, expected a number"),
        ({"loop": {"learning_rate": False}}, "loop.learning_rate is false, expected a number"),
        ({"distillation": {"layers": [1, True]}}, "distillation.layers is true, expected a number"),
        ({"seed": 1.5}, "seed is 1.5: input should be a valid integer"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"seed": 2**32}, "seed is 4294967296, expected at most 4294967295"),
        ({"loop": {"weight_decay": -1.0}}, "loop.weight_decay is -1.0, expected 0 or more"),
        ({"loop": {"batch_size": 2**40}}, "loop.batch_size is 1099511627776, expected at most 2147483647"),
        ({"out": "a\0b"}, r"out is 'a\\x00b', which has a NUL character in it"),
        ({"out": "a\udcff"}, r"out is 'a\\udcff', which is no valid UTF-8"),
        ({"model": "a\udcff"}, "model is"),
        ({"\udcff": 1}, "the name of a setting is"),
        ({"out": "x" * 256}, "out has a name of 256 bytes, expected at most 255"),
        ({"train": "x/" * 3000 + "x"}, "data.train has a path of 6001 bytes, expected at most 4095"),
    ],
)
def test_what_cannot_be_is_named(layer, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        configured("finetune", needed("finetune"), layer)


def test_the_largest_seed_works_everywhere():
    import numpy as np
    import torch

    seed = configured("finetune", needed("finetune"), {"seed": 2**32 - 1}).args[0].seed
    np.random.default_rng(seed)
    torch.Generator().manual_seed(seed)


def test_deep_settings():
    deep = value = {}
    for _ in range(5000):
        value["a"] = value = {}
    with pytest.raises(ConfigError, match="nested more than 32 levels deep"):
        configured("search", needed("search"), {"parameters": deep})
