"""The order of texts and of sentences: what is said stays, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from subarch.tasks.base import Task
from subarch.training.augment.base import Source

SYMMETRIC = frozenset({"mrpc", "qqp", "stsb"})
"""Tasks whose answer does not depend on which text stands first."""
PASSAGES = frozenset({"boolq", "multirc", "record", "squad1", "squad2"})
"""Tasks that ask about a long text whose sentences rarely hang on their order; RACE's stories do."""

_SENTENCE = re.compile(r"\S.*?[.!?]['\"”’)]*(?=\s+[\"'“‘(]*[A-Z0-9]|\s*$)|\S.*\S|\S", re.DOTALL)
_ABBREVIATION = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|St|Sgt|Gen|Col|Rev|Jr|Sr|vs|No|Inc|Ltd|Co|Corp))\.$")


def is_symmetric(task: Task) -> bool:
    """Whether the two texts of a pair may be exchanged."""
    return task.name in SYMMETRIC


def has_passages(task: Task) -> bool:
    """Whether the sentences of its long text may stand in another order."""
    return task.name in PASSAGES


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Exchanges the two texts of a pair; the caller knows that the task allows it (`is_symmetric`)."""

    name: str = "segments"

    def change_pairs(
        self, pairs: Sequence[tuple[Source, Source]], rng: np.random.Generator
    ) -> list[tuple[str, str] | None]:
        """See `PairTransformation`; None for pairs of one text twice and for those with protected spans."""
        return [
            None if first.text == second.text or first.protected or second.protected else (second.text, first.text)
            for first, second in pairs
        ]


@dataclass(frozen=True, kw_only=True)
class SentenceOrder:
    """Moves one sentence of a long text to another place; the caller knows that the task allows it (`has_passages`)."""

    fewest: int = 4
    """Sentences of the shortest text that is changed."""
    name: str = "segments"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        spans = sentences(source.text)
        # A sentence with a protected span stays, so that these keep their order.
        loose = [
            number
            for number, (start, end) in enumerate(spans)
            if not any(low < end and start < high for low, high in source.protected)
        ]
        if len(spans) < self.fewest or not loose:
            return None
        chosen = loose[int(rng.integers(len(loose)))]
        order = [number for number in range(len(spans)) if number != chosen]
        place = int(rng.integers(len(order)))
        order.insert(place + (place >= chosen), chosen)
        gaps = [source.text[end:start] for (_, end), (start, _) in pairwise(spans)]
        text = "".join(source.text[slice(*spans[number])] + gap for number, gap in zip(order, [*gaps, ""], strict=True))
        return source.text[: spans[0][0]] + text + source.text[spans[-1][1] :]


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, without the space between; cautious about abbreviations."""
    found: list[tuple[int, int]] = []
    for match in _SENTENCE.finditer(text):
        if found and _ABBREVIATION.search(text[found[-1][0] : found[-1][1]]):
            found[-1] = (found[-1][0], match.end())
        else:
            found.append(match.span())
    return found
