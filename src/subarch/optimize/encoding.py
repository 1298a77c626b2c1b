"""Configurations as points of the unit cube, for the models of the samplers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from subarch.optimize.parameters import Array, Kind, Parameter, Params, Value

IMPUTED = 0.5
"""Place of an inactive number: the middle. An inactive choice has equal shares of all its values."""


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the encoding."""

    parameter: str
    kind: Kind
    value: Value | None = None
    """Of a category: the value that it stands for."""


@dataclass(frozen=True)
class Encoding:
    """The columns: each parameter's in order, and behind those of an optional one whether it is active."""

    parameters: Mapping[str, Parameter]
    optional: Collection[str] = ()

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """What each column is."""
        features = []
        for name, parameter in self.parameters.items():
            values = getattr(parameter, "values", ()) if parameter.kind == "category" else (None,)
            features += [Feature(parameter=name, kind=parameter.kind, value=value) for value in values]
            if name in self.optional:
                features.append(Feature(parameter=name, kind="activity"))
        return tuple(features)

    def encode_many(self, rows: Sequence[Params]) -> Array:
        """Shape (rows, features), all within [0, 1]."""
        columns = []
        for name, parameter in self.parameters.items():
            active = np.array([name in row for row in rows], dtype=bool)
            imputed = IMPUTED if parameter.kind != "category" else 1 / parameter.width
            block = np.full((len(rows), parameter.width), imputed)
            if active.any():
                block[active] = parameter.encode([row[name] for row in rows if name in row])
            columns.append(block)
            if name in self.optional:
                columns.append(active[:, None].astype(float))
        return np.hstack(columns)


class Encoded(ABC):
    """What has an encoding: the methods that a `Domain` and a `Table` share."""

    @property
    @abstractmethod
    def encoding(self) -> Encoding:
        """The columns."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """What each feature of the encoding belongs to."""
        return self.encoding.features

    def encode(self, params: Params) -> Array:
        """Shape (features,), within [0, 1]: numbers scaled, choices one-hot, what is inactive imputed."""
        return self.encode_many([params]).reshape(-1)

    def encode_many(self, rows: Sequence[Params]) -> Array:
        """Shape (rows, features); see `encode`."""
        return self.encoding.encode_many(rows)
