"""The words of a text that τ may change, and how to change them without touching what stands around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import JaroWinkler, Levenshtein

from subarch.training.augment.base import Source, Span

_CHUNK = re.compile(
    r"""(?<!\S)
    (?!['’](?:s|re|ve|ll|d|m|t)(?!\S))                   # a clitic that stands apart belongs to the word before it
    (?P<before>[(\["'“‘]*)
    (?P<word>\d[\d.,]*\d|(?:[^\W\d_]\.)+[^\W\d_]|[^\W_]+(?:[-'’][^\W_]+)*)
    (?P<after>[.,;:!?)\]"'”’…]*)
    (?!\S)""",
    re.VERBOSE,
)
_NEGATION = re.compile(
    r"(?:no|not|never|none|nor|neither|nobody|nothing|nowhere|without|cannot|\w*n['’]t)", re.IGNORECASE
)

_ENDINGS = ("s", "ing", "ed", "ly")
"""English endings that a word and the one in its place must share: "titles" is no "championship"."""


class Word(NamedTuple):
    """A word without the punctuation around it."""

    text: str
    start: int
    """In characters."""
    end: int
    opened: bool
    """Whether punctuation stands directly before it."""
    closed: bool
    """Whether punctuation stands directly after it."""

    @property
    def is_number(self) -> bool:
        """Whether it begins with a digit."""
        return self.text[0].isdigit()


def words_of(source: Source) -> list[Word]:
    """The words that may be changed, in their order: none that touches a protected span, no part of a web address,
    hashtag or formula."""
    found = [
        Word(match["word"], *match.span("word"), bool(match["before"]), bool(match["after"]))
        for match in _CHUNK.finditer(source.text)
    ]
    return [word for word in found if not touches((word.start, word.end), source.protected)]


def neighbours(text: str, first: Word, second: Word) -> bool:
    """Whether nothing but space stands between two words."""
    return text[first.end : second.start].isspace()


def touches(span: Span, others: Iterable[Span]) -> bool:
    """Whether any character of `span` is in one of `others`."""
    return any(start < span[1] and span[0] < end for start, end in others)


def is_negation(word: str) -> bool:
    """Whether it denies (English)."""
    return bool(_NEGATION.fullmatch(word))


def carries_meaning(word: str) -> bool:
    """Whether it is neither a number, a function word (English) nor a negation."""
    return word.isalpha() and len(word) > 2 and word.lower() not in _function_words() and not is_negation(word)


@cache
def _function_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # a second, which only τ must pay

    # The list of scikit-learn holds some words that do carry meaning, and lacks some that do not, or are common verbs.
    meaningful = {
        *("bill", "cry", "detail", "fill", "find", "fire", "interest", "mill", "serious", "sincere", "system"),
        *("thick", "thin", "top"),
    }
    missing = {
        *("amid", "came", "come", "did", "does", "doing", "got", "having", "just", "let", "said", "say", "says"),
        *("than", "told", "took", "went"),
    }
    return frozenset((ENGLISH_STOP_WORDS - meaningful) | missing)


def is_other_word(new: str, old: str) -> bool:
    """Whether one word may stand for another, both in lower case: inflected alike, and no other form of it."""
    if any(new.endswith(ending) != old.endswith(ending) for ending in _ENDINGS):
        return False
    if new.endswith(old) or old.endswith(new):
        return False  # "unsafe" is what "safe" is not
    alike = max(3, min(len(new), len(old)) - 2)
    if new[:alike] == old[:alike]:
        return False
    return JaroWinkler.similarity(new, old) < 0.9 and Levenshtein.distance(new, old) > 1


def some(words: Sequence[Word], share: float, rng: np.random.Generator) -> list[Word]:
    """That share of the words, at least one, drawn without replacement, in their order."""
    count = min(len(words), max(1, round(share * len(words))))
    return [words[index] for index in sorted(rng.permutation(len(words))[:count].tolist())]


def rewritten(text: str, edits: Iterable[tuple[int, int, str]]) -> str:
    """The text with the characters from start to end replaced, for each (start, end, new); these do not overlap."""
    parts, at = [], 0
    for start, end, new in sorted(edits):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def replaced(text: str, words: Sequence[Word], new: Mapping[Word, str]) -> str:
    """The text with some of its words replaced, in their old capitals; an article "a" or "an" before one follows it.

    Args:
        text: The text.
        words: `words_of` it, so that no protected article is changed.
        new: What stands in the place of a word.
    """
    edits = []
    for before, word in zip((None, *words), words, strict=False):
        if word not in new:
            continue
        edits.append((word.start, word.end, shaped_like(new[word], word.text)))
        if before is not None and before not in new and neighbours(text, before, word):
            edits += _article(before, word.text, new[word])
    return rewritten(text, edits)


def _article(before: Word, old: str, new: str) -> list[tuple[int, int, str]]:
    # Only where the sound changes: "an hour" and "a union" are right as they are.
    vowel = new[0].lower() in "aeiou"
    if before.text.lower() not in ("a", "an") or vowel == (old[0].lower() in "aeiou"):
        return []
    return [(before.start, before.end, before.text[0] + ("n" if vowel else ""))]


def shaped_like(new: str, old: str) -> str:
    """The new word with the capitals of the old one."""
    if old == "I":
        return new
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
