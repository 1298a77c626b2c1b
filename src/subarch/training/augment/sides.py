"""From a τ to a change of whole examples: which side of a pair is changed, and a group as one.

Both protocols become one function here, so that nothing behind it asks which of them a τ follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from subarch.tasks.base import Examples
from subarch.training.augment.base import AnyTransformation, PairTransformation, Source, Transformation
from subarch.training.augment.protected import Spans

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Equal keys are the same example twice."""


@dataclass(frozen=True)
class Unit:
    """One example, or a group of answers to one question."""

    rows: list[int]
    texts: list[Source]
    pairs: list[Source] | None

    @staticmethod
    def of(examples: Examples, rows: list[int], spans: list[Spans]) -> Unit:
        """The examples at `rows` with their protected spans (those of all examples are given)."""
        pairs = examples.pairs
        return Unit(
            rows,
            [Source(text=examples.texts[row], protected=spans[row][0]) for row in rows],
            None if pairs is None else [Source(text=pairs[row], protected=spans[row][1]) for row in rows],
        )

    @property
    def as_draft(self) -> Draft:
        """Itself, unchanged."""
        pairs = self.pairs
        return Draft(
            self,
            [source.text for source in self.texts],
            None if pairs is None else [source.text for source in pairs],
        )


@dataclass(frozen=True)
class Draft:
    """A unit's new texts, in the order of its rows."""

    unit: Unit
    texts: list[str]
    pairs: list[str] | None

    def changes(self) -> list[tuple[Source, str]]:
        """The texts that differ from before, each once."""
        old, new = [*self.unit.texts, *(self.unit.pairs or [])], [*self.texts, *(self.pairs or [])]
        return list(dict.fromkeys(both for both in zip(old, new, strict=True) if both[0].text != both[1]))

    def merges_answers(self) -> bool:
        """Whether answers of the group that were different are now the same."""
        if self.pairs is None or self.unit.pairs is None:
            return False
        return len(set(self.pairs)) < len({source.text for source in self.unit.pairs})

    @property
    def key(self) -> Key:
        """That of `Examples.text_keys`; exact where nothing but capitals and spaces differs from the source."""
        keys = tuple(Examples(self.texts, self.pairs).text_keys())
        old = self.unit.as_draft
        if (old.texts, old.pairs) == (self.texts, self.pairs) or keys != old.key[1]:
            return "words", keys
        return "capitals", tuple(zip(self.texts, self.pairs or [""] * len(self.texts), strict=True))


Change = Callable[[Sequence[Unit], np.random.Generator], list[Draft | None]]
"""One draft for each unit, None where nothing can be produced."""


def change_of(transformation: AnyTransformation) -> Change:
    """How a τ changes units."""
    if isinstance(transformation, PairTransformation):
        return lambda units, rng: _change_pairs(transformation, units, rng)
    return lambda units, rng: _change_texts(transformation, units, rng)


def _change_texts(
    transformation: Transformation, units: Sequence[Unit], rng: np.random.Generator
) -> list[Draft | None]:
    """The first texts, the second or both, at random; the τ is asked once, for the sources of all units."""
    asked = [_sides(unit, int(rng.integers(3))) for unit in units]
    every = [source for sources in asked for source in sources]
    answers = iter(transformation(every, rng))
    return [
        _draft(unit, {source: next(answers) for source in sources}) for unit, sources in zip(units, asked, strict=True)
    ]


def _sides(unit: Unit, side: int) -> list[Source]:
    """The different sources of the side: of a group's shared text there is one."""
    chosen = [unit.texts, unit.pairs, [*unit.texts, *(unit.pairs or [])]][side] if unit.pairs else unit.texts
    return list(dict.fromkeys(chosen or []))


def _draft(unit: Unit, answers: dict[Source, str | None]) -> Draft | None:
    """Where the τ could do nothing with a text, that text stays as it is."""
    if all(answer is None for answer in answers.values()):
        return None

    def new(sources: list[Source]) -> list[str]:
        found = [answers.get(source) for source in sources]
        return [source.text if text is None else text for source, text in zip(sources, found, strict=True)]

    return Draft(unit, new(unit.texts), None if unit.pairs is None else new(unit.pairs))


def _change_pairs(
    transformation: PairTransformation, units: Sequence[Unit], rng: np.random.Generator
) -> list[Draft | None]:
    """All the pairs of a unit, or none of them."""
    every = [pair for unit in units for pair in zip(unit.texts, unit.pairs or [], strict=bool(unit.pairs))]
    answers = iter(transformation.change_pairs(every, rng))
    drafts: list[Draft | None] = []
    for unit in units:
        new = [next(answers) for _ in unit.pairs or []]
        pairs = [pair for pair in new if pair is not None]
        whole = bool(pairs) and len(pairs) == len(new)
        drafts.append(Draft(unit, [pair[0] for pair in pairs], [pair[1] for pair in pairs]) if whole else None)
    return drafts
