"""Whether a teacher agrees with the labels before it teaches: its score on some rows beside the commonest answer's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from subarch.arch.configuration import SIGMOID
from subarch.deploy.formats.registry import format_in
from subarch.deploy.runtime import answer
from subarch.errors import DataError, ModelError
from subarch.inputs.matching import listed
from subarch.inputs.models import ModelFolder, aligned
from subarch.kinds.registry import kind_of
from subarch.running.machine import describe_machine
from subarch.session.session import Session
from subarch.tasks.base import Array, Examples, Task, TaskData
from subarch.training.predict import predict

ROWS = 128
"""Labelled rows that the teacher is asked about; ours."""
TOKENS = 8192
"""Tokens of these rows at most: seconds, whatever the model."""
FEWEST = 24
"""Rows below which nothing follows from them."""
UNEVEN = 1.25
"""So many times as many rows of the commonest class as of a mean one, or as much recall as chance; ours."""
SURE = 3.0
"""Standard errors by which another order of the classes must be better; ours."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often answers are as labelled."""

    rows: int
    score: float
    """Share of equal answers."""
    recall: float
    """Mean over the classes of the share of their rows that are answered so."""
    commonest: float
    """Share of the commonest class: what answering it always would reach."""
    classes: int
    best_order: tuple[int, ...]
    """For each output, the class that it would have to stand for."""
    best_score: float
    """Share of equal answers with that order."""

    @property
    def above_commonest(self) -> bool:
        """Whether the answers are worth more than always the commonest; where classes are uneven, by their recall."""
        uneven = self.commonest * self.classes > UNEVEN
        return self.score > self.commonest or (uneven and self.recall > UNEVEN / self.classes)

    @property
    def another_order_fits(self) -> bool:
        """Whether another order is better by more than the choice among all orders makes it by chance."""
        tried = math.sqrt(2 * math.lgamma(self.classes + 1))
        base = max(self.score, self.commonest)
        error = math.sqrt(base * (1 - base) / self.rows)
        return self.best_score > base + (SURE + tried) * error


def agreement_of(outputs: Array, labels: Array) -> Agreement:
    """Compare answers with labels.

    Args:
        outputs: (N, K) logits.
        labels: (N,) classes from 0 to K - 1.
    """
    classes = outputs.shape[1]
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (outputs.argmax(1), labels), 1)
    per_class = table.sum(0)
    _, best = linear_sum_assignment(table, maximize=True)
    seen = per_class > 0
    return Agreement(
        rows=len(labels),
        score=float(np.trace(table)) / len(labels),
        recall=float((np.diag(table)[seen] / per_class[seen]).mean()),
        commonest=float(per_class.max()) / len(labels),
        classes=int(seen.sum()),
        best_order=tuple(int(index) for index in best),
        best_score=float(table[np.arange(classes), best].sum()) / len(labels),
    )


def check_teacher(
    teacher: ModelFolder, data: TaskData, max_length: int | None, session: Session, *, force: bool
) -> str | None:
    """Ask a teacher that answers the task about some training rows; tell and return what it is worth, in words.

    Args:
        teacher: It answers the task.
        data: With labels.
        max_length: Tokens; that of the task by default.
        session: To which it is told; one that has looked already spares it.
        force: Go on in any case.

    Returns:
        The line that is told; None where nothing can be said.

    Raises:
        ModelError: The answers are no better than the commonest class, or another order of the classes fits.
        DataError: Labels on another scale than the teacher's answers.
    """
    data = aligned(data, teacher)
    task = data.task
    kind = kind_of(task)
    if session.teacher_known or not (kind.has_classes or kind.has_numbers) or data.train.labels is None:
        return None
    if kind.has_numbers:
        _check_scale(teacher, data, force=force)
    asked = _asked(teacher, task, data.train, max_length or task.max_length)
    if asked is None:
        return None
    if kind.has_numbers:
        told, hint = _of_numbers(asked[0][:, 0], asked[1])
    else:
        told, hint = _of_classes(teacher, task, agreement_of(*asked))
    line = f"the teacher {teacher.path} {told}"
    if hint is not None and not force:
        raise ModelError(line, f"{hint}, or go on with --force")
    session.tell("phase", name="warning" if hint else "looking", detail=line)
    return line


def check_order(
    model: ModelFolder, task: Task, examples: Examples, max_length: int, session: Session, *, force: bool
) -> None:
    """Before a model is scored whose outputs have no names: tell how they are taken, and refuse what does not fit.

    Args:
        model: It answers the task.
        task: Of any kind; only classes can be in another order.
        examples: With labels, else nothing is said.
        max_length: Tokens.
        session: To which it is told.
        force: Go on in any case.

    Raises:
        ModelError: Another order of the classes fits, and this one does not.
    """
    match = model.match(task) if task.labels else None
    if match is None or match.note is None:
        return
    session.tell("phase", name="note", detail=match.note)
    if not match.assumed or examples.labels is None or force:
        return
    asked = _asked(model, task, examples, max_length)
    found = None if asked is None else agreement_of(*asked)
    if found is not None and found.another_order_fits:
        told, hint = _of_classes(model, task, found)
        raise ModelError(f"{model.path} {told}", f"{hint}, or go on with --force")


def _asked(model: ModelFolder, task: Task, examples: Examples, max_length: int) -> tuple[Array, Array] | None:
    """Outputs and labels of some rows; None where there are too few."""
    sample = examples.sample(ROWS)
    read = model.encode(sample, max_length)
    kept = np.flatnonzero(np.cumsum(read.encoded.lengths) <= TOKENS)
    rows = kept if len(kept) >= FEWEST else np.arange(min(FEWEST, len(sample)))
    if len(rows) < FEWEST or sample.labels is None:
        return None
    encoded, labels = read.encoded.take(rows), sample.labels[rows]
    export = format_in(model.path)
    if export is not None:
        runtime = export.open(model.path, int(describe_machine()["threads"]))
        return answer(runtime, encoded, read.pad_token_id), labels
    return predict(model.model_for(task), encoded, read.pad_token_id), labels


def _of_classes(teacher: ModelFolder, task: Task, found: Agreement) -> tuple[str, str | None]:
    told = f"answers {found.score:.0%} of {found.rows} labelled rows as labelled"
    told += f", the commonest answer {found.commonest:.0%}"
    match = teacher.match(task)
    doubtful = match is not None and match.assumed
    if found.another_order_fits and (doubtful or not found.above_commonest):
        order = listed([task.labels[index] for index in found.best_order])
        return told, f"with its classes in another order it would be {found.best_score:.0%}: --labels {_quoted(order)}"
    if found.above_commonest:
        return told, None
    return told, "fine-tune it on the task first, or name its classes in their order with --labels"


def _of_numbers(outputs: Array, labels: Array) -> tuple[str, str | None]:
    constant = not np.ptp(outputs) or not np.ptp(labels)
    correlation = 0.0 if constant else float(np.corrcoef(outputs.astype(np.float64), labels)[0, 1])
    told = f"correlates with {len(labels)} labels by {correlation:.2f}, the mean answer by 0"
    return told, None if correlation > 0 or not np.ptp(labels) else "fine-tune it on the task first"


def _check_scale(teacher: ModelFolder, data: TaskData, *, force: bool) -> None:
    labels = data.train.labels
    assert labels is not None
    if teacher.activation != SIGMOID or (labels.min() >= 0 and labels.max() <= 1) or force:
        return
    raise DataError(
        f"the labels of {data.task.name} lie between {labels.min():g} and {labels.max():g}, but the teacher "
        f"{teacher.path} answers between 0 and 1 (a sigmoid)",
        "bring the labels to the scale from 0 to 1, for example by dividing them by the highest",
    )


def _quoted(text: str) -> str:
    return text if all(letter.isalnum() or letter in ",._-/" for letter in text) else f"'{text}'"
