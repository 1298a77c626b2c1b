"""A user's own data: one to three files, brought into the three splits of a task.

What is missing is carved out of train. No row of it has the text of a row of the rest or of the other split, or stands
inside one, as far as `splits.carve` can see to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, Kind, Task, TaskData
from subarch.tasks.columns import ColumnNames, Columns, as_number, find_columns, guess_kind
from subarch.tasks.containment import rows_inside
from subarch.tasks.splits import carve
from subarch.tasks.tables import Table, read_table

FEWEST = 10
"""Rows of the smallest file that is split."""


@dataclass(frozen=True)
class _Rows:
    """A table whose columns are known and whose cells are checked."""

    table: Table
    texts: list[str]
    pairs: list[str] | None
    labels: list[Any]
    kept: dict[str, list[Any]]


def load_files(
    train: Path,
    valid: Path | None = None,
    test: Path | None = None,
    *,
    kind: Kind | None = None,
    seed: int = 0,
    **columns: Unpack[ColumnNames],
) -> TaskData:
    """Read a task from files.

    Only `train`: it is split 80/10/10. With `valid` or `test`, the other is carved out of train (a tenth).
    With all three, they are taken as they are.

    Args:
        train: A .csv, .tsv, .jsonl or .parquet file with a header (or keys).
        valid: Selects; may be of another format, with the same columns.
        test: Reports.
        kind: Guessed from the labels where that is safe.
        seed: Of the split.
        columns: Names of the columns `text`, `text_pair` and `label`; guessed where that is safe. Those
            in `keep` become `Examples.columns`.

    Raises:
        DataError: A file, column, row or label that cannot be used; the message names the line.
    """
    given = Columns(**columns)
    table = read_table(Path(train))
    text, pair, label = find_columns(table, given)
    exact = Columns(text=text, text_pair=pair, label=label, keep=given.keep)
    tables = [table] + [read_table(Path(path)) for path in (valid, test) if path is not None]
    rows = [_rows(each, exact) for each in tables]
    known_kind: Kind = kind or guess_kind(rows[0].labels, label)
    notes = [note for note in (_guessed_columns(given, exact), _guessed_kind(kind, known_kind, label)) if note]
    if known_kind == "classification":
        names = _class_names(rows[0], label)
        splits = [_with_labels(each, lambda each: _class_indices(each, names)) for each in rows]
    else:
        names = ()
        splits = [_with_labels(each, _scores) for each in rows]
    task = Task(
        name=Path(train).stem,
        kind=known_kind,
        labels=names,
        text=text,
        text_pair=pair,
        label=label,
        metrics=("accuracy", "f1_macro") if names else ("pearson", "spearman", "rmse"),
        main_metric="accuracy" if names else "pearson",
    )
    parts = dict(zip(["train", *(["validation"] if valid else []), *(["test"] if test else [])], splits, strict=True))
    parts, split_notes = _complete(parts, task, Path(train), seed)
    return TaskData(task, parts["train"], parts["validation"], parts["test"], (*notes, *split_notes))


def load_split(path: Path, task: Task, keep: tuple[str, ...] = ()) -> Examples:
    """Read further examples of a task from a file whose columns have the task's own names.

    Args:
        path: A .csv, .tsv, .jsonl or .parquet file. Classes are written by name, or by number from 0 where no class
            is named so.
        task: Of classes or numbers, one example a row.
        keep: Further columns that become `Examples.columns`.

    Raises:
        DataError: A file, column, row or label that cannot be used; the message names the line.
    """
    if task.kind not in ("classification", "regression"):
        raise DataError(f"{path} for {task.name}, a {task.kind}, expected its official format", "give --split a name")
    table = read_table(path)
    rows = _rows(table, Columns(text=task.text, text_pair=task.text_pair, label=task.label, keep=keep))
    if task.kind == "regression":
        return _with_labels(rows, _scores)
    numbered = not set(task.labels) & {_class_name(label) for label in rows.labels}
    names = tuple(str(number) for number in range(len(task.labels))) if numbered else task.labels
    return _with_labels(rows, lambda each: _class_indices(each, names))


def load_unlabelled(path: Path, task: Task) -> Examples:
    """Read texts without labels from a file whose text columns have the task's own names.

    Raises:
        DataError: A file, column or row that cannot be used, or a task of questions with several rows each.
    """
    if task.kind not in ("classification", "regression"):
        raise DataError(f"unlabelled texts for {task.name}, a {task.kind}, expected a task of one example a row")
    table = read_table(path)
    for column in (task.text, task.text_pair):
        if column is not None and column not in table.columns:
            expected = " and ".join(repr(name) for name in (task.text, task.text_pair) if name)
            raise DataError(
                f"{table.path} has the columns {', '.join(table.columns)}, expected {expected}",
                "name the columns of the unlabelled file as those of the training data",
            )
    return Examples(_texts(table, task.text), _texts(table, task.text_pair) if task.text_pair else None)


def _rows(table: Table, columns: Columns) -> _Rows:
    for column in (columns.text, columns.text_pair, columns.label, *columns.keep):
        if column is not None and column not in table.columns:
            raise DataError(
                f"{table.path} has no column {column!r} as train has, but {', '.join(table.columns)}",
                "give all files the same column names",
            )
    texts = _texts(table, str(columns.text))
    pairs = _texts(table, columns.text_pair) if columns.text_pair else None
    labels = [cell.strip() if isinstance(cell, str) else cell for cell in table.columns[str(columns.label)]]
    for row, label in enumerate(labels):
        if label is None or label == "":
            raise DataError(
                f"{table.place(row)}: label {columns.label!r} is missing, expected one",
                "label the row or take it out",
            )
        if isinstance(label, list | dict):
            raise DataError(f"{table.place(row)}: label is {repr(label)[:40]}, expected a word or a number")
    return _Rows(table, texts, pairs, labels, {name: table.columns[name] for name in columns.keep})


def _texts(table: Table, column: str) -> list[str]:
    for row, cell in enumerate(table.columns[column]):
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            raise DataError(f"{table.place(row)}: {column!r} is empty, expected a text", "fill it or take the row out")
        if not isinstance(cell, str):
            raise DataError(f"{table.place(row)}: {column!r} holds {repr(cell)[:40]}, expected a text")
    return table.columns[column]


def _class_name(label: Any) -> str:
    """Whole numbers read the same from every format: 1, "1" and 1.0 are the class "1"."""
    number = as_number(label)
    if number is not None and math.isfinite(number) and number == int(number):
        return str(int(number))
    return str(label).lower() if isinstance(label, bool) else str(label)


def _class_names(rows: _Rows, column: str) -> tuple[str, ...]:
    names = {_class_name(label) for label in rows.labels}
    if len(names) < 2:
        raise DataError(
            f"{rows.table.path}: every label in {column!r} is {names.pop()!r}, expected at least two classes",
            "is it the right column? name it with --label",
        )
    return tuple(sorted(names, key=lambda name: (as_number(name) is None, as_number(name) or 0.0, name)))


def _class_indices(rows: _Rows, names: tuple[str, ...]) -> Array:
    index = {name: number for number, name in enumerate(names)}
    found = [_class_name(label) for label in rows.labels]
    for row, name in enumerate(found):
        if name not in index:
            raise DataError(
                f"{rows.table.place(row)}: label {name!r} is not in train, expected one of {_some(names)}",
                "correct it, or add examples of it to train",
            )
    return np.array([index[name] for name in found], dtype=np.int64)


def _scores(rows: _Rows) -> Array:
    for row, label in enumerate(rows.labels):
        number = as_number(label)
        if number is None or not math.isfinite(number):
            raise DataError(
                f"{rows.table.place(row)}: label {label!r} is not a finite number, expected a score",
                "correct it, take the row out, or give --kind classification",
            )
    return np.array([float(label) for label in rows.labels], dtype=np.float32)


def _with_labels(rows: _Rows, label: Callable[[_Rows], Array]) -> Examples:
    return Examples(rows.texts, rows.pairs, label(rows), columns=rows.kept)


def _complete(parts: dict[str, Examples], task: Task, path: Path, seed: int) -> tuple[dict[str, Examples], list[str]]:
    """Carve the missing splits out of train."""
    notes: list[str] = []
    missing = [split for split in ("test", "validation") if split not in parts]
    train = parts["train"]
    needed = max(FEWEST, 2 * len(task.labels) * (1 + len(missing)))
    if missing and len(train) < needed:
        raise DataError(
            f"{path} has {len(train)} rows, expected {needed} or more to carve {' and '.join(missing)} out",
            "add rows, or give the splits as files of their own",
        )
    size = max(len(train) // 10, len(task.labels), 1)
    for number, split in enumerate(missing):
        keep = {key for name, examples in parts.items() if name != "train" for key in examples.text_keys()}
        told: list[str] = []
        parts["train"], parts[split] = carve(
            parts["train"], size, kind=task.kind, seed=seed + number, keep=keep, notes=told
        )
        if len(parts[split]) == 0:
            raise DataError(
                f"{path} has too few different texts to carve {split} out of it, expected at least {needed}",
                f"give {split} as a file of its own",
            )
        notes.append(f"{split} is {len(parts[split])} rows carved out of {path.name}")
        notes += [f"{split}: {line}" for line in told]
    for split in ("validation", "test"):
        inside = 0 if split in missing or task.text_pair else rows_inside(parts[split].texts, parts["train"].texts)
        if inside:
            notes.append(f"{inside} texts of {split} stand inside longer ones of train: its score may be too good")
        shared = len(set(parts["train"].text_keys()) & set(parts[split].text_keys()))
        if shared:
            notes.append(f"{shared} texts stand both in train and in {split}: its score may be too good")
    return parts, notes


def _guessed_columns(given: Columns, exact: Columns) -> str:
    guessed = [
        f"{name} is column {getattr(exact, name)!r}"
        for name in ("text", "text_pair", "label")
        if getattr(given, name) is None and getattr(exact, name) is not None
    ]
    return f"guessed: {', '.join(guessed)}" if guessed else ""


def _guessed_kind(given: Kind | None, known: Kind, label: str) -> str:
    return "" if given else f"guessed from the labels in {label!r}: {known}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
