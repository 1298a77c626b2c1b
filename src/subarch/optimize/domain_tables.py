"""Recipe tables as parameters and conditions: one clear error a mistake, which names the parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.parameters import Choice, Float, Int, Parameter, Value, exact, is_number

RANGE_KEYS = ("low", "high", "log", "step")
CHOICE_KEYS = ("choices", "ordered")
_KEYS = (*RANGE_KEYS, *CHOICE_KEYS, "when")
_EXAMPLE = "for example { low = 1e-5, high = 1e-3, log = true } or { choices = [1, 2, 4] }"
_WHEN_EXAMPLE = 'for example when = { sampler = ["adam", "sgd"] }'


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Active only where the parent is active and has one of these values."""

    parent: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))

    def holds(self, value: Value) -> bool:
        """Whether the parent's value is one of them."""
        return any(exact(value) == exact(own) for own in self.values)

    def __str__(self) -> str:
        return f"where {self.parent} is {' or '.join(repr(value) for value in self.values)}"


def parse_parameters(tables: Mapping[str, Any]) -> dict[str, Parameter]:
    """The parameters of `Domain.parse`'s tables.

    Raises:
        ConfigError: A table that is no range and no choices, or one that cannot be.
    """
    parameters = {}
    for name, table in tables.items():
        try:
            parameters[name] = _parameter(table)
        except ConfigError as error:
            raise ConfigError(f"parameter {name}: {error.message}", error.hint) from None
    return parameters


def parse_conditions(tables: Mapping[str, Any]) -> dict[str, Condition]:
    """The conditions of the tables that `parse_parameters` accepted.

    Raises:
        ConfigError: A condition that is no table of one parent and its values.
    """
    conditions = {}
    for name, table in tables.items():
        when = table.get("when")
        if when is None:
            continue
        if not isinstance(when, Mapping) or len(when) != 1:
            raise ConfigError(
                f"parameter {name}: when is {when!r}, expected one other parameter and its values",
                f"{_WHEN_EXAMPLE}; for two of them, make one conditional on the other",
            )
        ((parent, values),) = when.items()
        conditions[name] = Condition(
            parent=parent, values=tuple(values) if isinstance(values, (list, tuple)) else (values,)
        )
    return conditions


def check_conditions(parameters: Mapping[str, Parameter], conditions: Mapping[str, Condition]) -> None:
    """Each condition is one that some configuration satisfies.

    Raises:
        ConfigError: It is of or on an unknown parameter, has a value that the parent cannot take, or is in a cycle.
    """
    for name, condition in conditions.items():
        if name not in parameters:
            raise ConfigError(f"a condition of the unknown parameter {name}", did_you_mean(name, parameters))
        if condition.parent not in parameters:
            raise ConfigError(
                f"parameter {name}: a condition on the unknown parameter {condition.parent}",
                did_you_mean(condition.parent, parameters),
            )
        _check_values(name, condition, parameters[condition.parent])
    for name in conditions:
        line = list(_ancestry(name, conditions))
        if name in line[1:]:
            raise ConfigError(
                f"parameter {name}: its conditions form a cycle ({' on '.join(line)})",
                "let one of them be active without a condition",
            )


def _check_values(name: str, condition: Condition, parent: Parameter) -> None:
    if isinstance(parent, Float):
        raise ConfigError(
            f"parameter {name}: a condition on {condition.parent}, which is {parent}: nothing satisfies it",
            "a condition is on choices or whole numbers",
        )
    if not condition.values:
        raise ConfigError(f"parameter {name}: a condition on {condition.parent} without values: nothing satisfies it")
    for value in condition.values:
        if parent.accept(value) is None:
            raise ConfigError(
                f"parameter {name}: a condition that nothing satisfies: {condition.parent} is never {value!r}",
                f"{condition.parent} is {parent}",
            )


def _ancestry(name: str, conditions: Mapping[str, Condition]) -> Iterator[str]:
    """The name, its parent, its parent's parent, …, until there is none or one comes again."""
    seen: set[str] = set()
    yield name
    while name in conditions and name not in seen:
        seen.add(name)
        name = conditions[name].parent
        yield name


def _parameter(table: Any) -> Parameter:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{table!r} is no range and no choices", _EXAMPLE)
    for key in table:
        if key not in _KEYS:
            raise ConfigError(f"unknown key {key}", did_you_mean(str(key), _KEYS))
    for key in ("log", "ordered"):
        if not isinstance(table.get(key, False), bool):
            raise ConfigError(f"{key} is {table[key]!r}, expected true or false")
    ranged = [key for key in RANGE_KEYS if key in table]
    chosen = [key for key in CHOICE_KEYS if key in table]
    if ranged and chosen:
        raise ConfigError(f"{ranged[0]} and {chosen[0]} together, expected a range or choices", _EXAMPLE)
    return _choice(table) if chosen else _range(table)


def _range(table: Mapping[str, Any]) -> Float | Int:
    for key in ("low", "high"):
        if key not in table:
            raise ConfigError(f"{key} is missing", _EXAMPLE)
    low, high, log = table["low"], table["high"], table.get("log", False)
    for key in ("low", "high"):
        if not is_number(table[key]):
            raise ConfigError(f"{key} is {table[key]!r}, expected a finite number")
    if isinstance(low, int) and isinstance(high, int):
        return Int(low=low, high=high, log=log, step=table.get("step", 1))
    if "step" in table:
        raise ConfigError("a step between numbers that are not whole", "write whole bounds, or list the choices")
    return Float(low=low, high=high, log=log)


def _choice(table: Mapping[str, Any]) -> Choice:
    if "choices" not in table:
        raise ConfigError("ordered without choices", _EXAMPLE)
    values = table["choices"]
    if not isinstance(values, (list, tuple)):
        raise ConfigError(f"choices is {values!r}, expected a list", _EXAMPLE)
    ascending = len(values) > 1 and all(map(is_number, values)) and list(values) == sorted(values)
    return Choice(values=tuple(values), ordered=table.get("ordered", ascending))
