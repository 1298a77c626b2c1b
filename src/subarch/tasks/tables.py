"""A user's tables: CSV, TSV, JSON lines and Parquet, read with errors that name the line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from subarch.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Table:
    """Rows of a file by column; cells are as the file holds them (text files: str)."""

    path: Path
    columns: dict[str, list[Any]]
    lines: list[int] | None
    """The line on which each row begins, from 1; None where the file has no lines."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """Where a row (from 0) stands, for a message."""
        return f"{self.path}, row {row + 1}" if self.lines is None else f"{self.path}, line {self.lines[row]}"


def read_table(path: Path) -> Table:
    """Read a file by its extension: .csv, .tsv, .jsonl or .parquet.

    Raises:
        DataError: The file is missing, of another kind, empty or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is no file, expected a .csv, .tsv, .jsonl or .parquet file", _near(path))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise DataError(
            f"{path} ends in {path.suffix or 'no extension'!r}, expected {known}", "convert it, or rename it"
        )
    try:
        table = reader(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not table.columns or len(table) == 0:
        raise DataError(f"{path} has no rows, expected one for each example")
    return table


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: The file is of another encoding; the message names the line and the byte.
    """
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} at {error.start}, expected UTF-8",
            f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > utf8{path.suffix} (or whichever encoding it has)",
        ) from error


def unquoted(field: str) -> str:
    """A field without the quotes that a CSV writer put around it."""
    if len(field) >= 2 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field


def _read_csv(path: Path) -> Table:
    text = read_text(path)
    header = text.split("\n", 1)[0]
    # Spreadsheets write semicolons where the comma is the decimal sign.
    delimiter = ";" if "," not in header and ";" in header else ","
    return _table(path, _csv_rows(path, text, delimiter))


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: broken row ({error}), expected every opened quote to be closed",
                'write a quote inside a text twice (""), and put the text in quotes',
            ) from error
        if fields:
            yield line, fields


def _read_tsv(path: Path) -> Table:
    rows = (
        (number, [unquoted(field) for field in line.rstrip("\r").split("\t")])
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip()
    )
    return _table(path, rows)


def _table(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Table:
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path} has two columns named {twice!r}, expected each name once", "rename one of them")
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, fields in rows:
        if len(fields) != len(names):
            raise DataError(
                f"{path}, line {line}: {len(fields)} fields, expected {len(names)} ({', '.join(names)})",
                "a text that holds the separator must stand in quotes (in a .csv file)",
            )
        lines.append(line)
        cells.append(fields)
    return Table(path, {name: [row[index] for row in cells] for index, name in enumerate(names)}, lines)


def _read_jsonl(path: Path) -> Table:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not JSON ({error.msg}, character {error.colno}), expected an object",
                "write every example as one object on a line of its own",
            ) from error
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, line {number}: a JSON {type(row).__name__}, expected an object",
                'like {"text": ..., "label": ...}',
            )
        rows.append(row)
        lines.append(number)
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(path, {name: [row.get(name) for row in rows] for name in names}, lines)


def _read_parquet(path: Path) -> Table:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is no readable Parquet file: {reason}", "write it again") from error
    return Table(path, table.to_pydict(), None)


def _near(path: Path) -> str | None:
    names = [file.name for file in path.parent.glob("*") if file.suffix in READERS] if path.parent.is_dir() else []
    return did_you_mean(path.name, names) if names else None


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
