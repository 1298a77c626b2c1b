"""Words exchanged, left out and said twice, after EDA (Wei and Zou 2019, arXiv 1901.11196).

Negations stay where they are. A text that loses or moves one keeps nearly all its words and turns its meaning, which
is where a teacher that is only good enough labels worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np

from subarch.training.augment.base import Source
from subarch.training.augment.words import Word, carries_meaning, is_negation, neighbours, rewritten, some, words_of

_JOINTS = ("and", "or")
_EASILY_MISSED = frozenset({"a", "an", "the", "very", "really", "just", "quite", "also"})
_NEEDS_NEXT = frozenset({"more", "most", "less", "least", "as", "so", "too", "only", *_JOINTS})
"""What, like adverbs, is nothing without the word after it."""
_VERB_ENDINGS = ("ed", "ing")
"""English: a verb is no modifier, and has its place."""
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Exchanges words that carry meaning."""

    share: float = 0.03
    """Exchanges a word of the text, at least one."""
    reach: Literal["neighbours", "any"] = "neighbours"
    """Neighbours have nothing but space, "and" or "or" between them: the latter two first, which even stay fluent."""
    name: str = "swap"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        words = words_of(source)
        wanted, taken, edits = max(1, round(self.share * len(words))), set[Word](), []
        for first, second in self._pairs(words, source.text, rng):
            if len(taken) < 2 * wanted and not taken & {first, second} and first.text != second.text:
                taken |= {first, second}
                edits += [(first.start, first.end, second.text), (second.start, second.end, first.text)]
        return rewritten(source.text, edits) if edits else None

    def _pairs(self, words: list[Word], text: str, rng: np.random.Generator) -> list[tuple[Word, Word]]:
        """Pairs that may be exchanged, the better ones first."""
        able = {word for word in words if _is_plain(word)}
        if self.reach == "any":
            order = _shuffled(sorted(able), rng)
            return list(zip(order[::2], order[1::2], strict=False))
        denied = {second for first, second in pairwise(words) if is_negation(first.text)}
        beside = [pair for pair in pairwise(words) if able.issuperset(pair) and neighbours(text, *pair)]
        beside = [pair for pair in beside if pair[0] not in denied]
        return [*_shuffled(self._joined(words, able, text), rng), *_shuffled(beside, rng)]

    def _joined(self, words: list[Word], able: set[Word], text: str) -> list[tuple[Word, Word]]:
        """What "and" or "or" joins, where neither side is longer than its word."""
        longer = {
            word for pair in pairwise(words) if able.issuperset(pair) and neighbours(text, *pair) for word in pair
        }
        return [
            (first, second)
            for first, joint, second in zip(words, words[1:], words[2:], strict=False)
            if joint.text in _JOINTS
            and able - longer >= {first, second}
            and neighbours(text, first, joint)
            and neighbours(text, joint, second)
        ]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Leaves words out that the next word can do without: articles, and modifiers of a word that carries meaning."""

    share: float = 0.1
    """Of all words, at least one."""
    name: str = "drop"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        words = words_of(source)
        able = [
            trio[1]
            for trio in zip((None, *words), words, (*words[1:], None), strict=False)
            if self._able(source.text, *trio)
        ]
        if not able:
            return None
        chosen = some(able, min(1.0, max(1, round(self.share * len(words))) / len(able)), rng)
        kept = rewritten(source.text, [_cut(word, source.text) for word in chosen])
        begun = [word for word in chosen if _begins(word, source.text)]
        return kept[:1].upper() + kept[1:] if begun and begun[0].text[:1].isupper() and not source.protected else kept

    def _able(self, text: str, before: Word | None, word: Word, after: Word | None) -> bool:
        """Whether the word after it can do without the word."""
        if word.opened or after is None or not neighbours(text, word, after) or is_negation(word.text):
            return False
        if before is not None and _needs_next(before.text):
            return False
        if word.text.lower() in _EASILY_MISSED:
            return True
        # "Heads of state agreed": before a verb stands no modifier, and parts of names stay together.
        return _is_plain(word) and _is_plain(after)


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Says words twice."""

    share: float = 0.05
    """Of the words, at least one."""
    name: str = "repeat"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        words = [word for word in words_of(source) if not is_negation(word.text)]
        if not words:
            return None
        edits = []
        for word in some(words, self.share, rng):
            again = word.text.lower() if word.text.istitle() and _begins(word, source.text) else word.text
            edits.append((word.end, word.end, f" {again}"))
        return rewritten(source.text, edits)


def _needs_next(word: str) -> bool:
    return is_negation(word) or word.lower() in _NEEDS_NEXT or word.endswith("ly")


def _is_plain(word: Word) -> bool:
    """Whether it carries meaning, is no name, begins no sentence, and does not look like a verb."""
    return carries_meaning(word.text) and word.text.islower() and not word.text.endswith(_VERB_ENDINGS)


def _shuffled(items: list[Item], rng: np.random.Generator) -> list[Item]:
    return [items[index] for index in rng.permutation(len(items)).tolist()]


def _begins(word: Word, text: str) -> bool:
    return not text[: word.start].strip()


def _cut(word: Word, text: str) -> tuple[int, int, str]:
    """The edit that takes a word out with the space before it, or after it where it is the first."""
    before, after = text[: word.start], text[word.end :]
    if before.strip():
        return len(before.rstrip()), word.end, ""
    return word.start, word.end + len(after) - len(after.lstrip()), ""
