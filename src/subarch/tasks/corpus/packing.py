"""Streams of documents cut into blocks of equal length, and written as shards.

The packing rule: the documents of a split, in the order of the corpus, make one stream, with a [SEP] after each. The
next `block_size - 2` tokens of the stream are a block's content, between [CLS] and [SEP]. Where a document ends
exactly with a block, the block's own [SEP] stands for its [SEP]; no content begins with one. A document that goes on
beyond a block goes on in the next. What is left at the end and fills no block is dropped and counted, unless the split
would be empty: then it is one block, filled up with the padding token.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subarch.storage import storage_errors, temporary_beside
from subarch.tasks.base import Array

FILE_BYTES = 256 * 2**20
"""Size of a shard's files, at most (and at least one block)."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What blocks are made of."""

    block_size: int
    vocab_size: int
    cls_token_id: int
    sep_token_id: int
    pad_token_id: int

    @property
    def dtype(self) -> str:
        """The smallest type that holds every id and that torch and numpy both know well."""
        return "uint16" if self.vocab_size <= 2**16 else "int32"


class Packer:
    """Cuts a stream that arrives in parts; parts may end anywhere."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._rest: Array = np.zeros(0, dtype=layout.dtype)

    def add(self, stream: Array) -> Array:
        """The blocks (N, block_size) that are complete with these further tokens (T,)."""
        body, separator = self._layout.block_size - 2, self._layout.sep_token_id
        tokens = np.concatenate((self._rest, stream.astype(self._layout.dtype, copy=False)))
        view, last = memoryview(tokens.data), len(tokens) - body
        starts: list[int] = []
        start = 0
        # "<": the token after a block must be known, since a separator there belongs to that block.
        while start < last:
            starts.append(start)
            start += body
            if view[start] == separator:
                start += 1
        self._rest = tokens[start:]
        return self._framed(tokens[np.asarray(starts, dtype=np.int64)[:, None] + np.arange(body)])

    def finish(self, *, empty: bool) -> tuple[Array, int]:
        """The last blocks (0 or 1), and how many tokens were dropped.

        Args:
            empty: Whether the split has no block so far: then one that is not full is better than none.
        """
        body, rest = self._layout.block_size - 2, self._rest
        self._rest = rest[:0]
        if len(rest) == body:
            return self._framed(rest[None]), 0
        if len(rest) and rest[-1] == self._layout.sep_token_id:
            rest = rest[:-1]
        if not empty or not len(rest):
            return self._framed(np.zeros((0, body), dtype=rest.dtype)), len(rest)
        block = np.full((1, body + 2), self._layout.pad_token_id, dtype=rest.dtype)
        block[0, : len(rest) + 2] = self._framed(rest[None])[0]
        return block, 0

    def _framed(self, contents: Array) -> Array:
        rows, body = contents.shape
        blocks = np.empty((rows, body + 2), dtype=self._layout.dtype)
        blocks[:, 0], blocks[:, 1:-1], blocks[:, -1] = self._layout.cls_token_id, contents, self._layout.sep_token_id
        return blocks


class ShardWriter:
    """Writes the blocks of a split to numbered files, each under a temporary name until it is complete.

    Args:
        folder: Of the shards.
        split: Its name.
        block_size: Tokens of a block.
        file_bytes: Size of a file, at most.
    """

    def __init__(self, folder: Path, split: str, block_size: int, file_bytes: int = FILE_BYTES) -> None:
        self._folder, self._split = folder, split
        self._block_size, self._file_bytes = block_size, file_bytes
        self._file: Any = None
        self._temporary = folder
        self._digest = hashlib.sha256()
        self._rows = self._bytes = 0
        self.files: list[dict[str, Any]] = []
        """`name`, `blocks` and `sha256` of each finished file."""

    @property
    def blocks(self) -> int:
        """Blocks written so far."""
        return self._rows + sum(int(entry["blocks"]) for entry in self.files)

    def write(self, blocks: Array) -> None:
        """Append blocks (N, block_size)."""
        rows_a_file = max(1, self._file_bytes // (self._block_size * blocks.itemsize))
        while len(blocks):
            part, blocks = np.split(blocks, [min(len(blocks), rows_a_file - self._rows)])
            raw = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<")).tobytes()
            with storage_errors(self._path):
                if self._file is None:
                    self._temporary = temporary_beside(self._path, "partial")
                    self._file = self._temporary.open("wb")
                self._file.write(raw)
            self._digest.update(raw)
            self._rows += len(part)
            if self._rows == rows_a_file:
                self.close()

    def close(self) -> None:
        """Complete the current file."""
        if self._file is None:
            return
        with storage_errors(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self._path)
        self.files.append({"name": self._path.name, "blocks": self._rows, "sha256": self._digest.hexdigest()})
        self._file, self._rows, self._digest = None, 0, hashlib.sha256()

    def abandon(self) -> None:
        """Remove the current file if it is not complete."""
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
            self._file = None

    @property
    def _path(self) -> Path:
        return self._folder / f"{self._split}-{len(self.files):05d}.bin"
