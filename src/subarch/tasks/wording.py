"""Texts as the numbers of their words, many texts at once: a word of its own for Python costs as much as a search."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from subarch.tasks.base import BLOCK, Array, blocks

BATCH = 200_000
"""Bytes whose words are told apart at once: their arrays stay in the processor's cache."""

_WORD = re.compile(r"\w+")
_IS_WORD = [bool(_WORD.match(chr(code))) for code in range(128)]
_LOWER = bytes(ord(chr(code).lower()) if code > 127 or _IS_WORD[code] else 32 for code in range(256))
"""ASCII characters of words in small letters, and a space for each other one; the rest of UTF-8 stays."""
_END = 255
"""Stands behind a text: no byte of UTF-8."""
_BASE, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, without regard to case; punctuation and spacing do not count."""
    return _WORD.findall(text.casefold())


@dataclass
class Wording:
    """The different texts of `least` words or more, word by word.

    Args:
        least: Words of a text that is numbered; a shorter one is a short text.
        most: Words of all different texts beyond which they are only counted.
    """

    least: int
    most: int
    numbers: dict[int, int] = field(default_factory=dict)
    """Hash of a text's words to its number."""
    shorts: dict[str, int] = field(default_factory=dict)
    """Short texts, their words in one line, and their numbers."""
    lengths: array[int] = field(default_factory=lambda: array("q"))
    """Words of each text."""
    total: int = 0
    """Words of all different texts."""
    _vocabulary: dict[int, int] = field(default_factory=dict)
    _corpus: array[int] = field(default_factory=lambda: array("i"))

    def add(self, column: Iterable[str]) -> Array:
        """(N,) each row's text: a number, equal for equal words; from -1 downwards of short ones."""
        rows = array("q")
        for texts in _batches(column):
            hashes, sizes, keys = _hashed(texts, self.most)
            fresh = np.zeros(len(texts), dtype=bool)
            for at, (size, key) in enumerate(zip(sizes.tolist(), keys.tolist(), strict=True)):
                if size < self.least:
                    line = " ".join(words(texts[at]))
                    rows.append(~self.shorts.setdefault(line, len(self.shorts)))
                    continue
                known = len(self.numbers)
                rows.append(self.numbers.setdefault(key, known))
                if len(self.numbers) > known:
                    self.total += size
                    fresh[at] = self.total <= self.most
            if fresh.any():
                self.lengths.frombytes(sizes[fresh].astype(np.int64).tobytes())
                self._corpus.frombytes(self._numbered(hashes[np.repeat(fresh, sizes)]).tobytes())
        return np.array(rows, dtype=np.int64)

    @property
    def corpus(self) -> Array:
        """(W,) int32 numbers of the words of all texts, one text after the other."""
        return np.frombuffer(self._corpus, dtype=np.int32)

    @property
    def size(self) -> int:
        """Different words of the texts."""
        return len(self._vocabulary)

    def word_numbers(self, found: Sequence[str]) -> dict[str, int]:
        """The numbers of those of these words that stand in the texts."""
        hashes = _of_words(bytes([_END]).join(map(_raw, found)))[0]
        numbers = (self._vocabulary.get(key) for key in hashes.tolist())
        return {word: number for word, number in zip(found, numbers, strict=True) if number is not None}

    def _numbered(self, hashes: Array) -> Array:
        different, same = np.unique(hashes, return_inverse=True)
        number = self._vocabulary.setdefault
        known = [number(key, len(self._vocabulary)) for key in different.tolist()]
        return np.array(known, dtype=np.int32)[same]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """A few texts at once; one that is very long comes alone."""
    batch: list[str] = []
    room = 0
    for text in texts:
        if batch and room + len(text) > BATCH:
            yield batch
            batch, room = [], 0
        batch.append(text)
        room += len(text)
    if batch:
        yield batch


def _hashed(texts: Sequence[str], most: int) -> tuple[Array, Array, Array]:
    """(W,) uint64 hashes of the words of all texts, (T,) how many words each has, and (T,) hashes of the texts.

    Of a very long text with more than `most` words only so many, or some more, are among the first.
    """
    if len(texts) == 1 and len(texts[0]) > BLOCK:
        return _hashed_by_blocks(texts[0], most)
    hashes, ends = _of_words(bytes([_END]).join(map(_raw, texts)))
    sizes = np.diff(ends, prepend=0, append=len(hashes))
    return hashes, sizes, _of_texts(hashes, sizes)


def _hashed_by_blocks(text: str, most: int) -> tuple[Array, Array, Array]:
    kept, size, key = [np.zeros(0, dtype=np.uint64)], 0, 0
    for block in blocks(text):
        hashes, _ = _of_words(_raw(block))
        key += _sum(hashes) * pow(int(_BASE), size, 2**64)
        if size <= most:
            kept.append(hashes)
        size += len(hashes)
    return np.concatenate(kept), np.array([size]), _mixed(np.array([key % 2**64], dtype=np.uint64))


def _sum(hashes: Array) -> int:
    return int((hashes * _powers(len(hashes))).sum()) if len(hashes) else 0


def _raw(text: str) -> bytes:
    return text.encode() if text.isascii() else " ".join(words(text)).encode()


def _of_words(raw: bytes) -> tuple[Array, Array]:
    """Hashes of words, and how many of them stand before each `_END`."""
    flat = np.frombuffer(raw.translate(_LOWER), dtype=np.uint8)
    inside = (flat != 32) & (flat != _END)
    begins = inside.copy()
    begins[1:] &= ~inside[:-1]
    starts = np.flatnonzero(begins)
    ends = np.searchsorted(starts, np.flatnonzero(flat == _END))
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), ends
    places = np.flatnonzero(inside)
    first = np.flatnonzero(begins[places])
    within = np.arange(len(places)) - np.repeat(first, np.diff(first, append=len(places)))
    return _mixed(
        np.add.reduceat((flat[places].astype(np.uint64)) * _powers(int(within.max()) + 1)[within], first)
    ), ends


def _of_texts(hashes: Array, sizes: Array) -> Array:
    """(T,) uint64 hashes of texts by those of their words, (W,)."""
    found = np.zeros(len(sizes), dtype=np.uint64)
    first = (sizes.cumsum() - sizes)[sizes > 0]
    if len(first):
        held = sizes[sizes > 0]
        within = np.arange(len(hashes)) - np.repeat(first, held)
        found[sizes > 0] = _mixed(np.add.reduceat(hashes * _powers(int(held.max()))[within], first))
    return found


def _powers(count: int) -> Array:
    return np.multiply.accumulate(np.full(count, _BASE))


def _mixed(hashes: Array) -> Array:
    mixed = hashes ^ (hashes >> np.uint64(31))
    mixed *= _MIX
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))
