"""The GLUE tasks (Wang et al. 2019), from the official files or from the Hub.

The labels of the official test sets were never published, so the official dev set reports (`test`), and a
part of train selects (`validation`). SST-2 trains on phrases of its sentences: there a score on validation,
which is made of phrases too, does not compare with one on test, made of whole sentences.

Main metrics: of MRPC F1, of QQP accuracy, of STS-B Pearson's correlation, as in the released code of Bort.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, Source, Task, TaskData
from subarch.tasks.splits import carve, validation_size, without
from subarch.tasks.tables import read_text, unquoted

log = logging.getLogger(__name__)

ENTAILMENT = ("entailment", "not_entailment")


def _source(folder: str, rows: tuple[int, int], columns: tuple[int, ...], **more: Any) -> Source:
    files = {"train_files": ("train.tsv",), "test_files": ("dev.tsv",)} | more
    config = folder.lower().replace("-", "")
    return Source(
        folder=folder,
        hub_id="nyu-mll/glue",
        hub_config=config,
        train_rows=rows[0],
        test_rows=rows[1],
        columns=columns,
        **files,
    )


def _task(source: Source, texts: tuple[str, ...], labels: tuple[str, ...], metrics: tuple[str, ...]) -> Task:
    return Task(
        name=source.hub_config,
        kind="classification" if labels else "regression",
        labels=labels,
        text=texts[0],
        text_pair=texts[1] if len(texts) == 2 else None,
        label="label",
        metrics=metrics,
        main_metric=metrics[0],
        source=source,
    )


_TASKS = (
    _task(
        _source("CoLA", (8551, 1043), (3, 1), header=False, values=("0", "1")),
        ("sentence",),
        ("unacceptable", "acceptable"),
        ("matthews_correlation",),
    ),
    _task(
        _source("SST-2", (67349, 872), (0, 1), values=("0", "1")),
        ("sentence",),
        ("negative", "positive"),
        ("accuracy",),
    ),
    _task(
        _source("MRPC", (3668, 408), (3, 4, 0), values=("0", "1")),
        ("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        ("f1", "accuracy"),
    ),
    _task(
        _source("STS-B", (5749, 1500), (7, 8, 9)),
        ("sentence1", "sentence2"),
        (),
        ("pearson", "spearman"),
    ),
    _task(
        _source(
            "QQP",
            (363849, 40430),
            (3, 4, 5),
            values=("0", "1"),
            quoted=True,
            train_files=("train.tsv", "train_sample.tsv"),
            test_files=("dev.tsv", "dev_sample.tsv"),
        ),
        ("question1", "question2"),
        ("not_duplicate", "duplicate"),
        ("accuracy", "f1"),
    ),
    _task(
        _source(
            "MNLI",
            (392702, 9815),
            (8, 9, 11),
            test_columns=(8, 9, 15),
            values=("entailment", "neutral", "contradiction"),
            test_files=("dev_matched.tsv",),
            hub_test_split="validation_matched",
        ),
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        ("accuracy",),
    ),
    _task(
        _source(
            "QNLI",
            (104743, 5463),
            (1, 2, 3),
            values=ENTAILMENT,
            train_files=("train.tsv", "train_derived.tsv"),
        ),
        ("question", "sentence"),
        ENTAILMENT,
        ("accuracy",),
    ),
    _task(
        _source("RTE", (2490, 277), (1, 2, 3), values=ENTAILMENT),
        ("sentence1", "sentence2"),
        ENTAILMENT,
        ("accuracy",),
    ),
    _task(
        _source("WNLI", (635, 71), (1, 2, 3), values=("0", "1")),
        ("sentence1", "sentence2"),
        ("not_entailment", "entailment"),
        ("accuracy",),
    ),
)

GLUE: dict[str, Task] = {task.name: task for task in _TASKS}
"""The rows; the first metric of each is its main one. Labels are in the order of the Hub's indices."""


def load_glue(task: Task, *, data_dir: Path | None, seed: int = 0) -> TaskData:
    """Read a GLUE task: from the official files below `data_dir`, or without one from the Hub.

    Args:
        task: A row of `GLUE`.
        data_dir: Folder that holds `GLUE/<Task>/`, `glue_data/<Task>/` or `<Task>/`.
        seed: Of the carving of validation out of train; test does not depend on it.

    Raises:
        DataError: A file is missing or is not of the official layout, or the Hub is out of reach.
    """
    source = task.source
    if source is None:
        raise ValueError(f"{task.name} has no source")
    if data_dir is None:
        train, test, notes = _from_hub(task, source)
    else:
        train, test, notes = _from_files(task, source, Path(data_dir))
    known = set(test.text_keys())
    kept = without(train, known)
    if len(kept) < len(train):
        notes.append(f"{len(train) - len(kept)} train rows that also stand in the official dev set were left out")
    rest, validation = carve(kept, validation_size(len(kept)), kind=task.kind, seed=seed)
    notes.append(f"test is the dev set; validation is {len(validation)} rows carved out of train")
    return TaskData(task, rest, validation, test, tuple(notes))


