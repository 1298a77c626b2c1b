"""Which new texts are kept: those that are neither the old text over again nor another text altogether.

The distance is Levenshtein's over words, divided by the length of the longer text. A word replaced by another counts
1, by a misspelling or an inflection of itself 0.5, by itself in other capitals 0.25 times the share of its characters
that differ: what a reader takes for the same word is near.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from rapidfuzz.distance import Levenshtein

from subarch.errors import ConfigError

Verdict = Literal["kept", "too_near", "too_far"]

WORDS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
SPELLING = 0.5
CAPITALS = 0.25
SPELLED_ALIKE = 0.34
"""Share of characters in which two spellings of one word differ at most."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Texts are kept whose distance d is low < d <= high.

    Raises:
        ConfigError: Bounds that keep nothing, or no attempt.
    """

    low: float = 0.01
    """One word in a hundred."""
    high: float = 0.5
    """Every second word."""
    attempts: int = 4
    """How often τ is asked, with fresh randomness, before a refused point is given up."""

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ConfigError(f"window from {self.low} to {self.high}, expected 0 <= low < high")
        if self.attempts < 1:
            raise ConfigError(f"attempts is {self.attempts}, expected at least 1")

    def judge(self, changes: Sequence[tuple[str, str]]) -> Verdict:
        """What becomes of one point, given the (old, new) texts of it that may differ.

        One of them at least must be far enough from identical, and each near enough to its own old text; but a point
        with the words it had before, in another order, is never too far.
        """
        old, new = [_words(text) for text, _ in changes], [_words(text) for _, text in changes]
        distances = [_distance(*texts) for texts in zip(old, new, strict=True)]
        if all(distance <= self.low for distance in distances):
            return "too_near"
        if all(distance <= self.high for distance in distances) or Counter(chain(*old)) == Counter(chain(*new)):
            return "kept"
        return "too_far"


def distance(old: str, new: str) -> float:
    """Share of the words by which two texts differ, 0 to 1."""
    return _distance(_words(old), _words(new))


def _words(text: str) -> list[str]:
    found: list[str] = WORDS.findall(text)
    return found


def _distance(old: list[str], new: list[str]) -> float:
    if old == new:
        return 0.0
    cost = 0.0
    for step in Levenshtein.opcodes(old, new):
        before, after = old[step.src_start : step.src_end], new[step.dest_start : step.dest_end]
        if step.tag == "replace":
            cost += sum(_replacement(*words) for words in zip(before, after, strict=True))
        elif step.tag != "equal":
            cost += max(len(before), len(after))
    return cost / max(len(old), len(new))


def _replacement(old: str, new: str) -> float:
    if old.casefold() == new.casefold():
        return CAPITALS * Levenshtein.normalized_distance(old, new)
    alike = Levenshtein.normalized_distance(old.casefold(), new.casefold()) <= SPELLED_ALIKE
    return SPELLING if alike else 1.0
