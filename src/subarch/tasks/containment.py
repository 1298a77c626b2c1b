"""Which texts stand whole inside others, word by word: a text's rarest run of four words says where to look."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subarch.tasks.base import Array

RUN = 4
"""Words of the shortest text that relates others: a shorter one, such as "the movie", stands in everything."""
MOST_SHORT = 64
"""Places of a shorter text above which it is a common phrase."""
MOST_WORDS = 20_000_000
"""Words of different texts above which nothing is looked for: they take 1.5 GB and half a minute."""
MOST_PLACES = 10_000_000
"""Places that are looked at; the texts with the most places go unseen beyond."""
CHUNK = 1_000_000
"""Places that are compared at once."""

_WORD = re.compile(r"\w+")
_NONE: Array = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Containment:
    """Different texts by number, and which of them stand inside which."""

    texts: list[Array]
    """For each column (N,) each row's text: a number, equal for equal words; from -1 downwards below `RUN` words."""
    count: int
    """Different texts of `RUN` words or more."""
    inner: Array
    """(E,) numbers of texts that stand inside another one."""
    outer: Array
    """(E,) that other one; each pair of `inner` and `outer` occurs once."""
    places: int
    """Places that were compared: the work."""
    complete: bool
    """Whether every text was looked for."""
    short: tuple[Array, Array] = (_NONE, _NONE)
    """Shorter texts, from 0 where `texts` has -1, and the texts they stand inside, each pair once; no common ones."""


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores, without regard to case; punctuation and spacing do not count."""
    return _WORD.findall(text.casefold())


def find_contained(
    columns: Sequence[Iterable[str]],
    *,
    short: bool = False,
    most_words: int = MOST_WORDS,
    most_places: int = MOST_PLACES,
) -> Containment:
    """Find every text of `RUN` words or more that stands inside a longer one.

    Args:
        columns: Texts; one may stand inside another of any column.
        short: Look for shorter texts too.
        most_words: Limit of the words of all different texts, above which nothing is found.
        most_places: Limit of the places to compare; beyond it the texts that have the most are not looked for.
    """
    numbers, shorts, vocabulary = _Numbers(), _Numbers(), _Numbers()
    corpus, lengths = array("i"), array("q")
    texts, total = [], 0
    for column in columns:
        row_texts = []
        for text in column:
            found = words(text)
            if len(found) < RUN:
                row_texts.append(~shorts[" ".join(found)])
                continue
            known = len(numbers)
            row_texts.append(numbers[" ".join(found)])
            if len(numbers) == known:
                continue
            total += len(found)
            if total <= most_words:  # Beyond it, only equal texts are told, which takes no search.
                corpus.extend(map(vocabulary.__getitem__, found))
                lengths.append(len(found))
        texts.append(np.array(row_texts, dtype=np.int64))
    if not 0 < total <= most_words:
        return Containment(texts, len(numbers), _NONE, _NONE, 0, not total)
    flat, sizes = np.array(corpus), np.array(lengths)
    pairs, places, complete = _search(flat, sizes, most_places)
    few = _short_places(flat, sizes, shorts, vocabulary) if short else (_NONE, _NONE)
    return Containment(texts, len(numbers), pairs[0], pairs[1], places, complete, few)


def rows_inside(texts: Sequence[str], others: Sequence[str]) -> int:
    """How many of the texts, of `RUN` words or more, stand inside a longer one of the others."""
    found = find_contained([texts, others])
    mine, theirs = found.texts
    known, inside = np.zeros(found.count, dtype=bool), np.zeros(found.count, dtype=bool)
    known[theirs[theirs >= 0]] = True
    inside[found.inner[known[found.outer]]] = True
    return int(inside[mine[mine >= 0]].sum())


class _Numbers(dict[str, int]):
    """Numbers from 0 in the order of first use."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        return number


