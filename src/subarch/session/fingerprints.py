"""What a model's folder, or a file, holds, as one number: the same as long as whoever reads it finds the same.

Every byte counts, since a sample would miss a head of six kilobytes that was trained anew. It costs what reading does:
a second for BERT-base, once a process.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from subarch.deploy.formats.registry import FORMATS
from subarch.errors import ModelError

_PARTS = (
    "config.json",
    "model*.safetensors*",
    "pytorch_model*.bin*",
    *(pattern for each in FORMATS.values() for pattern in each.weights),
    "adapter_*",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "modules.json",
    "*_Pooling/config.json",
)
"""Configuration, weights, tokenizer, and what sentence-transformers takes for the vector of a text; not what else a
training leaves beside them."""


def fingerprint(place: Path) -> str | None:
    """Sha256 (hex) of the names and the content of a model's files, or of a file; None where nothing is.

    A folder that is no model itself counts for the models one level below it: that is how a suite's lie.
    """
    if place.is_file():
        return _of_file(place)
    found = _parts(place) or {
        f"{folder.name}/{name}": file
        for folder in (sorted(place.iterdir()) if place.is_dir() else ())
        for name, file in _parts(folder).items()
    }
    digest = hashlib.sha256()
    for name, file in sorted(found.items()):
        digest.update(f"{name}\0{_of_file(file)}\0".encode(errors="surrogateescape"))
    return digest.hexdigest() if found else None


def _parts(folder: Path) -> dict[str, Path]:
    files = [file for part in _PARTS for file in folder.glob(part) if file.is_file()]
    return {file.relative_to(folder).as_posix(): file for file in files}


def _of_file(path: Path) -> str:
    found = os.stat(path)
    return _digest(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=256)
def _digest(path: Path, stamp: tuple[int, ...]) -> str:
    """The stages of one command read the same files: once, unless one changed in between."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
