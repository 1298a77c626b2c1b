"""Where a search looks: a box of parameters, some only active under a condition, or a list of candidates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subarch.errors import ConfigError, did_you_mean
from subarch.optimize.candidates_table import column_parameters, plain_rows, row_key
from subarch.optimize.domain_tables import Condition, check_conditions, parse_conditions, parse_parameters
from subarch.optimize.encoding import Encoded, Encoding
from subarch.optimize.parameters import Array, Choice, Float, Int, Parameter, Params, Value
from subarch.optimize.trials import Trial

__all__ = ["Choice", "Condition", "Domain", "Exhausted", "Float", "Int", "Parameter", "Params", "Table", "Value"]


@dataclass(frozen=True, kw_only=True)
class Domain(Encoded):
    """Parameters by name, in order, and the conditions under which some of them are active.

    A parameter without a condition is always active; one with a condition is active where its parent is active and has
    one of the condition's values. A configuration names its active parameters and no others.

    Raises:
        ConfigError: No parameters, a condition on or of an unknown one, one that nothing satisfies, a cycle.
    """

    parameters: Mapping[str, Parameter]
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies: what the caller does to its mappings later must not change a frozen value.
        object.__setattr__(self, "parameters", dict(self.parameters))
        object.__setattr__(self, "conditions", dict(self.conditions))
        if not self.parameters:
            raise ConfigError("no parameters to search", "give at least one a range or choices")
        check_conditions(self.parameters, self.conditions)

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Domain:
        """The domain of a recipe's tables, one a parameter.

        `{"low": 1e-5, "high": 1e-3, "log": True}` is a range, of whole numbers where both ends are whole (`step` goes
        with those); `{"choices": [1, 2, 4]}` are values, ordered where they are numbers that ascend unless `ordered`
        says otherwise; `"when": {"other": [2, 4]}` is a condition.

        Raises:
            ConfigError: Anything that is no such table; the message names the parameter.
        """
        return cls(parameters=parse_parameters(table), conditions=parse_conditions(table))

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The tables that `parse` reads as this domain."""
        tables = {name: parameter.to_json() for name, parameter in self.parameters.items()}
        for name, condition in self.conditions.items():
            tables[name]["when"] = {condition.parent: list(condition.values)}
        return tables

    @cached_property
    def encoding(self) -> Encoding:
        """The columns of the encoding."""
        return Encoding(self.parameters, frozenset(self.conditions))

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A configuration, uniform in each active parameter."""
        return self.from_unit(rng.random(len(self.parameters)).tolist())

    def from_unit(self, u: Sequence[float]) -> dict[str, Value]:
        """The configuration at a point of the unit cube: one number a parameter, in order; the inactive ones' are lost.

        Raises:
            ConfigError: As many numbers as there are parameters were expected.
        """
        if len(u) != len(self.parameters):
            raise ConfigError(f"{len(u)} numbers for {len(self.parameters)} parameters")
        return self._completed({}, u)

    def validate(self, params: Params) -> dict[str, Value]:
        """The configuration with its values as the parameters hold them (2 for 2.0), in the domain's order.

        Raises:
            ConfigError: A parameter is unknown, missing, out of range, or given although it is inactive.
        """
        for name in params:
            if name not in self.parameters:
                raise ConfigError(f"{name} is no parameter of this search", did_you_mean(name, self.parameters))
        checked: dict[str, Value] = {}
        for name in self._order:
            if self._is_active(name, checked):
                checked[name] = self._checked(name, params)
            elif name in params:
                condition = self.conditions[name]
                raise ConfigError(
                    f"{name} is given, but it is only active {condition}",
                    f"leave {name} out, or change {condition.parent}",
                )
        return self._in_order(checked)

    def neighbours(self, params: Params, rng: np.random.Generator, scale: float) -> dict[str, Value]:
        """One random local move: each parameter moves with a chance of one in their number, at least one does.

        Args:
            params: A configuration of this domain.
            rng: Draws the move.
            scale: Standard deviation of a number's step, as a share of its range. A category becomes any other.

        What becomes active by the move is drawn at random.
        """
        movable = [name for name in params if name in self._movable]
        moved = dict(params)
        if movable:
            chosen = rng.random(len(movable)) < 1 / len(movable)
            chosen[int(rng.integers(len(movable)))] = True
            for place in np.flatnonzero(chosen):
                name = movable[place]
                moved[name] = self.parameters[name].moved(params[name], rng, scale)
        return self._completed(moved, rng.random(len(self.parameters)).tolist())

    @cached_property
    def _movable(self) -> frozenset[str]:
        """Parameters that have more than one value."""
        return frozenset(name for name, parameter in self.parameters.items() if parameter.size != 1)

    @cached_property
    def _order(self) -> tuple[str, ...]:
        """Parents before children."""
        order: list[str] = []
        while len(order) < len(self.parameters):
            for name in self.parameters:
                condition = self.conditions.get(name)
                if name not in order and (condition is None or condition.parent in order):
                    order.append(name)
        return tuple(order)

    def _is_active(self, name: str, values: Params) -> bool:
        """Whether it is, where `values` has the active ones of its ancestors."""
        condition = self.conditions.get(name)
        return condition is None or (condition.parent in values and condition.holds(values[condition.parent]))

    def _completed(self, values: Params, shares: Sequence[float]) -> dict[str, Value]:
        """What is active of the values; where one is missing, that at the parameter's share of its range."""
        by_name = dict(zip(self.parameters, shares, strict=True))
        active: dict[str, Value] = {}
        for name in self._order:
            if self._is_active(name, active):
                active[name] = values[name] if name in values else self.parameters[name].from_unit(float(by_name[name]))
        return self._in_order(active)

    def _in_order(self, values: Params) -> dict[str, Value]:
        return {name: values[name] for name in self.parameters if name in values}

    def _checked(self, name: str, params: Params) -> Value:
        parameter = self.parameters[name]
        if name not in params:
            when = f" {self.conditions[name]}" if name in self.conditions else ""
            raise ConfigError(f"{name} is missing{when}, expected {parameter}")
        accepted = parameter.accept(params[name])
        if accepted is None:
            raise ConfigError(f"{name} is {params[name]!r}, expected {parameter}")
        return accepted


