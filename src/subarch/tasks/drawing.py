"""Drawing whole families of rows until every stratum has its quota."""

from __future__ import annotations

import numpy as np

from subarch.tasks.base import Array
from subarch.tasks.families import Families


def draw(families: Families, strata: Array, quotas: Array, seed: int) -> Array:
    """(N,) whether a row is drawn: never more rows than the quotas' sum, and one row of each stratum is left.

    Args:
        families: Of the rows; one is drawn as a whole, if it is movable and no stratum gets more than its quota. A
            stratum that would get nothing may get the smallest family that holds it.
        strata: (N,) from 0.
        quotas: Rows wanted of each stratum.
        seed: Of the order.
    """
    drawing = _Drawing(families, strata, quotas)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(held).tolist() for held in drawing.holding(len(quotas))]
    # The rarest first, while there is room: its families are few.
    for stratum in sorted(range(len(quotas)), key=lambda stratum: (int(quotas[stratum]), stratum)):
        drawing.fill(stratum, orders[stratum])
    return np.isin(families.family, drawing.drawn)


class _Drawing:
    def __init__(self, families: Families, strata: Array, quotas: Array) -> None:
        order = np.lexsort((strata, families.family))
        family, stratum = families.family[order], strata[order]
        changes = (np.diff(family, prepend=-1) != 0) | (np.diff(stratum, prepend=-1) != 0)
        first = np.flatnonzero(changes)
        self._family, self._stratum = family[first], stratum[first]
        self._movable = families.movable[order][first]
        counts = np.diff(first, append=len(order))
        heads = np.flatnonzero(np.diff(self._family, prepend=-1))
        self._begin = dict(zip(self._family[heads].tolist(), heads.tolist(), strict=True))
        self._strata, self._counts = self._stratum.tolist(), counts.tolist()
        self._families = self._family.tolist()
        self._left, self._rest = quotas.tolist(), np.bincount(strata, minlength=len(quotas)).tolist()
        self._room = int(quotas.sum())
        self.drawn: list[int] = []
        self._taken: set[int] = set()

    def holding(self, strata: int) -> list[Array]:
        """For each stratum the movable families with rows of it, ascending."""
        family, stratum = self._family[self._movable], self._stratum[self._movable]
        order = np.argsort(stratum, kind="stable")
        edges = np.searchsorted(stratum[order], np.arange(1, strata))
        return np.split(family[order], edges)

    def fill(self, stratum: int, families: list[int]) -> None:
        """Draw in the given order until the stratum has its quota."""
        wanted = self._left[stratum]
        for family in families:
            if self._left[stratum] <= 0:
                return
            held = self._rows(family)
            if family not in self._taken and self._fits(held) and all(count <= self._left[row] for row, count in held):
                self._take(family, held)
        if self._left[stratum] < wanted or wanted <= 0:
            return
        for family in sorted(families, key=lambda family: sum(count for _, count in self._rows(family))):
            if family not in self._taken and self._fits(held := self._rows(family)):
                return self._take(family, held)

    def _rows(self, family: int) -> list[tuple[int, int]]:
        """Its strata, with how many rows of each."""
        place = self._begin[family]
        held = []
        while place < len(self._families) and self._families[place] == family:
            held.append((self._strata[place], self._counts[place]))
            place += 1
        return held

    def _fits(self, held: list[tuple[int, int]]) -> bool:
        return sum(count for _, count in held) <= self._room and all(self._rest[row] > count for row, count in held)

    def _take(self, family: int, held: list[tuple[int, int]]) -> None:
        self.drawn.append(family)
        self._taken.add(family)
        for row, count in held:
            self._left[row] -= count
            self._rest[row] -= count
            self._room -= count
