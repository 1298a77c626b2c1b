"""Compressed JSON lines, as the tables in `benchmarks/data` are kept."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from subarch.storage import replacing_file


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The values of all lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_lines(path: Path, values: Iterable[dict[str, Any]]) -> None:
    """A line a value, whole or not at all; the same values give the same bytes, since the archive holds no time."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for value in values:
            file.write(json.dumps(value, sort_keys=True).encode() + b"\n")
    with replacing_file(path) as temporary:
        temporary.write_bytes(packed.getvalue())
