"""Predictions as a Parquet file of one row an example, from which every score can be computed without the model.

Columns: `id`; `prediction` (class, number, text, or for a row of a choice whether it is the answer, 0 or 1); of classes
`probabilities`; of choices `output`; of spans `text` (the best one) and `no_answer` (see `Predictions`); `gold`, where
known; and `slice_NAME`. Only `id` and `prediction` are needed to read a file, whoever wrote it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from subarch.errors import DataError
from subarch.storage import replacing_file
from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.predictions import Predictions, chosen_rows, with_ids

SLICE_PREFIX = "slice_"
"""Before the names of slices, as columns of the file."""
METADATA = b"subarch"
"""Key of the file's metadata: JSON with the task's name, casting, version and labels, and the threshold."""


def save_predictions(
    path: Path, task: Task, predictions: Predictions, examples: Examples, slices: Mapping[str, Array] | None = None
) -> None:
    """Write the file, atomically."""
    examples = with_ids(examples)
    columns: dict[str, Any] = {"id": examples.columns["id"], **_said(task, predictions, examples)}
    gold = gold_column(task, examples)
    if gold is not None:
        columns["gold"] = gold
    columns |= {f"{SLICE_PREFIX}{name}": values for name, values in (slices or {}).items()}
    about = {
        "task": task.name,
        "casting": task.casting,
        "version": task.version,
        "labels": list(task.labels),
        "threshold": predictions.threshold,
    }
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about).encode()})
    with replacing_file(path) as temporary:
        pq.write_table(table, temporary)


def read_predictions(path: Path, task: Task, examples: Examples) -> Predictions:
    """Read such a file; its rows are matched by id, and may come in any order.

    Raises:
        DataError: The file is broken or lacks a column; ids that occur twice, are missing or unknown; predictions that
            are no answer to the task; gold answers that are not those of `examples`.
    """
    table = _read(path)
    examples = with_ids(examples)
    rows = match_ids(str(path), [str(value) for value in table["id"].to_pylist()], examples.columns["id"])
    table = table.take(pa.array(rows))
    about = json.loads((table.schema.metadata or {}).get(METADATA, b"{}"))
    _check_gold(path, table, task, examples)
    said = table["prediction"].to_pylist()
    if task.kind == "span":
        return _spans(path, table, said, float(about.get("threshold", 0.0)))
    if task.kind == "classification":
        names = tuple(about.get("labels") or task.labels)
        outputs = _class_outputs(path, said, task)
        if "probabilities" in table.column_names:
            outputs = _with_probabilities(path, outputs, table["probabilities"].to_pylist(), (names, task.labels))
        return Predictions(outputs=outputs)
    column = "output" if "output" in table.column_names else "prediction"
    return Predictions(outputs=_numbers(path, column, table[column].to_pylist())[:, None])


def match_ids(source: str, found: Sequence[str], expected: Sequence[str]) -> list[int]:
    """For each expected id the row in which it was found.

    Raises:
        DataError: Ids that occur twice, are missing or unknown; one line says how many and which come first.
    """
    expected_ids = set(expected)
    twice = [name for name, count in Counter(found).items() if count > 1]
    known = {name: row for row, name in enumerate(found)}
    missing = [name for name in expected if name not in known]
    unknown = [name for name in known if name not in expected_ids]
    faults = [
        f"{len(names)} {what} ({_first(names)})"
        for what, names in (("occur twice", twice), ("are missing", missing), ("are unknown", unknown))
        if names
    ]
    if faults:
        raise DataError(
            f"{source}: of its {len(found)} ids {', '.join(faults)}, expected each of {len(expected)} once",
            "are they predictions of this task and split?",
        )
    return [known[name] for name in expected]


def gold_column(task: Task, examples: Examples) -> list[Any] | None:
    """The right answers as the file writes them: class names, numbers, or lists of texts."""
    if task.kind == "span":
        return examples.columns.get("answers")
    if examples.labels is None:
        return None
    if task.kind == "classification":
        return [task.labels[label] for label in examples.labels]
    return list(examples.labels.tolist())


def _said(task: Task, predictions: Predictions, examples: Examples) -> dict[str, Any]:
    if task.kind == "span":
        said: dict[str, Any] = {"prediction": predictions.answers, "text": predictions.texts}
        return said if predictions.no_answer is None else said | {"no_answer": predictions.no_answer}
    assert predictions.outputs is not None
    logits = predictions.outputs
    if task.kind == "classification":
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        names = np.asarray(task.labels)
        return {"prediction": names[logits.argmax(axis=1)], "probabilities": list(probabilities.astype(np.float32))}
    if task.kind == "choice":
        answers = np.zeros(len(examples), dtype=np.int64)
        assert examples.groups is not None
        answers[chosen_rows(logits, examples.groups)] = 1
        return {"prediction": answers, "output": logits[:, 0]}
    return {"prediction": logits[:, 0]}


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path} is no file, expected predictions as a Parquet file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is no readable Parquet file: {reason}", "write it again") from error
    known = ", ".join(table.column_names)
    for name in ("id", "prediction"):
        if name not in table.column_names:
            raise DataError(f"{path} has no column {name!r}, but {known}", "see docs/evaluate.md")
    return table


def _check_gold(path: Path, table: pa.Table, task: Task, examples: Examples) -> None:
    gold = gold_column(task, examples)
    if gold is None or "gold" not in table.column_names:
        return
    differing = [
        name
        for name, one, other in zip(examples.columns["id"], table["gold"].to_pylist(), gold, strict=True)
        if one != other
    ]
    if differing:
        raise DataError(
            f"{path}: the gold answers of {len(differing)} ids are not those of the data ({_first(differing)})",
            "choose the split and the task that were predicted, or take the column gold out",
        )


def _spans(path: Path, table: pa.Table, said: list[Any], threshold: float) -> Predictions:
    texts = table["text"].to_pylist() if "text" in table.column_names else said
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f'{path}: a predicted text is no text, expected one each, "" where there is no answer')
    if "no_answer" not in table.column_names:
        return Predictions(texts=texts)
    no_answer = _numbers(path, "no_answer", table["no_answer"].to_pylist(), infinite=True)
    return Predictions(texts=texts, no_answer=no_answer, threshold=threshold)


def _class_outputs(path: Path, said: list[Any], task: Task) -> Array:
    """(N, C) ones where a class was predicted by its name, zeros elsewhere."""
    index = {label: number for number, label in enumerate(task.labels)}
    strange = [str(label) for label in said if label not in index]
    if strange:
        raise DataError(
            f"{path}: {len(strange)} predictions are no class of {task.name} ({_first(strange)})",
            f"its classes are {', '.join(task.labels)}",
        )
    return np.eye(len(task.labels))[[index[label] for label in said]]


def _with_probabilities(
    path: Path, predicted: Array, rows: list[Any], names: tuple[tuple[str, ...], tuple[str, ...]]
) -> Array:
    """(N, C) logarithms of the probabilities in the order of the task, the predicted class the highest."""
    written, wanted = names
    if any(row is None or len(row) != len(wanted) for row in rows) or set(written) != set(wanted):
        raise DataError(f"{path}: probabilities of other classes, expected one for each of {', '.join(wanted)}")
    probabilities = np.asarray(rows, dtype=np.float64)[:, [written.index(name) for name in wanted]]
    if not np.isfinite(probabilities).all():
        raise DataError(f"{path}: probabilities that are not finite numbers, expected those of a softmax")
    outputs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    # Rounded to 32 bits, two classes may seem equally likely.
    best = outputs.max(axis=1, keepdims=True)
    return np.where(predicted > 0, np.nextafter(best, np.inf), outputs)


def _numbers(path: Path, column: str, values: list[Any], *, infinite: bool = False) -> Array:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: column {column!r} holds what is no number") from error
    if np.isnan(numbers).any() or not (infinite or np.isfinite(numbers).all()):
        raise DataError(f"{path}: column {column!r} holds what is no finite number")
    return numbers


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
