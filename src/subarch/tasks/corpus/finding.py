"""Which files a pattern names: each once, however many links lead to it, also where a link leads back to itself."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from subarch.errors import DataError

_ANY_DEPTH = "**"


def find_files(pattern: str) -> list[str]:
    """The files of a pattern in alphabetical order: a file, a folder (all files below) or such as "novels/*.txt".

    Raises:
        DataError: There is none.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [str(path)]
    names = _below(path) if path.is_dir() else _matching(path)
    found = sorted({os.path.realpath(name): name for name in sorted(names, reverse=True)}.values())
    if not found:
        raise DataError(f"no file for --input {pattern!r}", "put patterns in quotes, and check the folder")
    return found


def _below(folder: Path) -> Iterator[str]:
    """Files below a folder, behind links too; hidden ones are left out."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        shown = [name for name in folders if not name.startswith(".")]
        folders[:] = sorted(shown, key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        for name in files:
            if not name.startswith(".") and os.path.isfile(os.path.join(place, name)):
                yield os.path.join(place, name)


def _matching(pattern: Path) -> Iterator[str]:
    """Files that a pattern names; `glob` itself would follow a link to itself forty times."""
    parts = pattern.parts
    if _ANY_DEPTH not in parts:
        yield from filter(os.path.isfile, glob.glob(str(pattern)))
        return
    first = parts.index(_ANY_DEPTH)
    for start in glob.glob(str(Path(*parts[:first]))):
        for name in _below(Path(start)):
            if _fits(Path(name).relative_to(start).parts, parts[first:]):
                yield name


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == _ANY_DEPTH:
        return _fits(names, patterns[1:]) or (bool(names) and _fits(names[1:], patterns))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _fits(names[1:], patterns[1:])
