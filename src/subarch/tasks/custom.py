"""A user's own data: one to three files, brought into the three splits of a task.

What is missing is carved out of train. No row of it has the text of a row of the rest or of the other split, or stands
inside one, as far as `splits.carve` can see to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, KindName, Task, TaskData
from subarch.tasks.cells import Faults, is_blank, is_writable, shown
from subarch.tasks.columns import ColumnNames, Columns, find_columns
from subarch.tasks.containment import rows_inside
from subarch.tasks.labels import (
    Labels,
    class_indices,
    class_names,
    guess_kind,
    is_missing,
    match_names,
    read_labels,
    scores,
)
from subarch.tasks.splits import carve_parts
from subarch.tasks.tables import Table, read_table

FEWEST = 10
"""Rows of the smallest file that is split."""


@dataclass(frozen=True)
class _Rows:
    """The labelled rows of a table, their cells checked."""

    texts: list[str]
    pairs: list[str] | None
    labels: Labels
    kept: dict[str, list[Any]]


def load_files(
    train: Path,
    valid: Path | None = None,
    test: Path | None = None,
    *,
    kind: KindName | None = None,
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
        DataError: A file, column, row or label that cannot be used; the message names the line. Rows without a label
            are left out and counted in the notes, unless they are half of a file.
    """
    given = Columns(**columns)
    table = read_table(Path(train))
    text, pair, label = find_columns(table, given)
    exact = Columns(text=text, text_pair=pair, label=label, keep=given.keep)
    parts = {"train": _rows(table, exact)}
    del table
    for split, path in (("validation", valid), ("test", test)):
        if path is not None:
            parts[split] = _rows(read_table(Path(path)), exact)
    labels = parts["train"].labels
    known_kind: KindName = kind or guess_kind(labels)
    notes = [_guessed_columns(given, exact), "" if kind else _guessed_kind(known_kind, labels)]
    notes += [rows.labels.note() for rows in parts.values()]
    names = class_names(labels) if known_kind == "classification" else ()
    read = partial(class_indices, names=names) if names else scores
    splits = {split: _with_labels(rows, read) for split, rows in parts.items()}
    task = Task(
        name=_stem(Path(train)),
        kind=known_kind,
        labels=names,
        text=text,
        text_pair=pair,
        label=label,
        metrics=("accuracy", "f1_macro") if names else ("pearson", "spearman", "rmse"),
        main_metric="accuracy" if names else "pearson",
    )
    unlabelled = {split: len(rows.labels.missing) for split, rows in parts.items() if rows.labels.missing}
    del parts, labels
    splits, split_notes = _complete(splits, task, Path(train), seed)
    told = tuple(note for note in (*notes, *split_notes) if note)
    return TaskData(task, splits["train"], splits["validation"], splits["test"], told, unlabelled)


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
    rows = _rows(read_table(path), Columns(text=task.text, text_pair=task.text_pair, label=task.label, keep=keep))
    if rows.labels.missing:
        raise DataError(
            f"{rows.labels.note()}, expected a label in each row that is scored", "label them or take them out"
        )
    if task.kind == "regression":
        return _with_labels(rows, scores)
    numbered = not match_names(rows.labels.counts, task.labels)
    names = tuple(str(number) for number in range(len(task.labels))) if numbered else task.labels
    return _with_labels(rows, partial(class_indices, names=names))


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
    faults = Faults(table.place)
    columns = [column for column in (task.text, task.text_pair) if column is not None]
    texts, *pairs = [_texts(table, column, range(len(table)), faults) for column in columns]
    faults.check()
    return Examples(texts, pairs[0] if pairs else None)


