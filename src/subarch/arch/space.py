"""The search space around a teacher: which sizes a student may have."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.arch.grid import grid, parse_sizes
from subarch.errors import ConfigError

CLOSE = 0.8
"""Share of the upper limit from which on a student counts as close to it; ours."""


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """Shares of the teacher's sizes, and the limits that a student must keep."""

    layers: tuple[float, ...] = (1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0)
    """Shares of the teacher's layers, rounded."""
    hidden: tuple[float, ...] = (1.0,)
    """Shares of the teacher's heads; the width of a head stays, so the hidden size shrinks with their number.

    All of them by default: of students of one size, those with fewer dimensions were always the worse ones
    (docs/decisions.md).
    """
    intermediate: tuple[float, ...] = (0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875, 1.0)
    """Shares of the teacher's feed-forward width, rounded to multiples of 8."""
    vocabulary: float = 0.5
    """Share of the teacher's vocabulary; never fewer tokens than the task's training data uses; 1 keeps it."""
    max_encoder: float = 0.5
    """Largest share of the teacher's encoder parameters."""
    min_encoder: float | None = None
    """Smallest share; four fifths of `max_encoder` by default, unless no student is that close.

    Near the upper limit quality decides, not size: W would trade points of quality for parameters that nobody asked
    to save. Lower it to search for still smaller students.
    """
    max_total: float = 0.6
    """Largest share of all of the teacher's parameters."""
    sizes: str | None = None
    """Absolute sizes instead, such as "num_hidden_layers=2,4,6 hidden_size=256,384"; then only `vocabulary` of the
    shares and limits above counts. What it does not name, the teacher gives."""

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "intermediate"):
            values = getattr(self, name)
            if not values or not all(0 < value <= 1 for value in values):
                raise ConfigError(f"{name} is {values}, expected shares of the teacher above 0 and up to 1")
        for name in ("vocabulary", "max_encoder", "max_total"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share above 0 and up to 1")
        if self.min_encoder is not None and not 0 <= self.min_encoder <= self.max_encoder:
            raise ConfigError(
                f"min_encoder is {self.min_encoder}, expected a share from 0 to max_encoder ({self.max_encoder})"
            )
        if self.sizes is not None:
            parse_sizes(self.sizes)


def space_around(
    teacher: Architecture, config: SpaceConfig, vocab_size: int, *, inheritable: bool = True
) -> list[Architecture]:
    """All students of `config` within its limits, sorted by parameter count.

    Args:
        teacher: The architecture to shrink.
        config: Shares and limits.
        vocab_size: Tokens that the student keeps.
        inheritable: Whether students must be able to take the teacher's weights; shares always give such.

    Raises:
        ConfigError: No student is within the limits.
    """
    if config.sizes is not None:
        return grid(teacher, parse_sizes(config.sizes), vocab_size, inheritable=inheritable)
    least = CLOSE * config.max_encoder if config.min_encoder is None else config.min_encoder
    found = _within(teacher, config, vocab_size, least)
    if not found and config.min_encoder is None:
        found = _within(teacher, config, vocab_size, 0.0)
    if not found:
        raise ConfigError(
            f"no student has {config.min_encoder or 0.0:.0%} to {config.max_encoder:.0%} of the encoder and at most "
            f"{config.max_total:.0%} of all "
            f"parameters with a vocabulary of {vocab_size} tokens",
            "raise max_total or max_encoder, or lower vocabulary, in the recipe's [compress.extract.space]",
        )
    return [student for _, student in sorted(found, key=lambda pair: (pair[0], str(pair[1])))]


def _within(
    teacher: Architecture, config: SpaceConfig, vocab_size: int, least: float
) -> list[tuple[int, Architecture]]:
    """Parameter count and sizes of the students between `least` and the upper limits."""
    full = parameters(teacher)
    found = []
    for layers, hidden, intermediate in itertools.product(
        _sizes(teacher.num_hidden_layers, config.layers),
        _sizes(teacher.num_attention_heads, config.hidden),
        _sizes(teacher.intermediate_size, config.intermediate, multiple=8),
    ):
        student = _shrink(teacher, layers, hidden, intermediate).replace(vocab_size=vocab_size)
        if (student.embedding_size is None) != (teacher.embedding_size is None):
            continue  # as wide as ELECTRA's tables: it would lose the projection, and so the teacher's meaning
        count = parameters(student)
        encoder_share = count.encoder / full.encoder
        if least <= encoder_share <= config.max_encoder and count.total <= config.max_total * full.total:
            found.append((count.total, student))
    return found


def _shrink(teacher: Architecture, layers: int, heads: int, intermediate: int) -> Architecture:
    # Which layers go is decided later, by importance: the sizes are the same whichever do.
    shallow = teacher.keep_layers(range(layers))
    width = heads * teacher.head_dim
    return shallow.replace(num_attention_heads=heads, hidden_size=width, intermediate_size=intermediate)


def _sizes(full: int, shares: Sequence[float], multiple: int = 1) -> list[int]:
    return sorted({min(full, max(multiple, round(full * share / multiple) * multiple)) for share in shares})
