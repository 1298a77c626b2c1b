"""Units to shards: duplicates dropped, documents dealt to the splits by their hashes, each split packed and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subarch.tasks.base import Array
from subarch.tasks.corpus.duplicates import mark_duplicates
from subarch.tasks.corpus.packing import Layout, Packer, ShardWriter
from subarch.tasks.corpus.shards import SPLITS
from subarch.tasks.corpus.unit_files import UnitFile

OnUnit = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """How much of the corpus validation and test get; the rest is train."""

    validation: float
    test: float

    def split_of(self, hashes: Array) -> Array:
        """(N,) uint8, indices of `SPLITS`, for the hashes (N, 2) of documents.

        It depends on a document's text and on nothing else: equal texts go to the same split.
        """
        place = hashes[:, 0] / 2.0**64
        return np.where(place < self.test, 2, np.where(place < self.test + self.validation, 1, 0)).astype(np.uint8)


def assemble(
    folder: Path, units: Sequence[UnitFile], layout: Layout, shares: Shares, *, work: Path | None, on_unit: OnUnit
) -> dict[str, dict[str, Any]]:
    """Write the shards' files, and return their part of the manifest, split by split.

    Args:
        folder: Of the shards.
        units: All units, in order.
        layout: Of the blocks.
        shares: Of the splits.
        work: Folder for the search for duplicates, which are then dropped; None to keep them.
        on_unit: Is told the number of each unit that is done.
    """
    count = sum(unit.tally.documents for unit in units)
    marks = None if work is None else mark_duplicates((unit.hashes() for unit in units), count, work)
    with ExitStack() as stack:
        splits = [stack.enter_context(_Split(folder, name, layout)) for name in SPLITS]
        first = 0
        for unit in units:
            repeated = None if marks is None else marks[first : first + unit.tally.documents]
            first += unit.tally.documents
            for split, (stream, documents) in zip(splits, _streams(unit, shares, repeated), strict=True):
                split.add(stream, documents)
            on_unit(unit.number)
        return {split.name: split.finish() for split in splits}


def _streams(unit: UnitFile, shares: Shares, repeated: Array | None) -> Iterator[tuple[Array, int]]:
    """For each split its part of the unit's ids, and how many documents that is."""
    tokens, lengths = unit.tokens(), unit.lengths()
    split_of = shares.split_of(unit.hashes())
    # a document of nothing but what the tokenizer drops is a separator alone
    kept = lengths > 1 if repeated is None else (lengths > 1) & ~repeated
    for index in range(len(SPLITS)):
        chosen = kept & (split_of == index)
        yield tokens[np.repeat(chosen, lengths)], int(chosen.sum())


class _Split:
    """A split while it is written; leaving the block removes a file that is not complete."""

    def __init__(self, folder: Path, name: str, layout: Layout) -> None:
        self.name = name
        self._layout = layout
        self._packer, self._writer = Packer(layout), ShardWriter(folder, name, layout.block_size)
        self._documents = 0

    def __enter__(self) -> _Split:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.abandon()

    def add(self, stream: Array, documents: int) -> None:
        self._documents += documents
        self._writer.write(self._packer.add(stream))

    def finish(self) -> dict[str, Any]:
        blocks, dropped = self._packer.finish(empty=self._writer.blocks == 0)
        padding = int((blocks == self._layout.pad_token_id).sum())
        self._writer.write(blocks)
        total = self._writer.blocks
        self._writer.close()
        return {
            "blocks": total,
            "tokens": total * self._layout.block_size - padding,
            "documents": self._documents,
            "dropped_tokens": dropped,
            "files": self._writer.files,
        }
