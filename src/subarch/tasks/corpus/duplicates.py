"""Which documents of a corpus occurred before, told by their hashes, in constant memory.

The hashes are dealt to files by their first bits, each file small enough to be sorted in memory; equal hashes always
meet in the same file. Of each group of equal ones the first in the corpus is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from subarch.storage import reserve, storage_errors
from subarch.tasks.base import Array

BUCKET_RECORDS = 2**21
"""Documents sorted at once: 24 bytes each, and some more while they are sorted."""
_MAX_BUCKETS = 512
"""Files open at once."""
_RECORD = np.dtype([("high", "<u8"), ("low", "<u8"), ("number", "<u8")])


def mark_duplicates(hashes: Iterable[Array], count: int, folder: Path) -> Array:
    """(count,) bool, mapped from a file: whether a document's hash occurred before it.

    Args:
        hashes: (N, 2) uint64 arrays, together `count` rows, in the order of the corpus.
        count: Documents in all.
        folder: Is filled with files, which the caller removes with the result.

    Raises:
        StorageError: The disk is full.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        buckets = _deal(hashes, count, folder)
        if not count:
            return np.zeros(0, dtype=bool)
        reserve(folder / "marks.bin", count, anew=True)
        marks = np.memmap(folder / "marks.bin", dtype=bool, mode="r+", shape=(count,))
        for path in buckets:
            records = np.fromfile(path, dtype=_RECORD)
            marks[_repeated(records)] = True
            path.unlink()
        marks.flush()
    return marks


def _deal(hashes: Iterable[Array], count: int, folder: Path) -> list[Path]:
    bits = max(0, min(_MAX_BUCKETS, -(-count // BUCKET_RECORDS)) - 1).bit_length()
    paths = [folder / f"bucket-{index:03d}.bin" for index in range(2**bits)]
    first = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for part in hashes:
            records = np.empty(len(part), dtype=_RECORD)
            records["high"], records["low"] = part[:, 0], part[:, 1]
            records["number"] = np.arange(first, first + len(part), dtype=np.uint64)
            first += len(part)
            bucket = records["low"] >> np.uint64(64 - bits) if bits else np.zeros(len(part), dtype=np.uint64)
            for index in np.unique(bucket):
                files[int(index)].write(records[bucket == index].tobytes())
    return paths


def _repeated(records: Array) -> Array:
    """Numbers of the records whose hash another one with a lower number has."""
    order = np.lexsort((records["number"], records["low"], records["high"]))
    ordered = records[order]
    same = (ordered["high"][1:] == ordered["high"][:-1]) & (ordered["low"][1:] == ordered["low"][:-1])
    numbers: Array = ordered["number"][1:][same].astype(np.int64)
    return numbers
