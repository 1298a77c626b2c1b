"""Texts like the sources among unlabelled ones: new points that nobody had to make up.

Similarity is the cosine of TF-IDF vectors, of single words and word pairs. What is found is no edit of its source, so
the window does not judge it; but each text comes once, and none that is known already.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Examples
from subarch.training.augment.points import Counts, Points
from subarch.training.augment.protected import rows_of_groups

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

NAME = "mining"

_CHUNK = 256
"""Sources whose similarities to all unlabelled texts are held at a time."""
_SPARE = 32
"""Further neighbours of a source that are looked at, since the nearest may be known or taken."""


@dataclass(frozen=True, eq=False)
class Mining:
    """Unlabelled examples that can be searched; made once by `Mining.of`."""

    unlabelled: Examples
    _rows: list[list[int]]
    """Rows of each searched unit: an example, or a group."""
    _vectorizer: TfidfVectorizer
    _vectors: Any
    """(U, F) sparse, rows of length 1."""

    @staticmethod
    def of(unlabelled: Examples, known: Collection[tuple[str, str]] = ()) -> Mining:
        """Index them.

        Args:
            unlabelled: Of which any may come back, once for each text.
            known: Keys (`Examples.text_keys`) that must not: those of train, validation and test.

        Raises:
            DataError: None of them is left, or none has a word.
        """
        seen, keys, rows = set(known), unlabelled.text_keys(), list[list[int]]()
        for unit in rows_of_groups(unlabelled):
            if not seen & {keys[row] for row in unit}:
                seen |= {keys[row] for row in unit}
                rows.append(unit)
        if not rows:
            raise DataError(
                f"all {len(unlabelled)} unlabelled texts stand in the labelled data already, expected other ones"
            )
        # A second of import, which trainings that seek no texts must not pay.
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
        try:
            vectors = vectorizer.fit_transform(_joined(unlabelled, rows))
        except ValueError as error:
            raise DataError(f"{len(rows)} unlabelled texts have no words, expected some to search") from error
        return Mining(unlabelled, rows, vectorizer, vectors)

    def similar(
        self, examples: Examples, *, each: int, used: Collection[tuple[str, str]] = (), least: float = 0.1
    ) -> Points:
        """The most similar unlabelled examples of each source; where two sources want the same, the nearer gets it.

        Args:
            examples: The sources.
            each: Points a source at most.
            used: Keys that must not come back: those of the points of earlier calls. The sources' own are added.
            least: Cosine at least.

        Returns:
            Points in the order of their sources. Of a group, `sources` is the first row of the source's group.

        Raises:
            DataError: The unlabelled examples are pairs or groups and the sources are not, or the other way round.
        """
        self._check(examples)
        taken = {*used, *examples.text_keys()}
        groups = list(rows_of_groups(examples))
        keys = self.unlabelled.text_keys()
        counts = Counts(asked=each * len(groups))
        found: list[tuple[int, int]] = []
        had = np.zeros(len(groups), dtype=np.int64)
        for similarity, source, unit in sorted(
            self._candidates(examples, groups, each), key=lambda one: (-one[0], *one[1:])
        ):
            unit_keys = {keys[row] for row in self._rows[unit]}
            if similarity < least or had[source] >= each:
                continue
            counts.produced += 1
            if unit_keys & taken:
                counts.repeated += 1
                continue
            taken |= unit_keys
            had[source] += 1
            found.append((source, unit))
        counts.kept = len(found)
        counts.nothing = counts.asked - counts.kept
        return self._points(sorted(found), [rows[0] for rows in groups], counts)

    def _candidates(self, examples: Examples, groups: list[list[int]], each: int) -> list[tuple[float, int, int]]:
        """(cosine, source, unit), the few best units of each source."""
        vectors = self._vectorizer.transform(_joined(examples, groups))
        count = min(each + _SPARE, len(self._rows))
        result: list[tuple[float, int, int]] = []
        for start in range(0, len(groups), _CHUNK):
            similar = (vectors[start : start + _CHUNK] @ self._vectors.T).tocsr()
            for number in range(similar.shape[0]):
                low, high = similar.indptr[number], similar.indptr[number + 1]
                cosines, units = similar.data[low:high], similar.indices[low:high]
                best = np.lexsort((units, -cosines))[:count]
                result += [(float(cosines[at]), start + number, int(units[at])) for at in best.tolist()]
        return result

    def _points(self, found: list[tuple[int, int]], first_rows: list[int], counts: Counts) -> Points:
        rows = [row for _, unit in found for row in self._rows[unit]]
        sizes = [len(self._rows[unit]) for _, unit in found]
        # Numbered anew, since nearest units come in any order.
        taken = replace(self.unlabelled, labels=None, groups=None).take(np.array(rows, dtype=np.int64))
        groups = None if self.unlabelled.groups is None else np.repeat(np.arange(len(found), dtype=np.int64), sizes)
        return Points(
            examples=replace(taken, groups=groups),
            sources=np.repeat(np.array([first_rows[source] for source, _ in found], dtype=np.int64), sizes),
            transformations=(NAME,) * len(rows),
            counts={NAME: counts},
        )

    def _check(self, examples: Examples) -> None:
        for what in ("pairs", "groups"):
            mine, theirs = getattr(self.unlabelled, what) is not None, getattr(examples, what) is not None
            if mine != theirs:
                have = {True: f"have {what}", False: f"have no {what}"}
                raise DataError(f"the unlabelled examples {have[mine]}, expected those of a task that {have[theirs]}")


def _joined(examples: Examples, units: list[list[int]]) -> list[str]:
    """One text a unit: each of its different texts once."""
    pairs = examples.pairs or [""] * len(examples)
    return [
        "\n".join(dict.fromkeys([*(examples.texts[row] for row in rows), *(pairs[row] for row in rows)]))
        for rows in units
    ]
