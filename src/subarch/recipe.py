"""From words to a configuration: recipe files, `--set` and keyword arguments all end here, and are checked alike."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from subarch.errors import ConfigError, UserError, did_you_mean
from subarch.storage import read_json

Config = TypeVar("Config")


def read_recipe(path: Path, stage: str) -> dict[str, Any]:
    """The section of a stage in a TOML file.

    Raises:
        ConfigError: No such file, broken TOML, or no section of that name.
    """
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no recipe {path}", "recipes/ holds examples") from error
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    section = recipe.get(stage)
    if not isinstance(section, dict):
        raise ConfigError(f"{path} has no section [{stage}]", f"sections found: {', '.join(recipe) or 'none'}")
    return section


def asked_before(out: Path | None, stage: str) -> dict[str, Any]:
    """The settings of a run that began in a folder, where its stage keeps them there: the folder's name then says all.

    Returns:
        As a section of a recipe; nothing for any other folder.
    """
    file = None if out is None else out / "run.json"
    if file is None or not file.is_file():
        return {}
    run = read_json(file)
    return dict(run.get("asked", {})) if run.get("stage") == stage else {}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`section.field=value` pairs as nested values; each value is TOML, or text where it is not.

    Raises:
        ConfigError: No equals sign, or no name before it.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {setting!r}, expected section.field=value", "for example --set distil.epochs=3")
        *sections, field = name.strip().split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {setting!r}, but another --set gives {section} a value of its own")
        try:
            target[field] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            target[field] = text
    return values


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, later layers over earlier ones."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def build_config(kind: type[Config], *layers: Mapping[str, Any]) -> Config:
    """A checked configuration from nested plain values, later layers over earlier ones.

    The fields of `data` may also stand beside it, in each layer as it likes.

    Raises:
        ConfigError: An unknown, missing or unsuitable value.
    """
    values = merge(*(_gather_data(kind, layer) for layer in layers))
    for path, known in _unknown(kind, values):
        raise ConfigError(f"unknown setting {path}", did_you_mean(path.rsplit(".", 1)[-1], known))
    values = _over_defaults(kind, values)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from error
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is missing", "give it as a flag, or in a recipe with --recipe") from error
        raise ConfigError(f"{name} is {first['input']!r}: {_lower(first['msg'])}") from error


def _gather_data(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if "data" not in fields:
        return dict(values)
    hint = typing.get_type_hints(kind)["data"]
    inner = _section_type(hint)
    if not dataclasses.is_dataclass(inner):
        return dict(values)  # `data` is a setting like any other, such as a folder
    names = {field.name for field in dataclasses.fields(inner)} - fields.keys()
    section = values.get("data", {})
    if not isinstance(section, Mapping):
        raise ConfigError(f"data is {section!r}, expected settings such as data.task")
    data = merge({key: value for key, value in values.items() if key in names}, section)
    rest = {key: value for key, value in values.items() if key not in names}
    return rest if inner is not hint and not data else rest | {"data": data}


def _section_type(hint: Any) -> Any:
    """The dataclass of a section that may be absent (`Section | None`), else the hint itself."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else ()
    return next((part for part in parts if dataclasses.is_dataclass(part)), hint)


def _over_defaults(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with each partial section laid over the defaults that its *owner* gives it.

    Otherwise a section that names one field would take the others from its own class, not from its owner.
    """
    complete = dict(values)
    for field in dataclasses.fields(kind):
        given = values.get(field.name)
        if not isinstance(given, Mapping):
            continue
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
            if dataclasses.is_dataclass(default) and not isinstance(default, type):
                complete[field.name] = merge(dataclasses.asdict(default), given)
    return complete


def _unknown(kind: type[Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    hints = typing.get_type_hints(kind)
    for key, value in values.items():
        if key not in hints:
            yield f"{prefix}{key}", sorted(hints)
        elif dataclasses.is_dataclass(inner := _section_type(hints[key])) and isinstance(value, Mapping):
            yield from _unknown(typing.cast("type[Any]", inner), value, f"{prefix}{key}.")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
