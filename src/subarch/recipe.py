"""From words to a configuration: recipe files, `--set` and keyword arguments all end here, and are checked alike."""

from __future__ import annotations

import dataclasses
import math
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

_LARGEST = 2**31 - 1
"""Of whole numbers; counts, sizes and steps are far below it."""
_LARGEST_FLOAT = 1e12
_RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),  # what NumPy, scikit-learn and PyTorch all take
    "margin": (-_LARGEST_FLOAT, _LARGEST_FLOAT),
    "threads": (0, 4096),
    "workers": (0, 4096),
    "processes": (0, 4096),
}
"""By the field's name; every other number is 0 or more. What is sharper stands beside its owner."""
_DEEPEST = 32
"""Levels of lists and sections in a setting."""
_LONGEST_NAME, _LONGEST_PATH = 255, 4095
"""Bytes that file systems take."""
_SHOWN = 80
"""Characters of a value in a message."""


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
    except RecursionError as error:
        raise ConfigError(f"{path} is not valid TOML for settings: it is nested too deep") from error
    except ValueError as error:  # of TOML, of UTF-8, and of numbers of thousands of digits
        raise ConfigError(f"{path} is not valid TOML: {shown(str(error))}") from error
    section = recipe.get(stage)
    if not isinstance(section, dict):
        raise ConfigError(f"{path} has no section [{stage}]", f"sections found: {', '.join(recipe) or 'none'}")
    return section


def asked_before(out: Path | None, stage: str) -> dict[str, Any]:
    """The settings of a run that began in a folder, where its stage keeps them there: the folder's name then says all.

    Returns:
        As a section of a recipe; nothing for any other folder.
    """
    try:
        file = None if out is None else out / "run.json"
        if file is None or not file.is_file():
            return {}
    except (OSError, ValueError):  # a name that no folder can have: told with the other settings
        return {}
    run = read_json(file)
    asked = run.get("asked") if isinstance(run, dict) and run.get("stage") == stage else None
    return dict(asked) if isinstance(asked, dict) else {}


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """`section.field=value` pairs as nested values; each value is TOML, or text where it is not.

    Raises:
        ConfigError: No equals sign, or no name before it.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise ConfigError(
                f"--set {shown(repr(setting))}, expected section.field=value", "for example --set distil.epochs=3"
            )
        *sections, field = name.strip().split(".")
        target = values
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(f"--set {setting!r}, but another --set gives {section} a value of its own")
        try:
            target[field] = tomllib.loads(f"value = {text}")["value"]
        except RecursionError as error:
            raise ConfigError(f"--set {shown(setting)}: its value is nested too deep") from error
        except ValueError:
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
    for layer in layers:
        _require_writable(layer)
    values = merge(*(_gather_data(kind, layer) for layer in layers))
    for path, known in _unknown(kind, values):
        raise ConfigError(f"unknown setting {shown(path)}", did_you_mean(path.rsplit(".", 1)[-1], known))
    values = _over_defaults(kind, values)
    _require_no_booleans(kind, values)
    try:
        config = TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from error
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is missing", "give it as a flag, or in a recipe with --recipe") from error
        raise ConfigError(f"{shown(name)} is {shown(repr(first['input']))}: {_lower(first['msg'])}") from error
    _require_in_range(config)
    return config


def shown(text: str) -> str:
    """A value as a message shows it: in one line that is not long."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _require_writable(value: Any, name: str = "", depth: int = 0) -> None:
    """Raise ConfigError for what no recipe, record or file system could hold, wherever it stands."""
    if depth > _DEEPEST:
        raise ConfigError(f"{shown(name)} is nested more than {_DEEPEST} levels deep")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _require_text(str(key), "the name of a setting")
            _require_writable(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _require_writable(item, name, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{shown(name)} is {value}, expected a finite number")
    elif isinstance(value, (str, Path)):
        _require_text(str(value), shown(name))


def _require_text(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is {shown(repr(text))}, which is no valid UTF-8") from error
    if "\0" in text:
        raise ConfigError(f"{name} is {shown(repr(text))}, which has a NUL character in it")


def _require_no_booleans(hint: Any, value: Any, name: str = "") -> None:
    """Raise ConfigError for true or false in place of a number: Python takes them for 1 and 0."""
    inner = _section_type(hint)
    if dataclasses.is_dataclass(inner):
        if isinstance(value, Mapping):
            hints = typing.get_type_hints(inner)
            for key, item in value.items():
                _require_no_booleans(hints.get(key), item, f"{name}.{key}" if name else key)
        return
    kinds = _kinds(hint)
    if not {int, float} & kinds or bool in kinds or Any in kinds:
        return
    for item in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(item, bool):
            raise ConfigError(f"{name} is {str(item).lower()}, expected a number")


def _kinds(hint: Any) -> set[Any]:
    """The types that a hint is made of."""
    parts = typing.get_args(hint) if typing.get_origin(hint) is not typing.Literal else ()
    return set().union(*(_kinds(part) for part in parts)) if parts else {hint}


def _require_in_range(config: Any, prefix: str = "") -> None:
    """Raise ConfigError for numbers and paths that nothing could be done with."""
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            _require_in_range(value, f"{name}.")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Path):
                _require_path(item, name)
            elif isinstance(item, (int, float)) and not isinstance(item, bool):
                low, high = _RANGES.get(field.name, (0, _LARGEST if isinstance(item, int) else _LARGEST_FLOAT))
                if not low <= item <= high:
                    expected = f"{low} or more" if item < low else f"at most {high}"
                    raise ConfigError(f"{name} is {shown(str(item))}, expected {expected}")


def _require_path(path: Path, name: str) -> None:
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if longest > _LONGEST_NAME or len(str(path).encode()) > _LONGEST_PATH:
        found = f"a name of {longest}" if longest > _LONGEST_NAME else f"a path of {len(str(path).encode())}"
        limit = _LONGEST_NAME if longest > _LONGEST_NAME else _LONGEST_PATH
        raise ConfigError(f"{name} has {found} bytes, expected at most {limit}: {shown(str(path))}")


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
