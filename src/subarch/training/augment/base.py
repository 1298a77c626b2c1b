"""The two protocols behind which every τ stands: one changes a text, the other a pair of texts as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

Span = tuple[int, int]
"""Start and end in characters."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One text that τ may change."""

    text: str
    protected: tuple[Span, ...] = ()
    """What must survive verbatim, ascending and in this order."""


class Transformation(Protocol):
    """A τ that sees one text at a time."""

    @property
    def name(self) -> str:
        """How its points are called in the record."""
        ...

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """One new text for each source, None where nothing can be produced.

        The same sources and the same state of `rng` give the same texts.
        """
        ...


@runtime_checkable
class PairTransformation(Protocol):
    """A τ that needs both texts of a pair at once."""

    @property
    def name(self) -> str:
        """How its points are called in the record."""
        ...

    def change_pairs(
        self, pairs: Sequence[tuple[Source, Source]], rng: np.random.Generator
    ) -> list[tuple[str, str] | None]:
        """One new pair for each, None where nothing can be produced."""
        ...


AnyTransformation = Transformation | PairTransformation


def merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same characters as ascending spans that neither overlap nor touch; empty ones are left out."""
    result: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def with_protected(source: Source, spans: Sequence[Span]) -> Source:
    """The source with further protected spans."""
    return replace(source, protected=merged((*source.protected, *spans)))
