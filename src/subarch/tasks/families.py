"""Which rows must stay on one side of a split: copies, texts inside longer texts, pairs that share a text."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from subarch.tasks.base import Array, Examples, key_hash
from subarch.tasks.containment import Containment, find_contained


@dataclass(frozen=True)
class Families:
    """Rows by family."""

    family: Array
    """(N,) int64."""
    movable: Array
    """(N,) bool: whether the row's family may leave the rest."""
    joined: int
    """Rows whose family has further texts than their own."""


class Relations:
    """What relates the rows of a task to each other and to the texts of other splits."""

    def __init__(self, examples: Examples, keep: Collection[tuple[str, str]]) -> None:
        self._key, rows, hashes = _numbered(examples)
        """(N,) the number of each row's texts, in the order in which they occur first."""
        known = np.array([key_hash(key) for key in keep], dtype=np.int64)
        others = sorted(key for key, old in zip(keep, np.isin(known, hashes), strict=True) if not old)
        self._kept = np.concatenate([np.isin(hashes, known), np.ones(len(others), dtype=bool)])
        del hashes
        self._single = examples.pairs is None
        texts = [_each(examples.texts, rows, [key[0] for key in others])]
        if examples.pairs is not None:
            texts.append(_each(examples.pairs, rows, [key[1] for key in others]))
        self._found = find_contained(texts, short=self._single)
        self._degrees = _degrees(self._found)

    def rest(self, chosen: Array) -> Relations:
        """Those of the rows that are not chosen; the texts of those that are, (N,) bool, stand in another split."""
        rest = copy(self)
        rest._kept = self._kept.copy()
        rest._kept[self._key[chosen]] = True
        rest._key = self._key[~chosen]
        return rest

    @property
    def complete(self) -> bool:
        """Whether all texts were looked for."""
        return self._found.complete

    @property
    def any(self) -> bool:
        """Whether two different rows are related."""
        return bool((self._degrees > 1).any() or len(self._found.short[0]))

    def copies(self) -> Families:
        """Families of equal texts alone."""
        return Families(self._key, ~self._kept[self._key], 0)

    def limits(self, size: int) -> list[float]:
        """Values of `most` for `families` that make a difference: none, then powers of two from `size` down to 2."""
        highest = int(self._degrees.max(initial=0))
        powers = [1 << power for power in range(size.bit_length(), 0, -1)]
        return [np.inf, *(most for most in powers if most <= size and most < highest)]

    def families(self, most: float) -> Families:
        """Families of related rows; a text that relates more than `most` different rows at once relates none of them.

        A text that stands inside more than `most` others keeps its rows in the rest: there it does no harm, and
        elsewhere it would have been seen.
        """
        found, keys = self._found, len(self._kept)
        common = self._degrees > most
        joins = ~common[found.inner]
        edges = [np.stack([found.inner[joins], found.outer[joins]]) + keys]
        pinned = self._kept.copy()
        for text in found.texts:
            known = np.flatnonzero(text >= 0)
            known = known if self._single else known[~common[text[known]]]
            edges.append(np.stack([known, text[known] + keys]))
        if self._single:
            scattered = np.zeros(found.count, dtype=bool)
            scattered[found.inner[~joins]] = True
            known = np.flatnonzero(found.texts[0] >= 0)
            pinned[known] |= scattered[found.texts[0][known]]
        ends = np.concatenate(edges, axis=1)
        graph = coo_matrix((np.ones(ends.shape[1], dtype=bool), (ends[0], ends[1])), shape=[keys + found.count] * 2)
        _, component = connected_components(graph, directed=False)
        if self._single:
            self._attach(component)
        component = component[:keys]
        stuck = np.zeros(int(component.max(initial=0)) + 1, dtype=bool)
        stuck[component[pinned]] = True
        shared = np.bincount(component)[component] > 1
        return Families(
            component[self._key].astype(np.int64), ~stuck[component][self._key], int(shared[self._key].sum())
        )

    def _attach(self, component: Array) -> None:
        """Give rows of a short text the component of the texts that it stands inside, where that is one."""
        inner, outer = self._found.short
        around = component[outer + len(self._kept)]
        lowest, highest = (np.full(int(inner.max(initial=-1)) + 1, start) for start in (len(component), -1))
        np.minimum.at(lowest, inner, around)
        np.maximum.at(highest, inner, around)
        (rows,) = np.nonzero(self._found.texts[0] < 0)
        short = ~self._found.texts[0][rows]
        rows, short = rows[short < len(lowest)], short[short < len(lowest)]
        one = lowest[short] == highest[short]
        component[rows[one]] = lowest[short[one]]


def _numbered(examples: Examples) -> tuple[Array, Array, Array]:
    """(N,) numbers of the rows' texts, and (T,) the first row and the hash of each different one."""
    hashes = examples.key_hashes
    different, first, same = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks[same], first[order], different[order]


def _each(texts: list[str], rows: Array, others: list[str]) -> Iterator[str]:
    """The texts of these rows, and then the others."""
    yield from (texts[row] for row in rows)
    yield from others


def _degrees(found: Containment) -> Array:
    """(count,) different rows that have the text, or one that holds it and stands in no other."""
    having = np.zeros(found.count, dtype=np.int64)
    for text in found.texts:
        having += np.bincount(text[text >= 0], minlength=found.count)
    whole = np.ones(found.count, dtype=bool)
    whole[found.inner] = False
    largest = whole[found.outer]
    degrees = having.copy()
    np.add.at(degrees, found.inner[largest], having[found.outer[largest]])
    return degrees
