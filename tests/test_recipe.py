from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from subarch.errors import ConfigError
from subarch.recipe import build_config, merge, parse_settings, read_recipe


@dataclass(frozen=True, kw_only=True)
class Loop:
    epochs: float = 3.0
    max_steps: int | None = None

    def __post_init__(self):
        if self.epochs <= 0:
            raise ConfigError(f"epochs is {self.epochs}, expected a positive number", "as a hint")


@dataclass(frozen=True, kw_only=True)
class Rows:
    task: str | None = None
    train: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Config:
    model: str
    out: Path
    data: Rows
    kind: Literal["one", "two"] = "one"
    sizes: tuple[float, ...] = (1.0,)
    loop: Loop = field(default_factory=Loop)


GIVEN = {"model": "m", "out": "o"}


def test_nested_values_become_a_configuration():
    values = {**GIVEN, "task": "sst2", "loop": {"epochs": 2}, "sizes": [0.5, 1]}
    assert build_config(Config, values) == Config(
        model="m", out=Path("o"), data=Rows(task="sst2"), loop=Loop(epochs=2.0), sizes=(0.5, 1.0)
    )


def test_the_fields_of_data_stand_beside_it_or_below_it():
    assert build_config(Config, {**GIVEN, "data": {"task": "a"}}) == build_config(Config, {**GIVEN, "task": "a"})


@pytest.mark.parametrize("first", [{"task": "a"}, {"data": {"task": "a"}}])
@pytest.mark.parametrize("second", [{"task": "b"}, {"data": {"task": "b"}}])
def test_later_layers_win_however_they_name_the_data(first, second):
    assert build_config(Config, {**GIVEN, **first}, second).data.task == "b"


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"modle": "m"}, "unknown setting modle", "did you mean model"),
        ({"loop": {"epoch": 1}}, "unknown setting loop.epoch", "did you mean epochs"),
        ({"data": {"tsk": 1}}, "unknown setting data.tsk", "did you mean task"),
        ({"tsk": "a"}, "unknown setting tsk", "known: data, kind"),
        ({"loop": {"epochs": 0}}, "epochs is 0.0, expected a positive number", "as a hint"),
    ],
)
def test_what_cannot_be_comes_with_a_hint(values, message, hint):
    with pytest.raises(ConfigError) as caught:
        build_config(Config, GIVEN, values)
    assert caught.value.message == message and hint in caught.value.hint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loop": {"epochs": "many"}}, "loop.epochs is 'many': input should be a valid number"),
        ({"loop": {"max_steps": 1.5}}, "loop.max_steps is 1.5: input should be a valid integer"),
        ({"loop": 3}, "loop is 3: input should be a dictionary"),
        ({"kind": "three"}, "kind is 'three': input should be 'one' or 'two'"),
        ({"sizes": 1}, "sizes is 1: input should be a valid tuple"),
        ({"data": 3}, "data is 3, expected settings such as data.task"),
    ],
)
def test_wrong_types_take_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        build_config(Config, {**GIVEN, **values})
    assert caught.value.message.startswith(message) and "\n" not in caught.value.message


def test_a_missing_value_names_its_flag():
    with pytest.raises(ConfigError, match=r"^--model is missing") as caught:
        build_config(Config, {"out": "o"})
    assert "--recipe" in caught.value.hint


def test_settings_are_toml_or_text():
    words = ["a=1", "b.c=2.5", "b.d=[1, 2]", "e=true", "f=plain words", 'g="quoted"', "h=a=b", "i="]
    assert parse_settings(words) == {
        "a": 1,
        "b": {"c": 2.5, "d": [1, 2]},
        "e": True,
        "f": "plain words",
        "g": "quoted",
        "h": "a=b",
        "i": "",
    }


@pytest.mark.parametrize("words", [["epochs"], ["=3"], [" =3"], ["a=1", "a.b=2"]])
def test_settings_that_are_none(words):
    with pytest.raises(ConfigError, match="--set '"):
        parse_settings(words)


def test_merge_goes_deep_and_changes_nothing():
    first = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(first, {"a": {"c": 4}}, {"d": {"e": 5}}) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert first == {"a": {"b": 1, "c": 2}, "d": 3}


def test_a_recipe_is_read_by_section(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text("[compress]\nbudget = '10m'\n[compress.distil]\nepochs = 3\n[evaluate]\nsplit = 'test'\n")
    assert read_recipe(file, "compress") == {"budget": "10m", "distil": {"epochs": 3}}
    with pytest.raises(ConfigError, match=r"has no section \[extract\]") as caught:
        read_recipe(file, "extract")
    assert caught.value.hint == "sections found: compress, evaluate"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no recipe"), (b"[compress\n", "is not valid TOML"), (b"a = '\xff'", "is not valid TOML")],
)
def test_recipes_that_cannot_be_read(tmp_path, content, message):
    file = tmp_path / "recipe.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_recipe(file, "compress")


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        read_recipe(tmp_path, "compress")
