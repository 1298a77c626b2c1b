"""GLUE's tab-separated files, each with its own columns, and the same parts on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, Source, Task
from subarch.tasks.decoding import read_text
from subarch.tasks.suites.official import check_unique, find_file, hub_columns, hub_split, row_notes
from subarch.tasks.tables import unquoted

ID_NAMES = ("index", "id")
"""Names of a first column that numbers the rows."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file of a task."""

    files: tuple[str, ...]
    """Names in order of preference; the first is the official one, the others stand in for it."""
    rows: int
    """Rows of the official file."""
    columns: tuple[int, ...]
    """Indices of text, text pair (if any) and label (if `labelled`), from 0."""
    header: bool = True
    labelled: bool = False
    folder: str | None = None
    """Where it is not that of the task."""
    hub_split: str
    hub_config: str | None = None
    """Where it is not that of the task."""


@dataclass(frozen=True)
class _Line:
    number: int
    fields: list[str]


def read_part(task: Task, part: Part, data_dir: Path, notes: list[str]) -> Examples:
    """The examples of a file, with the column "id" where it numbers its rows; what is odd goes into `notes`.

    Rows of a labelled file that have too few fields or no known label are skipped where they are few (QQP has such).

    Raises:
        DataError: The file is missing or is not of the official layout; the message names the line.
    """
    source = _source(task)
    folder = part.folder or source.folder
    path = find_file([data_dir / home / folder for home in ("GLUE", "glue_data", "")], part.files)
    lines = list(_lines(path, source.quoted))
    header = lines.pop(0).fields if part.header and lines else []
    good: list[_Line] = []
    bad: list[_Line] = []
    for line in lines:
        (good if _is_whole(line.fields, part, source) else bad).append(line)
    _check_bad(path, part, source, (len(good), bad))
    if bad:
        notes.append(f"{path.name}: {len(bad)} malformed rows skipped")
    notes += row_notes(path, part.files, len(lines), part.rows)
    columns = {}
    if header and header[0].lstrip("\ufeff") in ID_NAMES:
        columns["id"] = [line.fields[0] for line in good]
        check_unique(columns["id"], (f"{path}, line {line.number}" for line in good))
    picked = [[line.fields[column] for line in good] for column in part.columns]
    labels = _labels(picked.pop(), source, path, good) if part.labelled else None
    return Examples(picked[0], picked[1] if task.text_pair else None, labels, None, columns)


def read_hub(loaded: Any, task: Task, part: Part) -> Examples:
    """The same part of the data set on the Hub."""
    split = hub_split(loaded, part.hub_split, _source(task).hub_id)
    dtype = np.int64 if task.kind == "classification" else np.float32
    return Examples(
        list(split[task.text]),
        list(split[task.text_pair]) if task.text_pair else None,
        np.array(split[task.label], dtype=dtype) if part.labelled else None,
        None,
        {"id": [str(number) for number in split["idx"]]} if "idx" in hub_columns(split) else {},
    )


def _source(task: Task) -> Source:
    if task.source is None:
        raise ValueError(f"{task.name} has no source")
    return task.source


def _lines(path: Path, quoted: bool) -> Iterator[_Line]:
    # Only line feeds end a row: the texts hold other characters that splitlines() takes for line ends.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            fields = line.rstrip("\r").split("\t")
            yield _Line(number, [unquoted(field) for field in fields] if quoted else fields)


def _is_whole(fields: list[str], part: Part, source: Source) -> bool:
    if len(fields) <= max(part.columns):
        return False
    if not part.labelled:
        return True
    label = fields[part.columns[-1]]
    return bool(label) and (label in source.values or not source.values)


def _check_bad(path: Path, part: Part, source: Source, found: tuple[int, Sequence[_Line]]) -> None:
    good, bad = found
    # A test row that were skipped would be missed by the server.
    if not bad or (part.labelled and len(bad) <= max(10, good // 100)):
        return
    first = bad[0]
    if len(first.fields) <= max(part.columns):
        raise DataError(
            f"{path}, line {first.number}: {len(first.fields)} fields, expected {max(part.columns) + 1} or more "
            f"({len(bad)} of {good + len(bad)} rows are such)",
            "use the official file of this name",
        )
    raise DataError(
        f"{path}, line {first.number}: {len(bad)} of {good + len(bad)} rows have no known label in column "
        f"{part.columns[-1] + 1}, expected {' or '.join(source.values) or 'a number'}",
        "use the official file of this name",
    )


def _labels(raw: list[str], source: Source, path: Path, lines: Sequence[_Line]) -> Array:
    if source.values:
        index = {value: number for number, value in enumerate(source.values)}
        return np.array([index[value] for value in raw], dtype=np.int64)
    scores = np.empty(len(raw), dtype=np.float32)
    for row, value in enumerate(raw):
        try:
            scores[row] = float(value)
        except ValueError as error:
            raise DataError(
                f"{path}, line {lines[row].number}: the score is {value!r}, expected a number", "use the official file"
            ) from error
    return scores
