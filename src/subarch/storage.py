"""Writing to disk so that a kill at any moment leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from subarch.errors import StorageError


class storage_errors:
    """Context manager that turns a full or read-only disk into one clear line; any other error passes unchanged."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = _error_number(error)
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space left on the disk while writing {self._path}",
                "free some space, then run the same command: it resumes",
            ) from error
        if code == errno.EFBIG:
            raise StorageError(
                f"cannot write {self._path}: {os.strerror(code)}",
                "raise the limit (ulimit -f), then run the same command: it resumes",
            ) from error
        if code in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(f"cannot write {self._path}: {os.strerror(code)}", "choose another --out") from error


def _error_number(error: BaseException | None) -> int | None:
    """The system's number of an error; safetensors and tokenizers have it only in their text."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, else removed."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, else it is removed.

    Folders cannot be swapped atomically: an old `path` is moved aside first, so a kill between the two renames
    leaves no `path`, which a resuming run takes for "not done yet".
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            if path.exists():
                old = path.with_name(f".{path.name}.{os.getpid()}.old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old)
            else:
                os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically; NaN and infinity are refused, since JSON has none."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that subarch wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def folder_bytes(path: Path) -> int:
    """Bytes of all files below `path` (or of the file itself)."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _sync(path: Path) -> None:
    if path.exists():
        with path.open("rb") as file:
            os.fsync(file.fileno())
