"""Shards: a corpus as blocks of token ids on disk, read in constant memory.

A folder of shards holds `shards.json`, the tokenizer's files in `tokenizer/`, and for each split files such as
`train-00000.bin`: rows of `block_size` little-endian ids without a header, uint16 where the vocabulary fits, else
int32. Every block begins with [CLS] and ends with [SEP], and holds [SEP] between two documents. Blocks are full, except
that a split too short for one has a single block filled up with the padding token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from subarch.errors import DataError, did_you_mean
from subarch.storage import read_json
from subarch.tasks.base import Array

SHARDS_FILE = "shards.json"
TOKENIZER_FOLDER = "tokenizer"
VERSION = 1
SPLITS = ("train", "validation", "test")
_HINT = "make it with subarch prepare"


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks of a split, in the order of the corpus."""

    block_size: int
    files: tuple[Path, ...]
    rows: tuple[int, ...]
    """Blocks in each file."""
    dtype: str
    """"uint16" or "int32"."""

    def __len__(self) -> int:
        return sum(self.rows)

    def take(self, indices: Any) -> Array:
        """Input ids (K, block_size) of the blocks at `indices` (K,), in that order.

        Raises:
            IndexError: An index outside 0 to len - 1.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"block {wanted.min()} to {wanted.max()}, expected 0 to {len(self) - 1}")
        found = np.empty((len(wanted), self.block_size), dtype=self.dtype)
        places = np.searchsorted(self._ends, wanted, side="right")
        for place in np.unique(places):
            here = places == place
            found[here] = self._maps[place][wanted[here] - (self._ends[place] - self.rows[place])]
        return found

    @cached_property
    def _ends(self) -> Array:
        return np.cumsum(np.asarray(self.rows, dtype=np.int64))

    @cached_property
    def _maps(self) -> list[Array]:
        dtype = np.dtype(self.dtype).newbyteorder("<")
        return [
            np.memmap(file, dtype=dtype, mode="r", shape=(rows, self.block_size))
            for file, rows in zip(self.files, self.rows, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class Shards:
    """A folder of shards, opened; `manifest` is its `shards.json`."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Shards:
        """Read `shards.json` and make sure that every file is there in full.

        Raises:
            DataError: No shards, another version, or a file that is missing or has another size.
        """
        folder = Path(path)
        file = folder / SHARDS_FILE
        if not file.is_file():
            raise DataError(f"no {SHARDS_FILE} in {folder}, expected a folder of shards", _HINT)
        try:
            manifest = read_json(file)
        except ValueError as error:
            raise DataError(f"{file} is not valid JSON", _HINT) from error
        version = manifest.get("version") if isinstance(manifest, dict) else None
        if version != VERSION:
            raise DataError(f"{file} is of version {version}, expected {VERSION}", "prepare the corpus again")
        shards = cls(path=folder, manifest=manifest)
        for split in manifest["splits"].values():
            for entry in split["files"]:
                shards._check(entry)
        return shards

    def split(self, name: str) -> Blocks:
        """The blocks of "train", "validation" or "test"; perhaps none.

        Raises:
            DataError: No such split.
        """
        splits = self.manifest["splits"]
        if name not in splits:
            raise DataError(f"{self.path} has no split {name!r}", did_you_mean(name, splits))
        files = splits[name]["files"]
        return Blocks(
            block_size=self.block_size,
            files=tuple(self.path / entry["name"] for entry in files),
            rows=tuple(entry["blocks"] for entry in files),
            dtype=self.manifest["dtype"],
        )

    @property
    def fingerprint(self) -> str:
        """Sha256 (hex) of what a model would see: the blocks, their order and the tokenizer."""
        splits = {
            name: [(entry["blocks"], entry["sha256"]) for entry in split["files"]]
            for name, split in self.manifest["splits"].items()
        }
        seen = {key: self.manifest[key] for key in ("version", "tokenizer_sha256", "vocab_size", "block_size", "dtype")}
        return hashlib.sha256(json.dumps({**seen, "splits": splits}, sort_keys=True).encode()).hexdigest()

    @property
    def tokenizer_folder(self) -> Path:
        """Folder of the tokenizer's files, for `load_tokenizer`."""
        return self.path / TOKENIZER_FOLDER

    @property
    def block_size(self) -> int:
        """Tokens of a block."""
        return int(self.manifest["block_size"])

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary; every id is below it."""
        return int(self.manifest["vocab_size"])

    @property
    def pad_token_id(self) -> int:
        """Id of the padding token."""
        return int(self.manifest["pad_token_id"])

    @property
    def mask_token_id(self) -> int:
        """Id of the mask token."""
        return int(self.manifest["mask_token_id"])

    @property
    def special_token_ids(self) -> tuple[int, ...]:
        """Ids of all special tokens, ascending: none of them is ever to be predicted."""
        return tuple(self.manifest["special_token_ids"])

    @property
    def tokenizer_sha256(self) -> str:
        """`tokenizer_sha256` of the tokenizer that made these shards."""
        return str(self.manifest["tokenizer_sha256"])

    def _check(self, entry: Mapping[str, Any]) -> None:
        file = self.path / entry["name"]
        expected = entry["blocks"] * self.block_size * np.dtype(self.manifest["dtype"]).itemsize
        found = file.stat().st_size if file.is_file() else None
        if found != expected:
            size = "missing" if found is None else f"{found} bytes"
            raise DataError(
                f"{file} is {size}, expected {expected} bytes", "copy it again, or prepare the corpus again"
            )


def tokenizer_sha256(tokenizer: Any) -> str:
    """Sha256 (hex) of all by which a tokenizer turns text into ids: equal for copies saved by other versions.

    Args:
        tokenizer: A fast tokenizer of `transformers`. What it adds around a text, pads or cuts does not count.
    """
    parsed = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = {key: parsed.get(key) for key in ("normalizer", "pre_tokenizer", "model")}
    parts["added_tokens"] = [(token["id"], token["content"]) for token in parsed.get("added_tokens", [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
