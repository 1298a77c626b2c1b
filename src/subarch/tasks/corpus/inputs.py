"""The inputs of a corpus, and their parts: units of work that begin and end with a document.

Inputs are plain text, JSON lines or Parquet, each also gzipped, and "-", standard input. They are read forward, once,
a few MB at a time; plain files can be entered at any unit's end, so that a resumed run does not read what is done.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from subarch.errors import ConfigError, DataError
from subarch.tasks.corpus.documents import Boundaries, Format, Span
from subarch.tasks.corpus.finding import find_files

STANDARD_INPUT = "-"
UNIT_BYTES = 2**22
"""What a process reads at once. The shards do not depend on it, but a run can only be resumed with the same."""
MAX_LINE_BYTES = 2**28
"""A longer line of JSON is taken for a mistake."""
_PARQUET_ROWS = 1024
_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".html": "text",
    ".htm": "text",
    ".xml": "text",
    "": "text",
}
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*\n")
Place = tuple[int, int]
"""(index of the input, offset in it)."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One input."""

    path: str
    """A file, or "-"."""
    format: Format
    gzipped: bool = False

    @property
    def bytes(self) -> int | None:
        """Size on disk; None of standard input."""
        return None if self.path == STANDARD_INPUT else _bytes(self.path)

    @property
    def seekable(self) -> bool:
        """Whether it can be entered anywhere."""
        return self.format != "parquet" and not self.gzipped and self.path != STANDARD_INPUT

    @property
    def stamp(self) -> tuple[str, int, int]:
        """Name, size and time of the last change: equal where a resumed run finds the same file."""
        if self.path == STANDARD_INPUT:
            return (self.path, 0, 0)
        found = os.stat(self.path)
        return (self.path, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What is read, tokenised and saved as a whole."""

    number: int
    spans: tuple[Span, ...]

    @property
    def end(self) -> Place:
        """Where the next unit begins."""
        return (self.spans[-1].source, self.spans[-1].end)

    @property
    def digest(self) -> str:
        """Sha256 (hex) of what is read."""
        digest = hashlib.sha256()
        for span in self.spans:
            digest.update(span.payload if isinstance(span.payload, bytes) else repr(span.payload).encode())
        return digest.hexdigest()


def find_sources(inputs: Sequence[str], format_: Format | None = None) -> list[Source]:
    """The files that patterns name, in alphabetical order within each pattern, each once.

    Args:
        inputs: Files, folders (all files below), patterns such as "novels/*.txt", or "-".
        format_: Of every input; told by the file's name where None, and plain text of standard input.

    Raises:
        DataError: A pattern without a file, a file that cannot be read or is of an unknown kind.
        ConfigError: No inputs, or Parquet from standard input.
    """
    if not inputs:
        raise ConfigError("no inputs, expected at least one file", "give --input 'corpus/*.txt'")
    paths = list(dict.fromkeys(path for pattern in inputs for path in _found(pattern)))
    return [_source(path, format_) for path in paths]


def units(
    sources: Sequence[Source],
    boundaries: Boundaries = "blank-line",
    text: str = "text",
    *,
    unit_bytes: int | None = None,
    done: Callable[[int], Place | None] = lambda number: None,
) -> Iterator[Unit]:
    """The corpus in units of about `unit_bytes`, in order.

    Args:
        sources: The inputs.
        boundaries: Where a document of plain text ends.
        text: Column of Parquet.
        unit_bytes: `UNIT_BYTES` by default.
        done: The end of the unit with this number if it is done already: then it is left out, unless it is of
            standard input, which may be another one now.

    Raises:
        DataError: An input that cannot be read.
    """
    reading = (boundaries, text, unit_bytes or UNIT_BYTES)
    number, place = 0, (0, 0)
    while place[0] < len(sources):
        end = done(number)
        if end is not None and not _standard_input(sources[place[0] : end[0] + 1]):
            number, place = number + 1, end
            continue
        for unit in _from(sources, place, number, reading):
            end = done(unit.number)
            number, place = unit.number + 1, unit.end
            if end is None or _standard_input(sources[unit.spans[0].source : end[0] + 1]):
                yield unit
            elif sources[place[0]].seekable:
                break  # what else is done can be passed over without reading it
        else:
            return


def _standard_input(sources: Sequence[Source]) -> bool:
    return any(source.path == STANDARD_INPUT for source in sources)


def _from(sources: Sequence[Source], place: Place, number: int, reading: tuple[Boundaries, str, int]) -> Iterator[Unit]:
    """The units from a place on, where unit `number` begins."""
    spans: list[Span] = []
    total = 0
    for index in range(place[0], len(sources)):
        for span in _spans(sources[index], index, place[1] if index == place[0] else 0, reading):
            spans.append(span)
            total += _size(span)
            if total >= reading[2] // 2:
                yield Unit(number=number, spans=tuple(spans))
                spans, total, number = [], 0, number + 1
    if spans:
        yield Unit(number=number, spans=tuple(spans))


def _size(span: Span) -> int:
    # a row costs something too, or a unit of empty ones would never end
    return len(span.payload) if isinstance(span.payload, bytes) else sum(len(cell or "") + 8 for cell in span.payload)


def _spans(source: Source, index: int, offset: int, reading: tuple[Boundaries, str, int]) -> Iterator[Span]:
    boundaries, text, size = reading
    with _reading(source):
        if source.format == "parquet":
            yield from _parquet_spans(source, index, offset, text)
            return
        with _open(source) as file:
            _skip(file, source, offset)
            cutter = _line_cut if source.format == "jsonl" else _CUTTERS[boundaries]
            for start, payload, cut in _parts(file, offset, size, cutter):
                if source.format == "jsonl" and cut:
                    raise DataError(f"{source.path}: a line of more than {len(payload)} bytes at byte {start}")
                end = start + len(payload)
                yield Span(
                    source=index,
                    name=source.path,
                    offset=start,
                    end=end,
                    position=cast("Any", file).fileobj.tell() if source.gzipped else end,
                    format=source.format,
                    payload=payload,
                    cut=cut,
                )


def _parts(
    file: IO[bytes] | gzip.GzipFile, offset: int, size: int, cutter: Callable[[bytes], int]
) -> Iterator[tuple[int, bytes, bool]]:
    """(offset, bytes, whether a document is cut) of consecutive parts of a file, each at most `size` long if possible.

    A part depends on where it begins and on nothing before: a resumed run finds the same ones.
    """
    longest = MAX_LINE_BYTES if cutter is _line_cut else 2 * size
    held = b""
    while True:
        wanted, end, cut = 0, 0, False
        while not end:
            wanted += size
            held += file.read(max(0, wanted - len(held)))
            if len(held) < wanted:
                if held:
                    yield offset, held, False
                return
            end = cutter(held)
            if not end and len(held) >= longest:
                end, cut = _any_cut(held), True
        yield offset, held[:end], cut
        offset, held = offset + end, held[end:]


def _line_cut(held: bytes) -> int:
    return held.rfind(b"\n") + 1


def _blank_line_cut(held: bytes) -> int:
    """After the last empty line; 0 where there is none."""
    place = held.rfind(b"\n\n")
    if place >= 0:
        return place + 2
    return max((match.end() for match in _BLANK_LINE.finditer(held)), default=0)


def _no_cut(held: bytes) -> int:
    return 0


_CUTTERS: dict[Boundaries, Callable[[bytes], int]] = {
    "blank-line": _blank_line_cut,
    "line": _line_cut,
    "file": _no_cut,
}


def _any_cut(held: bytes) -> int:
    """A place to cut a document that is too long: after a line, a space, or between two characters."""
    for mark in (b"\n", b" "):
        place = held.rfind(mark, len(held) // 2)
        if place >= 0:
            return place + 1
    place = len(held)
    while place > len(held) - 4 and held[place - 1] & 0xC0 == 0x80:
        place -= 1
    return place - 1 if held[place - 1] >= 0xC0 else place


def _parquet_spans(source: Source, index: int, offset: int, text: str) -> Iterator[Span]:
    file = pq.ParquetFile(source.path, pre_buffer=False)
    if text not in file.schema_arrow.names:
        known = ", ".join(file.schema_arrow.names)
        raise DataError(f"{source.path} has no column {text!r} (text)", f"name it with --set text=…; columns: {known}")
    kind = file.schema_arrow.field(text).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{source.path}: column {text!r} is of type {kind}, expected text")
    row = 0
    for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=[text]):
        start, row = row, row + len(batch)
        if row > offset:
            yield Span(
                source=index,
                name=source.path,
                offset=start,
                end=row,
                position=_bytes(source.path) * row // file.metadata.num_rows,
                format="parquet",
                payload=batch.column(0).to_pylist(),
            )


def _open(source: Source) -> IO[bytes] | gzip.GzipFile:
    if source.path == STANDARD_INPUT:
        # a second name, which may be closed
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    return gzip.open(source.path) if source.gzipped else open(source.path, "rb")


def _skip(file: IO[bytes] | gzip.GzipFile, source: Source, offset: int) -> None:
    if source.seekable:
        file.seek(offset)
        return
    while offset > 0:
        read = len(file.read(min(offset, UNIT_BYTES)))
        if not read:
            raise DataError(f"{source.path} ends before byte {offset}, where an earlier run went on")
        offset -= read


class _reading:
    """Context manager that turns the errors of reading an input into one line with its name."""

    def __init__(self, source: Source) -> None:
        self._name = source.path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (gzip.BadGzipFile, EOFError, zlib.error)):
            raise DataError(f"{self._name} is not a whole gzip file: {error}", "copy it again") from error
        if isinstance(error, pa.ArrowInvalid):
            raise DataError(f"{self._name} is not a Parquet file: {str(error).splitlines()[0]}") from error
        if isinstance(error, OSError):
            raise DataError(f"cannot read {self._name}: {error.strerror or error}") from error


def _found(pattern: str) -> list[str]:
    return [pattern] if pattern == STANDARD_INPUT else find_files(pattern)


def _source(path: str, format_: Format | None) -> Source:
    if path == STANDARD_INPUT:
        if format_ == "parquet":
            raise ConfigError("Parquet cannot be read from standard input", "give its file")
        return Source(path=path, format=format_ or "text")
    name = Path(path)
    gzipped = name.suffix.lower() == ".gz"
    suffix = (Path(name.stem) if gzipped else name).suffix.lower()
    found = format_ or _FORMATS.get(suffix)
    if found is None:
        known = ", ".join(key for key in _FORMATS if key)
        raise DataError(
            f"{path} ends in {suffix!r}, expected {known}, or one of these with .gz",
            "say --set format=text if it is text",
        )
    if gzipped and found == "parquet":
        raise DataError(f"{path} is a gzipped Parquet file, expected a plain one", f"gunzip {name.name}")
    if not os.access(path, os.R_OK):
        raise DataError(f"cannot read {path}", "check its permissions")
    return Source(path=path, format=found, gzipped=gzipped)


def _bytes(path: str) -> int:
    return os.stat(path).st_size