def _from_files(task: Task, source: Source, data_dir: Path) -> tuple[Examples, Examples, list[str]]:
    notes: list[str] = []
    parts = []
    for names, rows, columns in (
        (source.train_files, source.train_rows, source.columns),
        (source.test_files, source.test_rows, source.test_columns or source.columns),
    ):
        path = _find(source.folder, names, data_dir)
        examples, skipped = _read(path, task, source, columns)
        if skipped:
            notes.append(f"{path.name}: {skipped} malformed rows skipped")
        if path.name != names[0]:
            notes.append(f"sample file {path.name} stands in for the official {names[0]}: scores do not compare")
        elif len(examples) + skipped != rows:
            log.warning("%s has %d rows, the official file has %d", path, len(examples) + skipped, rows)
            notes.append(f"{path.name} has {len(examples) + skipped} rows, the official file has {rows}")
        parts.append(examples)
    return parts[0], parts[1], notes


def _find(folder: str, names: tuple[str, ...], data_dir: Path) -> Path:
    homes = (data_dir / "GLUE" / folder, data_dir / "glue_data" / folder, data_dir / folder)
    for name in names:
        for home in homes:
            if (home / name).is_file():
                return home / name
    home = next((home for home in homes if home.is_dir()), homes[0])
    raise DataError(
        f"{home / names[0]} is missing, expected the official file",
        "put it there, choose another --data-dir (or SUBARCH_DATA), or leave both out to read the Hub",
    )


def _read(path: Path, task: Task, source: Source, columns: tuple[int, ...]) -> tuple[Examples, int]:
    """The examples of a file, and how many rows were skipped because they have too few fields or no label."""
    rows: list[list[str]] = []
    raw_labels: list[str] = []
    skipped = 0
    for fields in _fields(path, source):
        picked = [fields[column] if column < len(fields) else "" for column in columns]
        if picked[-1] and (picked[-1] in source.values or not source.values):
            rows.append(picked[:-1])
            raw_labels.append(picked[-1])
        else:
            skipped += 1
    if skipped > max(10, len(rows) // 100):
        raise DataError(
            f"{path}: {skipped} of {len(rows) + skipped} rows have no known label in column "
            f"{columns[-1] + 1}, expected {' or '.join(source.values) or 'a number'}",
            "use the official file of this name",
        )
    pairs = [row[1] for row in rows] if task.text_pair else None
    return Examples([row[0] for row in rows], pairs, _labels(raw_labels, source, path)), skipped


def _fields(path: Path, source: Source) -> Iterator[list[str]]:
    # Only line feeds end a row: the texts hold other characters that splitlines() takes for line ends.
    for line in read_text(path).split("\n")[1 if source.header else 0 :]:
        if line.strip():
            fields = line.rstrip("\r").split("\t")
            yield [unquoted(field) for field in fields] if source.quoted else fields


def _labels(raw: list[str], source: Source, path: Path) -> Array:
    if source.values:
        index = {value: number for number, value in enumerate(source.values)}
        return np.array([index[value] for value in raw], dtype=np.int64)
    try:
        return np.array([float(value) for value in raw], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"{path}: a score is not a number: {error}", "use the official file") from error


def _from_hub(task: Task, source: Source) -> tuple[Examples, Examples, list[str]]:
    # Takes seconds to import, and a user with local files never needs it.
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        loaded = datasets.load_dataset(source.hub_id, source.hub_config)
    except (OSError, DatasetsError) as error:
        raise DataError(
            f"cannot read {source.hub_id} ({source.hub_config}) from the Hub: {str(error).splitlines()[0]}",
            "go online, or give a folder with the official files by --data-dir or SUBARCH_DATA",
        ) from error
    dtype = np.int64 if task.kind == "classification" else np.float32
    parts = [
        Examples(
            list(loaded[split][task.text]),
            list(loaded[split][task.text_pair]) if task.text_pair else None,
            np.array(loaded[split][task.label], dtype=dtype),
        )
        for split in ("train", source.hub_test_split)
    ]
    return parts[0], parts[1], [f"read from the Hub: {source.hub_id} ({source.hub_config})"]
