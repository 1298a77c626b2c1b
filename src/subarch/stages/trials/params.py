"""A configuration of the search, as settings; and which values a setting can take in it."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from subarch.errors import ConfigError, UserError, did_you_mean
from subarch.optimize.domain import Choice, Int, Value
from subarch.stages.trials.settings import SECTIONS, SearchConfig

MOST_VALUES = 60
"""Values of a setting beyond which they are not listed."""


def apply_params(config: SearchConfig, params: Mapping[str, Value]) -> SearchConfig:
    """The search with these settings in place of its own, by dotted name such as `loop.learning_rate`.

    Raises:
        ConfigError: A name that is no setting, or a value that its setting cannot have.
    """
    changes: dict[str, dict[str, Any]] = {}
    for path, value in params.items():
        section, _, name = path.partition(".")
        known = _hints(section) if section in SECTIONS else {}
        if name not in known:
            names = [f"{each}.{setting}" for each in SECTIONS for setting in _hints(each)]
            raise ConfigError(f"unknown parameter {path!r}", did_you_mean(path, names))
        changes.setdefault(section, {})[name] = _checked(path, known[name], value)
    sections = {section: dataclasses.replace(getattr(config, section), **new) for section, new in changes.items()}
    # Not `replace`: it would check the whole search again, for each of thousands of configurations.
    changed = object.__new__(type(config))
    for field in dataclasses.fields(config):
        object.__setattr__(changed, field.name, sections.get(field.name, getattr(config, field.name)))
    return changed


def possible_values(config: SearchConfig, path: str) -> tuple[Any, ...] | None:
    """Every value that a setting may take in a search; None where there are too many to list.

    Where it is only searched under a condition, its fixed value is one of them.
    """
    section, _, name = path.partition(".")
    fixed = getattr(getattr(config, section), name)
    domain = config.domain
    parameter = domain.parameters.get(path)
    if parameter is None:
        return (fixed,)
    others = (fixed,) if path in domain.conditions else ()
    if isinstance(parameter, Choice):
        return tuple(dict.fromkeys((*parameter.values, *others)))
    if not isinstance(parameter, Int):
        return None
    found = range(parameter.low, parameter.high + 1, parameter.step)
    return tuple(dict.fromkeys((*found, *others))) if len(found) <= MOST_VALUES else None


def may_be(config: SearchConfig, path: str, value: Value) -> bool:
    """Whether a setting can take this value in a search."""
    values = possible_values(config, path)
    return values is None or value in values


def _hints(section: str) -> dict[str, Any]:
    return typing.get_type_hints(SECTIONS[section], include_extras=True)


def _checked(path: str, hint: Any, value: Value) -> Any:
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ConfigError(f"{path} is {value!r}: {message[:1].lower()}{message[1:]}") from error
    except UserError as error:
        raise ConfigError(f"{path} is {value!r}: {error.message}", error.hint) from error
