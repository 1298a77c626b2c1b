"""A user's tables: CSV, TSV, JSON lines and Parquet, read with errors that name the line.

Text files are read as people have them: with commas, semicolons, tabs or pipes, with Excel's line "sep=;", with columns
that have neither name nor content, as UTF-8 or UTF-16, gzipped or not.
"""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from subarch.errors import DataError, did_you_mean
from subarch.tasks.cells import Faults, is_writable
from subarch.tasks.decoding import TextFile

SEPARATORS = ",;\t|"
"""What may stand between the fields of a .csv, in order of preference."""
SNIFFED = 50
"""Rows by which the separator is told."""
MOST_KEYS = 1000
"""Different keys of JSON lines above which most of them must stand in each line."""
SHARED_CELLS = 10_000
"""Different short cells that are kept once, however often they stand in a file."""
_LONGEST_FIELD = 2**31 - 1
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE)
_JSON_LIST = re.compile(r"\s*\[\s*\{")
_SHEETS = (".xlsx", ".xls", ".ods")
_ARCHIVES = {".zip": "unzip", ".bz2": "bunzip2", ".xz": "unxz", ".zst": "unzstd"}


@dataclass(frozen=True)
class Table:
    """Rows of a file by column; cells are as the file holds them (text files: str)."""

    path: Path
    columns: Mapping[str, list[Any]]
    lines: Sequence[int] | None
    """The line on which each row begins, from 1; None where the file has no lines."""
    separator: str | None = None
    """What stands between fields, in a file whose first row is a header."""
    rows: int | None = None
    """How many there are, where no column should be read to count them."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.rows is None else self.rows

    def place(self, row: int) -> str:
        """Where a row (from 0) stands, for a message."""
        return f"{self.path}, row {row + 1}" if self.lines is None else f"{self.path}, line {self.lines[row]}"


def read_table(path: Path) -> Table:
    """Read a file by its extension: .csv, .tsv, .jsonl or .parquet, all but the last also with .gz.

    Raises:
        DataError: The file is missing, of another kind, empty or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is no file, expected a .csv, .tsv, .jsonl or .parquet file", _near(path))
    packed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    reader = READERS.get(suffix)
    if reader is None or (packed and reader is _read_parquet):
        known = ", ".join(READERS)
        raise DataError(f"{path} ends in {path.suffix or 'no extension'!r}, expected {known}", _conversion(path))
    try:
        table = reader(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if not table.columns or len(table) == 0:
        raise DataError(f"{path} has no rows, expected one for each example")
    unwritable = next((name for name in table.columns if not is_writable(name)), None)
    if unwritable is not None:
        raise DataError(f"{path}: the column name {unwritable!r} holds half of a UTF-16 pair, expected a text")
    return table


def peek_columns(path: Path) -> tuple[str, ...]:
    """The columns of a file by its first row alone, of JSON lines those of the first object; none where it is no table.

    What is wrong with the file is for `read_table` to say.
    """
    packed = path.suffix.lower() == ".gz"
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    try:
        if suffix == ".parquet":
            return tuple(pq.read_schema(path).names)
        if suffix not in READERS:
            return ()
        file = TextFile.of(path)
        return _first_keys(file) if suffix == ".jsonl" else _first_fields(file)
    except (OSError, ValueError, csv.Error, DataError, pa.ArrowException):
        return ()


def _first_keys(file: TextFile) -> tuple[str, ...]:
    with file.open(file.line_end) as text:
        line = next((line for line in text if line.strip("[ \t\r\n")), "")
    row, _ = json.JSONDecoder().raw_decode(line.lstrip("[ \t"))
    return tuple(row) if isinstance(row, dict) else ()


def _first_fields(file: TextFile) -> tuple[str, ...]:
    excel = _SEPARATOR_LINE.match(file.head)
    head = file.head[excel.end() :] if excel else file.head
    separator = excel.group(1) if excel else _find_separator(head)
    fields = next(csv.reader([re.split(r"[\r\n]", head, maxsplit=1)[0]], delimiter=separator), [])
    return tuple(name.strip().lstrip("\ufeff") for name in fields)


def unquoted(field: str) -> str:
    """A field without the quotes that a CSV writer put around it."""
    if len(field) >= 2 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field


def _conversion(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _SHEETS:
        return "save it as CSV in the spreadsheet"
    if suffix in _ARCHIVES:
        return f"unpack it: {_ARCHIVES[suffix]} {path.name}"
    return f"unpack it: gunzip {path.name}" if suffix == ".gz" else "convert it, or rename it"


def _read_csv(path: Path) -> Table:
    file = TextFile.of(path)
    excel = _SEPARATOR_LINE.match(file.head)
    separator = excel.group(1) if excel else _find_separator(file.head)
    with file.open("") as text:
        rows = _csv_rows(path, text, separator)
        return _table(path, islice(rows, 1 if excel else 0, None), separator)


def _find_separator(head: str) -> str:
    """The one of `SEPARATORS` that splits the first row, and where several do, most rows into as many fields."""
    found = {}
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        widths = [len(row) for row in islice(reader, SNIFFED) if row]
        if widths and widths[0] > 1:
            found[separator] = widths.count(widths[0]) / len(widths)
    return max(found, key=lambda separator: found[separator], default=SEPARATORS[0])


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, text: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, delimiter=separator, strict=True)
    with _long_fields():
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
    file = TextFile.of(path)
    header = re.split(r"[\r\n]", file.head, maxsplit=1)[0]
    other = "\t" not in header and any(sign in header for sign in SEPARATORS)
    return _read_csv(path) if other or _SEPARATOR_LINE.match(file.head) else _read_tabs(path, file)


def _read_tabs(path: Path, file: TextFile) -> Table:
    with file.open(file.line_end) as text:
        rows = (
            (number, [unquoted(field) for field in line.rstrip("\r\n").split("\t")])
            for number, line in enumerate(text, start=1)
            if line.strip()
        )
        return _table(path, rows, "\t")


def _table(path: Path, rows: Iterator[tuple[int, list[str]]], separator: str) -> Table:
    _, header = next(rows, (0, []))
    names = _names(path, header)
    width = len(names)
    named = max((number for number, name in enumerate(header, start=1) if name.strip()), default=0)
    faults = Faults(lambda line: f"{path}, line {line}")
    lines = array("q")
    columns: list[list[str]] = [[] for _ in names]
    shared: dict[str, str] = {}
    for line, fields in rows:
        if len(fields) != width and not _fitted(fields, named, width):
            faults.add("fields", line, f"{len(fields)} fields, expected {width} ({', '.join(names)})", _SEPARATED)
            continue
        if width > 1 and not any(fields):
            continue
        lines.append(line)
        for column, cell in zip(columns, fields, strict=True):
            if len(cell) < 24:
                cell = shared.get(cell, cell) if len(shared) >= SHARED_CELLS else shared.setdefault(cell, cell)
            column.append(cell)
    faults.check()
    kept = {
        name: column for name, title, column in zip(names, header, columns, strict=True) if title.strip() or any(column)
    }
    return Table(path, kept, lines, separator)


_SEPARATED = "a text that holds the separator or a line break must stand in quotes (in a .csv file)"


def _names(path: Path, header: Sequence[str]) -> list[str]:
    """The names of the columns; those without one are numbered from 0, as pandas does it."""
    names = [name.strip().lstrip("\ufeff") or f"Unnamed: {number}" for number, name in enumerate(header)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"{path} has two columns named {twice!r}, expected each name once",
            "rename one of them; if the file has no header, put one before its first row",
        )
    return names


def _fitted(fields: list[str], named: int, width: int) -> bool:
    """Bring a row to the width of the header, if only empty or unnamed fields are too many or too few."""
    if len(fields) < named or any(fields[width:]):
        return False
    fields[width:] = []
    fields.extend([""] * (width - len(fields)))
    return True


def _read_jsonl(path: Path) -> Table:
    file = TextFile.of(path)
    faults = Faults(lambda line: f"{path}, line {line}")
    lines = array("q")
    records = _Records(path)
    if _JSON_LIST.match(file.head):
        with file.open("") as text:
            _add_all(records, text.read(), faults)
        return Table(path, records.columns, None)
    with file.open(file.line_end) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            row = _json(line.rstrip("\r\n"), number, faults)
            if isinstance(row, dict):
                records.add(row)
                lines.append(number)
            elif row is not _BROKEN:
                message = f"a JSON {type(row).__name__}, expected an object"
                faults.add("object", number, message, 'like {"text": ..., "label": ...}')
    faults.check()
    return Table(path, records.columns, lines)


_BROKEN = object()


def _json(line: str, number: int, faults: Faults) -> Any:
    hint = "write every example as one object on a line of its own"
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, character {error.colno}" if error.lineno > 1 else f"character {error.colno}"
        faults.add("json", number, f"not JSON ({error.msg}, {where}), expected an object", hint)
    except RecursionError:
        faults.add("deep", number, "JSON nested too deeply, expected an object of texts and numbers", hint)
    except ValueError:  # Python's limit of digits.
        faults.add("digits", number, "a number of thousands of digits, expected a text or a number", "put it in quotes")
    return _BROKEN


def _add_all(records: _Records, text: str, faults: Faults) -> None:
    """The objects of a file that is one JSON list."""
    rows = _json(text, 1, faults)
    faults.check()
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{records.path}, item {number}: a JSON {type(row).__name__}, expected an object")
        records.add(row)


class _Records:
    """JSON objects by column; a key that an object lacks is None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[str, list[Any]] = {}
        self._rows = 0
        self._shared: dict[str, str] = {}

    def add(self, row: dict[str, Any]) -> None:
        for name, cell in row.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = [None] * self._rows
            if isinstance(cell, str) and len(cell) < 24 and len(self._shared) < SHARED_CELLS:
                cell = self._shared.setdefault(cell, cell)
            column.append(cell)
        self._rows += 1
        if len(row) < len(self.columns):
            if len(self.columns) > max(MOST_KEYS, 2 * len(row)):
                raise DataError(
                    f"{self.path}: {len(self.columns)} different keys in {self._rows} objects, expected the same ones",
                    'like {"text": ..., "label": ...}; a value must not be a key',
                )
            for column in self.columns.values():
                if len(column) < self._rows:
                    column.append(None)


class _ParquetColumns(Mapping[str, list[Any]]):
    """Columns that are turned into Python values when they are asked for."""

    def __init__(self, path: Path, table: pa.Table) -> None:
        self._path, self._table = path, table
        self._read: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._read:
            if name not in self._table.column_names:
                raise KeyError(name)
            with _parquet_errors(self._path):
                self._read[name] = self._table.column(name).to_pylist()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column_names)

    def __len__(self) -> int:
        return int(self._table.num_columns)


def _read_parquet(path: Path) -> Table:
    with _parquet_errors(path):
        names = pq.read_schema(path).names
    _names(path, names)
    with _parquet_errors(path):
        table = pq.read_table(path)
    return Table(path, _ParquetColumns(path, table), None, rows=table.num_rows)


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(f"{path} is no readable Parquet file: {reason}", "write it again") from error


def _near(path: Path) -> str | None:
    names = [file.name for file in path.parent.glob("*") if file.suffix in READERS] if path.parent.is_dir() else []
    return did_you_mean(path.name, names) if names else None


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
