"""Θ, the hyperparameter sets of Agora (arXiv 2010.07990): one set as a value, grids of them, the published grid.

| symbol | here                | in words                             |
|--------|---------------------|--------------------------------------|
| Θ      | a tuple of sets     | what the algorithm chooses among     |
| θ      | `HyperparameterSet` | how one model is fine-tuned          |
| |θ|    | `len(θ.pairs)`      | fields that the set gives a value to |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from subarch.errors import ConfigError, did_you_mean

FIELDS = ("learning_rate", "weight_decay", "warmup", "batch_size", "seed")
"""All fields, in the order that sequences of them have."""
WHOLE = ("batch_size", "seed")
SHORT = {"learning_rate": "lr", "weight_decay": "wd", "batch_size": "batch"}
MOST_DEFAULTS = 8
"""Sets that `default_sets` knows."""
_EXPECTED = {
    "learning_rate": "a number above zero",
    "weight_decay": "zero or more",
    "warmup": "a share in [0, 1)",
    "batch_size": "a whole number above zero",
    "seed": "a whole number, zero or more",
}
_EXAMPLE = 'for example "learning_rate=1e-4,3e-4 seed=0,1"'


@dataclass(frozen=True, kw_only=True)
class HyperparameterSet:
    """θ. A field that is None is left as the training has it, and is no part of the set.

    Raises:
        ConfigError: No field at all, or a value that no training can have.
    """

    learning_rate: float | None = None
    """Peak of the learning rate."""
    weight_decay: float | None = None
    """Decoupled, and multiplied by the learning rate."""
    warmup: float | None = None
    """Share of the training spent on the linear warm-up."""
    batch_size: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ConfigError("a hyperparameter set without values", _EXAMPLE)
        for name, value in self.pairs:
            _check(name, value)

    @property
    def pairs(self) -> tuple[tuple[str, float], ...]:
        """(field, value) of the fields that have one, in the order of `FIELDS`."""
        return tuple((name, value) for name in FIELDS if (value := getattr(self, name)) is not None)

    @property
    def label(self) -> str:
        """Short and unique, such as `lr=1e-4 wd=0 warmup=0.4 seed=0`; `parse_grid` reads it back."""
        return " ".join(f"{SHORT.get(name, name)}={_short(value)}" for name, value in self.pairs)

    def to_json(self) -> dict[str, float]:
        """Plain values of the fields that have one."""
        return dict(self.pairs)

    @classmethod
    def from_json(cls, values: Mapping[str, float]) -> HyperparameterSet:
        """The set that `to_json` wrote.

        Raises:
            ConfigError: An unknown field, or a value that no training can have.
        """
        for name in values:
            _known(name)
        return cls(**values)  # type: ignore[arg-type]  # whole numbers are checked by the set itself


def grid(**values: Iterable[float]) -> tuple[HyperparameterSet, ...]:
    """Every combination of the values of each field, the last field changing fastest.

    Raises:
        ConfigError: An unknown field, no value, a value given twice, or one that no training can have.
    """
    axes = {_known(name): tuple(given) for name, given in values.items()}
    if not axes or not all(axes.values()):
        empty = "" if not axes else f": no value of {next(name for name in axes if not axes[name])}"
        raise ConfigError(f"the grid of hyperparameter sets is empty{empty}", _EXAMPLE)
    for name, axis in axes.items():
        if len(set(axis)) < len(axis):
            raise ConfigError(f"{name} is {', '.join(map(_short, axis))}, expected each value once")
    ordered = [name for name in FIELDS if name in axes]
    combinations = itertools.product(*(axes[name] for name in ordered))
    return tuple(HyperparameterSet.from_json(dict(zip(ordered, row, strict=True))) for row in combinations)


def published(*, batch_sizes: bool = False) -> tuple[HyperparameterSet, ...]:
    """The initial Θ in the README of Bort: 240 sets, or 480 with its batch sizes.

    Its weight decay is, as ours, decoupled and multiplied by the learning rate. The sets that its runs converged to are
    not known; the defaults of its scripts lie outside this grid.
    """
    axes: dict[str, Iterable[float]] = {
        "learning_rate": (1e-4, 1e-5, 9e-6),
        "weight_decay": (0.0, 10.0, 100.0, 350.0),
        "warmup": (0.35, 0.40, 0.45, 0.50),
        "seed": range(5),
    }
    return grid(**axes, batch_size=(8, 16)) if batch_sizes else grid(**axes)


def default_sets(count: int, learning_rate: float, seed: int) -> tuple[HyperparameterSet, ...]:
    """A small Θ, the sets most worth a training first: learning rates around the given one, then further seeds.

    The rates are r, 3r and r/3, to two digits, each with a seed before any has the next seed; on little data the seed
    alone moves a score by points (Dodge et al. 2020, arXiv 2002.06305). Weight decay and warm-up stay those of the
    training.

    Args:
        count: Sets, 1 to 8.
        learning_rate: r; the first set has it unchanged.
        seed: Of the first sets; the next ones follow it.

    Raises:
        ConfigError: Another count, or a rate or seed that no training can have.
    """
    if not 1 <= count <= MOST_DEFAULTS:
        raise ConfigError(f"{count} hyperparameter sets, expected 1 to {MOST_DEFAULTS}", f"or write a grid, {_EXAMPLE}")
    rates = (learning_rate, float(f"{3 * learning_rate:.2g}"), float(f"{learning_rate / 3:.2g}"))
    order = ((rate, seed + further) for further in itertools.count() for rate in rates)
    return tuple(HyperparameterSet(learning_rate=rate, seed=number) for rate, number in itertools.islice(order, count))


def parse_grid(text: str) -> tuple[HyperparameterSet, ...]:
    """Read "learning_rate=1e-4,3e-4 seed=0,1" as a grid; the short names of labels are read too.

    Raises:
        ConfigError: An unknown field, one given twice, an empty text, or what is no number.
    """
    axes: dict[str, tuple[float, ...]] = {}
    for word in text.split():
        short, equals, values = word.partition("=")
        if not equals:
            raise ConfigError(f"the hyperparameter sets hold {word!r}, expected a name and numbers", _EXAMPLE)
        name = _known(short)
        if name in axes:
            raise ConfigError(f"the hyperparameter sets give {name} twice", f"write {name}=A,B in one word")
        axes[name] = tuple(_number(name, value) for value in values.split(",")) if values else ()
    return grid(**axes)


def _known(name: str) -> str:
    full = next((field for field, short in SHORT.items() if short == name), name)
    if full not in FIELDS:
        raise ConfigError(f"unknown hyperparameter {name!r}", did_you_mean(name, FIELDS))
    return full


def _number(name: str, text: str) -> float:
    try:
        return int(text) if name in WHOLE else float(text)
    except ValueError as error:
        kind = "whole numbers" if name in WHOLE else "numbers"
        raise ConfigError(f"{name} is {text!r}, expected {kind}", _EXAMPLE) from error


def _check(name: str, value: float) -> None:
    """Raise ConfigError for a value that no training can have."""
    number = isinstance(value, int if name in WHOLE else (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not _in_range(name, value):
        raise ConfigError(f"{name} is {value!r}, expected {_EXPECTED[name]}")


def _in_range(name: str, value: float) -> bool:
    if name == "warmup":
        return 0 <= value < 1
    return value > 0 if name in ("learning_rate", "batch_size") else value >= 0


def _short(value: float) -> str:
    """The shortest text that is this number: 1e-4 for 0.0001, 350 for 350.0."""
    if value and abs(value) < 1e-3:
        return np.format_float_scientific(value, trim="-", exp_digits=1)
    return np.format_float_positional(value, trim="-")


PUBLISHED = published()
"""The grid of 240."""
