"""The GLUE tasks (Wang et al. 2019), from the official files or from the Hub.

The labels of the official test sets were never published, so the official dev set reports (`test`), and a
part of train selects (`validation`). The test sets can be predicted and submitted; so can AX, the diagnostic set, whose
labels are hidden too, by a model of MNLI. SST-2 trains on phrases of its sentences: its validation is all
phrases of some sentences, its test whole sentences, so that their scores do not compare.

Main metrics: of MRPC F1, of QQP accuracy, of STS-B Pearson's correlation, as in the released code of Bort.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.errors import DataError, did_you_mean
from subarch.tasks.base import Examples, Source, Task, TaskData
from subarch.tasks.splits import carve, validation_size, without
from subarch.tasks.suites.glue_files import Part, read_hub, read_part
from subarch.tasks.suites.official import load_hub

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
"""The rows that have training data; the first metric of each is its main one. Labels are in the order of the Hub's
indices."""

GLUE_EVALUATION: dict[str, Task] = {
    "mnli_mismatched": replace(GLUE["mnli"], name="mnli_mismatched"),
    "ax": replace(GLUE["mnli"], name="ax", metrics=("matthews_correlation",), main_metric="matthews_correlation"),
}
"""Sets for a model of MNLI, without training data."""


def _test(file: str, rows: int, columns: tuple[int, ...], **more: Any) -> Part:
    return Part(files=(file,), rows=rows, columns=columns, **{"hub_split": "test"} | more)


_PARTS: dict[str, dict[str, Part]] = {
    "cola": {"test": _test("test.tsv", 1063, (1,))},
    "sst2": {"test": _test("test.tsv", 1821, (1,))},
    "mrpc": {"test": _test("test.tsv", 1725, (3, 4))},
    "stsb": {"test": _test("test.tsv", 1379, (7, 8))},
    "qqp": {"test": _test("test.tsv", 390965, (1, 2))},
    "mnli": {
        "test": _test("test_matched.tsv", 9796, (8, 9), hub_split="test_matched"),
        "test_mismatched": _test("test_mismatched.tsv", 9847, (8, 9), hub_split="test_mismatched"),
        "dev_mismatched": _test(
            "dev_mismatched.tsv", 9832, (8, 9, 15), labelled=True, hub_split="validation_mismatched"
        ),
    },
    "qnli": {"test": _test("test.tsv", 5463, (1, 2))},
    "rte": {"test": _test("test.tsv", 3000, (1, 2))},
    "wnli": {"test": _test("test.tsv", 146, (1, 2))},
    "ax": {"test": _test("diagnostic.tsv", 1104, (1, 2), folder="diagnostic", hub_config="ax")},
}
"""What else there is of each task than its train and dev sets."""
_PARTS["mnli_mismatched"] = {
    "test": _PARTS["mnli"]["test_mismatched"],
    "dev": _PARTS["mnli"]["dev_mismatched"],
}


def load_glue(task: Task, *, data_dir: Path | None, seed: int = 0) -> TaskData:
    """Read a GLUE task: from the official files below `data_dir`, or without one from the Hub.

    Args:
        task: A row of `GLUE`.
        data_dir: Folder that holds `GLUE/<Task>/`, `glue_data/<Task>/` or `<Task>/`.
        seed: Of the carving of validation out of train; test does not depend on it.

    Raises:
        DataError: A file is missing or is not of the official layout, or the Hub is out of reach.
    """
    source = _source_of(task)
    notes: list[str] = []
    loaded = None if data_dir is not None else load_hub(source.hub_id, source.hub_config)
    train, test = (_read(task, _part(task, split), data_dir, loaded, notes) for split in ("train", "dev"))
    if data_dir is None:
        notes.insert(0, f"read from the Hub: {source.hub_id} ({source.hub_config})")
    known = set(test.text_keys())
    kept = without(train, known)
    if len(kept) < len(train):
        notes.append(f"{len(train) - len(kept)} train rows that also stand in the official dev set were left out")
    told: list[str] = []
    rest, validation = carve(kept, validation_size(len(kept)), kind=task.kind, seed=seed, notes=told)
    notes += [f"test is the dev set; validation is {len(validation)} rows carved out of train", *told]
    return TaskData(task, rest, validation, test, tuple(notes))


def load_glue_test(task: Task, *, data_dir: Path | None, split: str) -> Examples:
    """The split "dev" or "test" of a task, of MNLI also "dev_mismatched" and "test_mismatched".

    Test sets have no labels. A count of rows that is not the official one is warned of.

    Args:
        task: A row of `GLUE` or `GLUE_EVALUATION`.
        data_dir: As of `load_glue`.
        split: Its name.
    """
    source, part = _source_of(task), _part(task, split)
    loaded = None if data_dir is not None else load_hub(source.hub_id, part.hub_config or source.hub_config)
    return _read(task, part, data_dir, loaded, [])


def _read(task: Task, part: Part, data_dir: Path | None, loaded: Any, notes: list[str]) -> Examples:
    if data_dir is None:
        return read_hub(loaded, task, part)
    return read_part(task, part, Path(data_dir), notes)


def _part(task: Task, split: str) -> Part:
    source, more = _source_of(task), _PARTS[task.name]
    if split in more:
        return more[split]
    if task.name in GLUE and split in ("train", "dev"):
        train = split == "train"
        return Part(
            files=source.train_files if train else source.test_files,
            rows=source.train_rows if train else source.test_rows,
            columns=source.columns if train else source.test_columns or source.columns,
            header=source.header,
            labelled=True,
            hub_split="train" if train else source.hub_test_split,
        )
    known = ["dev", *more] if task.name in GLUE else list(more)
    raise DataError(f"{task.name} has no split {split!r}", did_you_mean(split, known))


def _source_of(task: Task) -> Source:
    if task.source is None:
        raise ValueError(f"{task.name} has no source")
    return task.source