def _search(corpus: Array, lengths: Array, most_places: int) -> tuple[Array, int, bool]:
    """(2, E) inner and outer texts, the places compared, and whether that was all.

    Args:
        corpus: (W,) numbers of the words of all texts, one text after the other.
        lengths: Words of each, `RUN` or more.
        most_places: As of `find_contained`.
    """
    ends = lengths.cumsum()
    starts = ends - lengths
    owner = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    runs = np.flatnonzero(owner[: 1 - RUN] == owner[RUN - 1 :]).astype(np.int32)
    order, first, count = _buckets(corpus, runs)
    # The rarest run of each text: its bucket's size above the run's own index, so that one minimum finds both.
    begin = starts - np.arange(len(lengths)) * (RUN - 1)
    rarest = np.minimum.reduceat((count.astype(np.int64) << 32) | np.arange(len(runs)), begin)
    size, run = rarest >> 32, rarest & 0xFFFFFFFF
    wanted = np.flatnonzero(size > 1)
    wanted = wanted[np.argsort(size[wanted], kind="stable")]
    allowed = int(np.searchsorted(size[wanted].cumsum(), most_places, side="right"))
    complete = allowed == len(wanted)
    wanted = wanted[:allowed]
    found = [np.zeros((2, 0), dtype=np.int64)]
    edges = np.searchsorted(size[wanted].cumsum(), np.arange(CHUNK, int(size[wanted].sum()) + CHUNK, CHUNK), "right")
    for low, high in zip([0, *edges], [*edges, len(wanted)], strict=True):
        inner = wanted[low:high]
        each = size[inner]
        within = np.arange(each.sum()) - np.repeat(each.cumsum() - each, each)
        inner = np.repeat(inner, each)
        place = runs[order[first[run[inner]] + within]] - (runs[run[inner]] - starts[inner])
        fits = (place >= 0) & (place + lengths[inner] <= len(corpus))
        inner, place = inner[fits], place[fits]
        outer = owner[place]
        fits = (outer != inner) & (place + lengths[inner] <= ends[outer]) & (owner[place + lengths[inner] - 1] == outer)
        inner, place = inner[fits], place[fits]
        same = _same(corpus, starts[inner], place, lengths[inner])
        found.append(np.unique(np.stack([inner[same], owner[place[same]]]), axis=1))
    return np.concatenate(found, axis=1), int(size[wanted].sum()), complete


def _buckets(corpus: Array, runs: Array) -> tuple[Array, Array, Array]:
    """Runs in the order of their hashes; for each run the place in that order where its equals begin, and how many."""
    factors = np.random.default_rng(0).integers(1, 2**63, RUN, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.zeros(len(runs), dtype=np.uint64)
    for offset, factor in enumerate(factors):
        hashes += (corpus[runs + offset].astype(np.uint64) + np.uint64(1)) * factor
    order = np.argsort(hashes)
    hashes = hashes[order]
    heads = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    sizes = np.diff(heads, append=len(runs))
    first, count = np.empty(len(runs), dtype=np.int32), np.empty(len(runs), dtype=np.int32)
    first[order], count[order] = np.repeat(heads, sizes), np.repeat(sizes, sizes)
    return order.astype(np.int32), first, count


def _same(corpus: Array, left: Array, right: Array, lengths: Array) -> Array:
    """Indices where the `lengths` words from `left` are those from `right`; both stay within the corpus."""
    alive = np.arange(len(left))
    done = []
    offset = 0
    while len(alive):
        alive = alive[corpus[left[alive] + offset] == corpus[right[alive] + offset]]
        offset += 1
        over = lengths[alive] == offset
        done.append(alive[over])
        alive = alive[~over]
    return np.concatenate(done) if done else _NONE


def _short_places(corpus: Array, lengths: Array, shorts: _Numbers, vocabulary: _Numbers) -> tuple[Array, Array]:
    """Numbers of short texts and of the texts of the corpus that hold them; those with too many places are left out."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    inner, outer = [_NONE], [_NONE]
    for length in range(1, RUN):
        if len(vocabulary) ** length >= 2**63:  # Three of more than two million different words have no code.
            break
        known: dict[int, int] = {}
        for text, number in shorts.items():
            found = text.split()
            if len(found) == length and all(word in vocabulary for word in found):
                known[_code([vocabulary[word] for word in found], len(vocabulary))] = number
        if not known:
            continue
        codes = np.array(sorted(known), dtype=np.int64)
        names = np.array([known[code] for code in codes.tolist()], dtype=np.int64)
        heads = np.zeros(len(vocabulary), dtype=bool)
        heads[codes // len(vocabulary) ** (length - 1)] = True
        place = np.flatnonzero(heads[corpus[: len(corpus) - length + 1]])
        place = place[owner[place] == owner[place + length - 1]]
        here = _code([corpus[place + offset].astype(np.int64) for offset in range(length)], len(vocabulary))
        at = np.minimum(np.searchsorted(codes, here), len(codes) - 1)
        hit = codes[at] == here
        at, place = at[hit], place[hit]
        few = np.bincount(at, minlength=len(codes))[at] <= MOST_SHORT
        pairs = np.unique(np.stack([names[at[few]], owner[place[few]]]), axis=1)
        inner.append(pairs[0])
        outer.append(pairs[1])
    return np.concatenate(inner), np.concatenate(outer)


def _code(found: Sequence[Any], base: int) -> Any:
    """One number for a few words out of `base`."""
    code = found[0]
    for word in found[1:]:
        code = code * base + word
    return code
