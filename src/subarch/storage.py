"""Writing to disk so that a kill at any moment leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from subarch.errors import OutputError, StorageError

UNFINISHED = ".unfinished"
"""In an output folder: what was ever being written below it, relative paths, each with a NUL behind it."""
_TEMPORARY = re.compile(r"\..+\.\d+\.(partial|old)", re.DOTALL)
_READ_WRITE = 0o666
_CHUNK = 2**20

Kind = TypeVar("Kind")


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
        temporary = temporary_beside(path, "partial")
        try:
            temporary.touch()
            mode = _mode(temporary)
            yield temporary
            _finish(temporary, mode)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success its files are synced and moved beside `path`, which is the last of them.

    So a file that needs others is there only when they are: the old `path` goes before what it needed is replaced.
    """
    with storage_errors(path), _temporary_folder(path) as temporary:
        yield temporary
        _finish_all(temporary)
        others = sorted(file for file in temporary.iterdir() if file.name != path.name)
        if others:
            path.unlink(missing_ok=True)
        for file in (*others, temporary / path.name):
            os.replace(file, path.with_name(file.name))


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, else it is removed.

    Folders cannot be swapped atomically: an old `path` is moved aside first, so a kill between the two renames
    leaves no `path`, which a resuming run takes for "not done yet".
    """
    with storage_errors(path), _temporary_folder(path) as temporary:
        yield temporary
        _finish_all(temporary)
        if path.exists():
            old = temporary_beside(path, "old")
            os.replace(path, old)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path, "partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _finish_all(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            _finish(file, _mode(folder))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically; NaN and infinity are refused, since JSON has none."""
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file that subarch wrote.

    Raises:
        OutputError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is no JSON") from error


def read_dataclass(kind: type[Kind], path: Path) -> Kind:
    """A dataclass from a JSON file that subarch wrote; fields that this version does not know are ignored.

    Raises:
        OutputError: The file is damaged, or of something else.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise _damaged(path, f"it holds a {type(values).__name__}, expected an object")
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    try:
        return TypeAdapter(kind).validate_python({name: value for name, value in values.items() if name in known})
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{first['loc'][0]}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def _damaged(path: Path, reason: str) -> OutputError:
    return OutputError(f"{path} is damaged: {reason}", "delete it and run the same command, or choose another --out")


def reserve(path: Path, size: int, *, anew: bool) -> None:
    """Make a file of at least `size` bytes that the disk has room for: to write to it through a memory map cannot fail.

    The map of a sparse file would kill the process (SIGBUS) where the disk is full.

    Args:
        path: Of the file.
        size: In bytes.
        anew: Whether its old content goes.

    Raises:
        StorageError: The disk has less room.
    """
    with storage_errors(path), path.open("wb" if anew or not path.exists() else "r+b") as file:
        try:
            _allocate(file.fileno(), size)
        except OSError:
            if anew:
                path.unlink(missing_ok=True)
            raise


def _allocate(file: int, size: int) -> None:
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    os.lseek(file, 0, os.SEEK_END)  # macOS has no such call
    for start in range(os.fstat(file).st_size, size, _CHUNK):
        os.write(file, bytes(min(_CHUNK, size - start)))


def begin_unfinished(folder: Path) -> None:
    """Keep, from now on, the list of what is being written below a folder."""
    if not (folder / UNFINISHED).exists():
        (folder / UNFINISHED).touch()


def remove_unfinished(folder: Path) -> bool:
    """Remove what killed processes were writing below a folder, by its own list and nothing else, and begin a new one.

    Nobody reads what is half-written, and a checkpoint is large.

    Returns:
        Whether there is such a list; one that is damaged, or somebody else's file of that name, stays as it is.
    """
    try:
        *names, cut = (folder / UNFINISHED).read_text(encoding="utf-8", errors="surrogateescape").split("\0")
    except FileNotFoundError:
        return False
    inside, ours = folder.resolve(), bool(names) or not cut
    for name in filter(None, (*names, cut)):
        path = folder / name
        if not _TEMPORARY.fullmatch(path.name) or not path.parent.resolve().is_relative_to(inside):
            ours = ours and name == cut
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if names and ours:
        (folder / UNFINISHED).write_bytes(b"")
    return ours


def end_unfinished(folder: Path) -> None:
    """Keep no list any more: nothing will be written below a folder."""
    if remove_unfinished(folder):
        (folder / UNFINISHED).unlink()


def temporary_beside(path: Path, ending: str) -> Path:
    """The name under which `path` is written or put aside, noted in the list of the output folder that it is in."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{ending}")
    for folder in path.parents:
        if (folder / UNFINISHED).is_file():
            with (folder / UNFINISHED).open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write(f"{temporary.relative_to(folder)}\0")
            break
    return temporary


def folder_bytes(path: Path) -> int:
    """Bytes of all files below `path` (or of the file itself)."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _mode(path: Path) -> int:
    """What a new file beside or in `path` may be used for, by the user's mask."""
    return stat.S_IMODE(path.stat().st_mode) & _READ_WRITE


def _finish(path: Path, mode: int) -> None:
    """Sync a file and give it the mode of its neighbours: some libraries write files for the owner alone."""
    path.chmod(mode)
    with path.open("rb") as file:
        os.fsync(file.fileno())
