"""Capitals and typing errors: the same words as people write them in haste."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from subarch.training.augment.base import Source, merged
from subarch.training.augment.words import is_negation, rewritten, shaped_like, some, words_of

Case = Literal["lower", "upper", "title", "first"]


@dataclass(frozen=True, kw_only=True)
class Casing:
    """Writes the whole text in other capitals, protected spans apart."""

    cases: tuple[Case, ...] = ("lower", "upper", "title", "first")
    """One of them is drawn among those that change something; "first" is the capital of the first letter, on or off."""
    name: str = "casing"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        for index in rng.permutation(len(self.cases)).tolist():
            changed = _CASES[self.cases[index]](source)
            if changed != source.text:
                return changed
        return None


def sees_casing(tokenizer: Any) -> bool:
    """Whether texts in other capitals are other tokens; where they are not, `Casing` makes the same example again."""
    return len({tuple(tokenizer.encode(text)) for text in ("the word", "The Word", "THE WORD")}) > 1


def _everywhere(change: Callable[[str], str], source: Source) -> str:
    spans = merged(source.protected)
    starts, ends = (0, *(end for _, end in spans)), (*(start for start, _ in spans), len(source.text))
    return rewritten(
        source.text,
        [(start, end, _same_length(change, source.text[start:end])) for start, end in zip(starts, ends, strict=True)],
    )


def _same_length(change: Callable[[str], str], text: str) -> str:
    """Letters whose other case is two letters (German sharp s) stay."""
    changed = change(text)
    if len(changed) == len(text):
        return changed
    return "".join(other if len(other) == 1 else letter for letter in text for other in (change(letter),))


def _titled(source: Source) -> str:
    # str.title would write "Don'T".
    words = [word for word in words_of(source) if word.text[0].islower()]
    return rewritten(source.text, [(word.start, word.start + 1, word.text[0].upper()) for word in words])


def _first(source: Source) -> str:
    words = words_of(source)
    if not words or source.text[: words[0].start].strip():
        return source.text
    letter = words[0].text[0]
    return rewritten(source.text, [(words[0].start, words[0].start + 1, letter.swapcase())])


_CASES: dict[Case, Callable[[Source], str]] = {
    "lower": partial(_everywhere, str.lower),
    "upper": partial(_everywhere, str.upper),
    "title": _titled,
    "first": _first,
}


@dataclass(frozen=True, kw_only=True)
class Typing:
    """Mistypes a few words: a neighbouring key, two letters transposed, one doubled or missing."""

    share: float = 0.08
    """Of the words that are long enough, at least one."""
    shortest: int = 4
    """Letters of the shortest word that is mistyped: shorter ones turn into others."""
    name: str = "typing"

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        return [self._change(source, rng) for source in sources]

    def _change(self, source: Source, rng: np.random.Generator) -> str | None:
        words = [word for word in words_of(source) if len(word.text) >= self.shortest and word.text.isalpha()]
        words = [word for word in words if not is_negation(word.text)]
        if not words:
            return None
        edits = []
        for word in some(words, self.share, rng):
            slip = _SLIPS[int(rng.integers(len(_SLIPS)))]
            # The first letter is rarely mistyped, and readers lean on it.
            at = int(rng.integers(1, len(word.text) - 1))
            edits.append((word.start, word.end, slip(word.text, at, rng)))
        changed = rewritten(source.text, edits)
        return None if changed == source.text else changed


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _keys() -> dict[str, str]:
    """Each letter's neighbours on a QWERTY keyboard."""
    place = {letter: (row, column + row / 2) for row, keys in enumerate(_ROWS) for column, letter in enumerate(keys)}
    return {
        letter: "".join(
            other for other, (r, c) in place.items() if other != letter and abs(r - row) <= 1 and abs(c - column) <= 1
        )
        for letter, (row, column) in place.items()
    }


_NEIGHBOURS = _keys()


def _neighbouring(word: str, at: int, rng: np.random.Generator) -> str:
    keys = _NEIGHBOURS.get(word[at].lower(), "")
    if not keys:
        return _missing(word, at, rng)
    return word[:at] + shaped_like(keys[int(rng.integers(len(keys)))], word[at]) + word[at + 1 :]


def _transposed(word: str, at: int, rng: np.random.Generator) -> str:
    changed = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return _doubled(word, at, rng) if changed == word else changed


def _doubled(word: str, at: int, rng: np.random.Generator) -> str:
    return word[: at + 1] + word[at:]


def _missing(word: str, at: int, rng: np.random.Generator) -> str:
    return word[:at] + word[at + 1 :]


_SLIPS = (_neighbouring, _transposed, _doubled, _missing)