def _rows(table: Table, columns: Columns) -> _Rows:
    for column in (columns.text, columns.text_pair, columns.label, *columns.keep):
        if column is not None and column not in table.columns:
            raise DataError(
                f"{table.path} has no column {column!r} as train has, but {', '.join(table.columns)}",
                "give all files the same column names, in a header or as keys",
            )
    faults = Faults(table.place)
    labels = read_labels(table, str(columns.label), faults)
    texts = _texts(table, str(columns.text), labels.rows, faults)
    pairs = _texts(table, columns.text_pair, labels.rows, faults) if columns.text_pair else None
    kept = {name: _kept(table, name, labels.rows, faults) for name in columns.keep}
    faults.check()
    return _Rows(texts, pairs, labels, kept)


def _texts(table: Table, column: str, rows: Sequence[int], faults: Faults) -> list[str]:
    """The texts in these rows of a column; what is none is added to `faults`."""
    cells = table.columns[column]
    if len(rows) < len(cells):
        cells = [cells[row] for row in rows]
    if any(isinstance(cell, bytes) for cell in cells[:1]):
        cells = [_decoded(cell) for cell in cells]
    for row, cell in zip(rows, cells, strict=True):
        if is_missing(cell) if not isinstance(cell, str) else is_blank(cell):
            faults.add(f"empty {column}", row, f"{column!r} is empty, expected a text", "fill it or take the row out")
        elif not isinstance(cell, str):
            faults.add(f"text {column}", row, f"{column!r} holds {shown(cell)}, expected a text", "put it in quotes")
        elif not is_writable(cell):
            message = f"{column!r} holds half of a UTF-16 pair (a lone surrogate), expected a text"
            faults.add(f"surrogate {column}", row, message, "take it out, or write the text in UTF-8 again")
    return cells


def _decoded(cell: Any) -> Any:
    try:
        return cell.decode() if isinstance(cell, bytes) else cell
    except UnicodeDecodeError:
        return cell


def _kept(table: Table, column: str, rows: Sequence[int], faults: Faults) -> list[Any]:
    """The values by which scores are sliced, in these rows."""
    cells = table.columns[column]
    cells = [_decoded(cells[row]) for row in rows]
    for row, cell in zip(rows, cells, strict=True):
        if isinstance(cell, list | dict | bytes) or (isinstance(cell, str) and not is_writable(cell)):
            faults.add(f"value {column}", row, f"{column!r} holds {shown(cell)}, expected a word or a number")
    return cells


def _with_labels(rows: _Rows, label: Callable[[Labels], Array]) -> Examples:
    return Examples(rows.texts, rows.pairs, label(rows.labels), columns=rows.kept)


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
    keep = {key for name, examples in parts.items() if name != "train" for key in examples.each_key()}
    seeds = [seed + number for number in range(len(missing))]
    carved = carve_parts(train, size, kind=task.kind, seeds=seeds, keep=keep) if missing else (train, [])
    parts["train"] = carved[0]
    for split, (part, told) in zip(missing, carved[1], strict=True):
        parts[split] = part
        if len(part) == 0:
            raise DataError(
                f"{path} has too few different texts to carve {split} out of it, expected at least {needed}",
                f"give {split} as a file of its own",
            )
        notes.append(f"{split} is {len(part)} rows carved out of {path.name}")
        notes += [f"{split}: {line}" for line in told]
    for split in ("validation", "test"):
        inside = 0 if split in missing or task.text_pair else rows_inside(parts[split].texts, parts["train"].texts)
        if inside:
            notes.append(f"{inside} texts of {split} stand inside longer ones of train: its score may be too good")
    return parts, notes


def _guessed_columns(given: Columns, exact: Columns) -> str:
    guessed = [
        f"{name} is column {getattr(exact, name)!r}"
        for name in ("text", "text_pair", "label")
        if getattr(given, name) is None and getattr(exact, name) is not None
    ]
    return f"guessed: {', '.join(guessed)}" if guessed else ""


def _guessed_kind(known: KindName, labels: Labels) -> str:
    remark = ", numbers with a decimal comma" if labels.decimal_comma else ""
    return f"guessed from the labels in {labels.column!r}: {known}{remark}"


def _stem(path: Path) -> str:
    return Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem
