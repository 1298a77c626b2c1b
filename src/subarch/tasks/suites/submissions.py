"""Files that the servers of GLUE, SuperGLUE and SQuAD accept, and RACE's answers: written, zipped and read back.

The formats stand in `submission_formats`. Scores of STS-B are cut to 0..5; ReCoRD's answer is the text of the entity;
SQuAD's is "" where there is none, and NAME.na_prob.json beside it has the probability of that, 0.5 at the threshold.
"""

from __future__ import annotations

import logging
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from subarch.errors import DataError, did_you_mean
from subarch.storage import replacing_file
from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.metrics import checked
from subarch.tasks.scoring.prediction_files import match_ids
from subarch.tasks.scoring.predictions import Predictions, chosen_rows, with_ids
from subarch.tasks.suites.averages import find_suite
from subarch.tasks.suites.submission_formats import FORMATS, Entry, Format, dump_object, parse_object

log = logging.getLogger(__name__)

NO_ANSWER_SUFFIX = ".na_prob.json"
SURE = 1e-6
"""Probabilities are read no nearer to 0 and 1 than this."""


def write_submission(folder: Path, task: Task, predictions: Predictions, examples: Examples) -> Path:
    """Write the file of one task, under its official name, and return its path.

    Args:
        folder: Made where it is missing; a file of that name is replaced.
        task: Of the split that was predicted: MNLI's mismatched test set is that of "mnli_mismatched".
        predictions: One for each of `examples`.
        examples: The official test set, with or without labels; rows are named by the column "id", else numbered.

    Raises:
        DataError: A task without a format, rows without a prediction, or ids that occur twice: nothing is written.
        SubarchError: Predictions that are not finite.
    """
    form = _format(task)
    if len(predictions) != len(examples):
        raise DataError(f"{len(predictions)} predictions for {len(examples)} rows of {task.name}, expected one each")
    _check_ids(task, examples)
    examples = with_ids(examples)
    entries = _entries(form, task, predictions, examples)
    if len(entries) != form.rows:
        log.warning("%s has %d answers, the official test set has %d rows", form.file, len(entries), form.rows)
    path = Path(folder) / form.file
    texts = {path: form.dump(entries)}
    if predictions.no_answer is not None:
        sure = expit(np.asarray(predictions.no_answer, np.float64) - predictions.threshold)
        names = examples.columns["id"]
        texts[_no_answer_path(path)] = dump_object(list(zip(names, sure.tolist(), strict=True)))
    for target, text in texts.items():
        with replacing_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def read_submission(path: Path, task: Task, examples: Examples) -> Predictions:
    """Read a file in the format of the task's server, whoever made it; rows are matched by id, in any order.

    A class becomes 1 among zeros, an answer of several rows 1 in the row that was chosen; of spans the texts stand as
    they are, unless NAME.na_prob.json is beside them.

    Raises:
        DataError: A broken file, ids that are missing, unknown or occur twice, or answers that the task has not.
    """
    path, form = Path(path), _format(task)
    if not path.is_file():
        raise DataError(f"{path} is no file, expected {form.file} or its like")
    entries, examples = form.parse(path), with_ids(examples)
    if task.kind == "span":
        return _spans(path, entries, examples)
    grouped = _picks_one(task, examples)
    names = list(dict.fromkeys(_question_ids(examples))) if grouped else list(examples.columns["id"])
    order = match_ids(str(path), [name for name, _ in entries], names)
    values = [entries[row][1] for row in order]
    if task.kind == "regression":
        return Predictions(outputs=np.array([[_score(path, value)] for value in values]))
    if not grouped:
        classes = [_index(path, form, value) for value in values]
        return Predictions(outputs=np.eye(task.num_outputs)[classes])
    chosen = np.zeros(len(examples))
    chosen[_chosen(path, form, examples, dict(zip(names, values, strict=True)))] = 1
    return Predictions(outputs=chosen[:, None] if task.num_outputs == 1 else np.stack([1 - chosen, chosen], axis=1))


def zip_suite(folder: Path, suite: str) -> Path:
    """Zip the files of all tests of a suite that `write_submission` wrote into `folder`, and return the zip's path.

    Raises:
        DataError: Files are missing, or have not as many answers as the official test set: nothing is written.
    """
    folder = Path(folder)
    names = find_suite(suite).evaluated
    missing = [name for name in names if not (folder / FORMATS[name].file).is_file()]
    if missing:
        files = ", ".join(FORMATS[name].file for name in missing)
        raise DataError(
            f"{folder} lacks {files}, expected the predictions of all {len(names)} tests of {suite.lower()}",
            f"write the first with: subarch evaluate --task {missing[0]} --split test --submission {folder}",
        )
    for name in names:
        form = FORMATS[name]
        count = len(form.parse(folder / form.file))
        if count != form.rows:
            raise DataError(
                f"{folder / form.file} has {count} answers, expected {form.rows}", "predict the whole test set"
            )
    path = folder / f"{suite.lower()}.zip"
    with replacing_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            # A fixed date: the same predictions make the same file.
            entry = zipfile.ZipInfo(FORMATS[name].file, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / FORMATS[name].file).read_bytes())
    return path


def _format(task: Task) -> Format:
    if task.name not in FORMATS:
        raise DataError(
            f"there is no submission format for {task.name}, expected a task of a suite",
            did_you_mean(task.name, FORMATS),
        )
    return FORMATS[task.name]


def _check_ids(task: Task, examples: Examples) -> None:
    counts = Counter(str(name) for name in examples.columns.get("id", ()))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(f"{len(twice)} ids of {task.name} occur twice ({twice[0]}), expected each once")


def _entries(form: Format, task: Task, predictions: Predictions, examples: Examples) -> list[Entry]:
    names = examples.columns["id"]
    if task.kind == "span":
        return list(zip(names, predictions.answers, strict=True))
    if predictions.outputs is None:
        raise DataError(f"predictions of {task.name} have no outputs, expected those of a {task.kind}")
    outputs = checked(predictions.outputs, np.arange(len(examples)))
    if task.kind == "regression":
        return [(name, f"{value:.3f}") for name, value in zip(names, np.clip(outputs, 0, form.high), strict=True)]
    if not _picks_one(task, examples):
        return [(name, form.words[index]) for name, index in zip(names, outputs.argmax(axis=1), strict=True)]
    assert examples.groups is not None
    questions = _question_ids(examples)
    return [(questions[row], _option(form, examples, int(row))) for row in chosen_rows(outputs, examples.groups)]


def _picks_one(task: Task, examples: Examples) -> bool:
    """Whether one row of each group is the answer, however the rows are cast; in MultiRC each row has its own."""
    return (examples.groups is not None and "exact_match" not in task.metrics) or "entity" in examples.columns


def _question_ids(examples: Examples) -> list[str]:
    """Of each row that of its question: without the number of the option."""
    return [name.rsplit("-", 1)[0] for name in examples.columns["id"]]


def _option(form: Format, examples: Examples, row: int) -> Any:
    if "entity" in examples.columns:
        return examples.columns["entity"][row]
    return form.words[int(examples.columns["id"][row].rsplit("-", 1)[1])]


def _chosen(path: Path, form: Format, examples: Examples, answers: dict[str, Any]) -> list[int]:
    """The row of each question's answer."""
    rows: dict[tuple[str, str], int] = {}
    for row, question in enumerate(_question_ids(examples)):
        rows.setdefault((question, str(_option(form, examples, row))), row)
    chosen = []
    for question, answer in answers.items():
        if (question, str(answer)) not in rows:
            known = " or ".join(repr(option) for other, option in rows if other == question)
            raise DataError(f"{path}: the answer to {question} is {answer!r}, expected {known}")
        chosen.append(rows[question, str(answer)])
    return chosen


def _index(path: Path, form: Format, value: Any) -> int:
    words = [str(word).casefold() for word in form.words]
    if str(value).casefold() not in words:
        raise DataError(f"{path}: prediction {value!r}, expected {' or '.join(map(repr, form.words))}")
    return words.index(str(value).casefold())


def _score(path: Path, value: Any) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: prediction {value!r}, expected a number") from error
    if not np.isfinite(score):
        raise DataError(f"{path}: prediction {value!r}, expected a finite number")
    return score


def _spans(path: Path, entries: list[Entry], examples: Examples) -> Predictions:
    names = examples.columns["id"]
    order = match_ids(str(path), [name for name, _ in entries], names)
    texts = [entries[row][1] for row in order]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}: an answer is no text, expected a JSON object of ids and texts")
    beside = _no_answer_path(path)
    return Predictions(texts=texts, no_answer=_no_answer(beside, names) if beside.is_file() else None)


def _no_answer(path: Path, names: list[str]) -> Array:
    entries = parse_object(path)
    order = match_ids(str(path), [name for name, _ in entries], names)
    sure = np.array([_score(path, entries[row][1]) for row in order])
    return np.asarray(logit(np.clip(sure, SURE, 1 - SURE)))


def _no_answer_path(path: Path) -> Path:
    return path.with_name(path.stem + NO_ANSWER_SUFFIX)