class Exhausted(ConfigError):
    """Every candidate was tried: the search is over."""


@dataclass(frozen=True)
class Table(Encoded):
    """A finite list of candidates; has the methods of a `Domain`. A name that a row lacks is inactive in it.

    Raises:
        ConfigError: No rows, equal rows, or values that are neither a text, a finite number nor true or false.
    """

    rows: tuple[Params, ...]
    domain: Domain = field(init=False, repr=False, compare=False)
    """The columns as parameters, inferred; what they admit besides the rows is no candidate."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", plain_rows(self.rows))
        object.__setattr__(self, "domain", Domain(parameters=column_parameters(self.rows)))

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The columns, in the order in which they appear."""
        return self.domain.parameters

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """None: the rows say what is active."""
        return self.domain.conditions

    @cached_property
    def encoding(self) -> Encoding:
        """The columns of the encoding."""
        return Encoding(
            self.parameters, frozenset(n for n in self.parameters if any(n not in row for row in self.rows))
        )

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A row, each as likely as the others."""
        return dict(self.rows[int(rng.integers(len(self.rows)))])

    def from_unit(self, u: Sequence[float]) -> dict[str, Value]:
        """The row nearest to the point of `domain` at these shares; activity apart, of which a point knows nothing.

        Raises:
            ConfigError: As many numbers as there are parameters were expected.
        """
        point = self.encode(self.domain.from_unit(u))
        places = np.array([feature.kind != "activity" for feature in self.features])
        return dict(self.rows[int(np.argmin(self._distances(point, places)))])

    def validate(self, params: Params) -> dict[str, Value]:
        """The row that these values are.

        Raises:
            ConfigError: They are none.
        """
        index = self._indices.get(row_key(params))
        if index is None:
            raise ConfigError(f"{dict(params)} is none of the table's {len(self.rows)} candidates")
        return dict(self.rows[index])

    def neighbours(self, params: Params, rng: np.random.Generator, scale: float) -> dict[str, Value]:
        """One of the nearest other rows, `scale` of all of them and at least one; the row itself where it is alone."""
        if len(self.rows) == 1:
            return dict(self.rows[0])
        distances = self._distances(self.encode(params))
        own = self._indices.get(row_key(params))
        if own is not None:
            distances[own] = np.inf
        count = min(max(1, round(scale * (len(self.rows) - 1))), len(self.rows) - 1)
        return dict(self.rows[int(rng.choice(np.argsort(distances, kind="stable")[:count]))])

    def remaining(self, trials: Sequence[Trial]) -> tuple[Params, ...]:
        """The rows that no trial has tried, whether it ended or not.

        Raises:
            Exhausted: There is a trial of each.
        """
        tried = {row_key(trial.params) for trial in trials}
        rows = tuple(row for row in self.rows if row_key(row) not in tried)
        if not rows:
            raise Exhausted(f"all {len(self.rows)} candidates of the table were tried", "the search is complete")
        return rows

    @cached_property
    def _indices(self) -> dict[Hashable, int]:
        return {row_key(row): index for index, row in enumerate(self.rows)}

    @cached_property
    def _places(self) -> Array:
        return self.encode_many(self.rows)

    def _distances(self, point: Array, columns: NDArray[np.bool_] | slice = slice(None)) -> Array:
        """Euclidean, from each row."""
        return np.asarray(np.linalg.norm((self._places - point)[:, columns], axis=1))
