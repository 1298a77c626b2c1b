"""Which texts stand whole inside others, word by word: a text's rarest run of four words says where to look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subarch.tasks.base import Array
from subarch.tasks.wording import Wording

RUN = 4
"""Words of the shortest text that relates others: a shorter one, such as "the movie", stands in everything."""
MOST_SHORT = 64
"""Places of a shorter text above which it is a common phrase."""
MOST_WORDS = 20_000_000
"""Words of different texts above which nothing is looked for: they take half a GB and half a minute."""
MOST_PLACES = 10_000_000
"""Places that are looked at; the texts with the most places go unseen beyond."""
CHUNK = 1_000_000
"""Places that are compared at once."""

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
    wording = Wording(RUN, most_words)
    texts = [wording.add(column) for column in columns]
    count, total = len(wording.numbers), wording.total
    wording.numbers.clear()
    if not 0 < total <= most_words:  # Beyond it, only equal texts are told, which takes no search.
        return Containment(texts, count, _NONE, _NONE, 0, not total)
    flat, sizes = wording.corpus, np.array(wording.lengths)
    pairs, places, complete = _search(flat, sizes, most_places)
    few = _short_places(flat, sizes, wording) if short else (_NONE, _NONE)
    return Containment(texts, count, pairs[0], pairs[1], places, complete, few)


def rows_inside(texts: Sequence[str], others: Sequence[str]) -> int:
    """How many of the texts, of `RUN` words or more, stand inside a longer one of the others."""
    found = find_contained([texts, others])
    mine, theirs = found.texts
    known, inside = np.zeros(found.count, dtype=bool), np.zeros(found.count, dtype=bool)
    known[theirs[theirs >= 0]] = True
    inside[found.inner[known[found.outer]]] = True
    return int(inside[mine[mine >= 0]].sum())


def _search(corpus: Array, lengths: Array, most_places: int) -> tuple[Array, int, bool]:
    """(2, E) inner and outer texts, the places compared, and whether that was all.

    Args:
        corpus: (W,) numbers of the words of all texts, one text after the other.
        lengths: Words of each, `RUN` or more.
        most_places: As of `find_contained`.
    """
    ends = lengths.cumsum()
    starts = ends - lengths
    whole = np.ones(len(corpus), dtype=bool)
    for word in range(1, RUN):
        whole[ends - word] = False
    runs = np.flatnonzero(whole).astype(np.int32)
    del whole
    hashes = _hashes(corpus, runs)
    wanted, run, size = _rarest(hashes, starts - np.arange(len(lengths)) * (RUN - 1), lengths - RUN + 1)
    allowed = int(np.searchsorted(size.cumsum(), most_places, side="right"))
    complete = allowed == len(wanted)
    wanted, run, size = wanted[:allowed], run[:allowed], size[:allowed]
    spots, first = _spots(hashes, hashes[run])
    places = runs[spots]
    into = runs[run] - starts[wanted]
    del hashes, runs
    found = [np.zeros((2, 0), dtype=np.int64)]
    edges = np.searchsorted(size.cumsum(), np.arange(CHUNK, int(size.sum()) + CHUNK, CHUNK), "right")
    for low, high in zip([0, *edges], [*edges, len(wanted)], strict=True):
        each = size[low:high]
        inner = np.repeat(wanted[low:high], each)
        place = places[np.repeat(first[low:high], each) + _within(each)] - np.repeat(into[low:high], each)
        fits = (place >= 0) & (place + lengths[inner] <= len(corpus))
        inner, place = inner[fits], place[fits]
        outer = np.searchsorted(ends, place, side="right")
        fits = (outer != inner) & (place + lengths[inner] <= ends[outer])
        inner, outer, place = inner[fits], outer[fits], place[fits]
        same = _same(corpus, starts[inner], place, lengths[inner])
        found.append(np.unique(np.stack([inner[same], outer[same]]), axis=1))
    return np.concatenate(found, axis=1), int(size.sum()), complete


def _hashes(corpus: Array, runs: Array) -> Array:
    """(R,) uint32, equal where the `RUN` words from each of the places are; seldom equal elsewhere."""
    factors = np.random.default_rng(0).integers(1, 2**63, RUN, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(len(runs), dtype=np.uint32)
    for low in range(0, len(runs), CHUNK):
        part = runs[low : low + CHUNK]
        mixed = np.zeros(len(part), dtype=np.uint64)
        for offset, factor in enumerate(factors):
            mixed += (corpus[part + offset].astype(np.uint64) + np.uint64(1)) * factor
        hashes[low : low + CHUNK] = mixed >> np.uint64(32)
    return hashes


def _rarest(hashes: Array, begin: Array, each: Array) -> tuple[Array, Array, Array]:
    """Texts whose runs all occur again, with each text's rarest run and its count; the rarest first.

    Args:
        hashes: (R,) of the runs of all texts.
        begin: (T,) the first run of each text.
        each: (T,) how many it has.
    """
    ordered = np.sort(hashes)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    repeated = np.concatenate([np.isin(part, again) for part in _parts(hashes)])
    wanted = np.flatnonzero(np.logical_and.reduceat(repeated, begin))
    if not len(wanted):
        return _NONE, _NONE, _NONE
    run = np.repeat(begin[wanted], each[wanted]) + _within(each[wanted])
    here = hashes[run]
    count = np.searchsorted(ordered, here, side="right") - np.searchsorted(ordered, here, side="left")
    # The count above the run's own index, so that one minimum finds both.
    best = np.minimum.reduceat((count << 32) | run, each[wanted].cumsum() - each[wanted])
    order = np.argsort(best >> 32, kind="stable")
    return wanted[order], (best & 0xFFFFFFFF)[order], (best >> 32)[order]


def _spots(hashes: Array, sought: Array) -> tuple[Array, Array]:
    """Indices of all hashes that are sought, equal ones together, and where in them each one that is sought begins."""
    known = np.unique(sought)
    spots = np.flatnonzero(np.concatenate([np.isin(part, known) for part in _parts(hashes)]))
    spots = spots[np.argsort(hashes[spots], kind="stable")]
    return spots, np.searchsorted(hashes[spots], sought)


def _parts(values: Array) -> Iterator[Array]:
    return (values[low : low + CHUNK] for low in range(0, len(values), CHUNK))


def _within(each: Array) -> Array:
    """0, 1, ... for each of the numbers, as many as it says."""
    return np.asarray(np.arange(each.sum()) - np.repeat(each.cumsum() - each, each))


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


def _short_places(corpus: Array, lengths: Array, wording: Wording) -> tuple[Array, Array]:
    """Numbers of short texts and of the texts of the corpus that hold them; those with too many places are left out."""
    owner = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    inner, outer = [_NONE], [_NONE]
    vocabulary = wording.word_numbers(list({word for text in wording.shorts for word in text.split()}))
    for length in range(1, RUN):
        if wording.size**length >= 2**63:  # Three of more than two million different words have no code.
            break
        known: dict[int, int] = {}
        for text, number in wording.shorts.items():
            found = text.split()
            if len(found) == length and all(word in vocabulary for word in found):
                known[_code([vocabulary[word] for word in found], wording.size)] = number
        if not known:
            continue
        codes = np.array(sorted(known), dtype=np.int64)
        names = np.array([known[code] for code in codes.tolist()], dtype=np.int64)
        heads = np.zeros(wording.size, dtype=bool)
        heads[codes // wording.size ** (length - 1)] = True
        place = np.flatnonzero(heads[corpus[: len(corpus) - length + 1]])
        place = place[owner[place] == owner[place + length - 1]]
        here = _code([corpus[place + offset].astype(np.int64) for offset in range(length)], wording.size)
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
