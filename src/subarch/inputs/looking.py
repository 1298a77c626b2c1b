"""What a command looks at before it trains anything: teacher, tokenizer and texts, and how the classes were matched."""

from __future__ import annotations

from typing import Any

from subarch.arch.pretrained import check_finite
from subarch.inputs.agreement import check_teacher
from subarch.inputs.data import DataConfig
from subarch.inputs.models import ModelFolder, aligned
from subarch.inputs.reading import check_reading
from subarch.session.output import plain
from subarch.session.session import Session
from subarch.tasks.base import TaskData
from subarch.tasks.summary import DataSummary


def describe(data: TaskData, session: Session) -> dict[str, Any]:
    """Tell what was understood of the data: columns, kind, classes, rows, and what should make one doubt them.

    Args:
        data: As they will be used.
        session: To which it is told, unless it is a stage of another one's, which has told it.

    Returns:
        For `result.json`: what `DataSummary` counts, and its `lines`.
    """
    summary = DataSummary.of(data)
    lines = [*summary.lines(), *data.notes]
    if session.parent is None:
        for line in lines:
            session.tell("phase", name="data", detail=line)
    found: dict[str, Any] = plain({**summary.as_json(), "lines": lines})
    return found


def look(
    teacher: ModelFolder, data: TaskData, max_length: int, session: Session, config: DataConfig, *, cuts: bool
) -> dict[str, Any]:
    """Tell what was understood of the data, compare a teacher with them, and tell what was found.

    Args:
        teacher: Fine-tuned on the task or not.
        data: As they were read, their classes in the order of the file.
        max_length: Tokens.
        session: To which it is told.
        config: Of the data: whether their classes were put in order, and whether to go on in any case.
        cuts: Whether the vocabulary of students will be cut.

    Returns:
        As `describe`, and `found`: the lines of the comparison.

    Raises:
        UserError: A teacher with numbers that are none, or a tokenizer, a teacher or labels that do not fit together.
    """
    check_finite(teacher.path)
    described = describe(data, session)
    if config.labels is not None:
        teacher.require_answers(data.task)
    if cuts:
        teacher.require_cuttable()
    told = [check_reading(teacher, data.train, max_length, session)]
    for note in (*aligned(data, teacher).notes[len(data.notes) :], teacher.unused_head(data.task)):
        if note is not None:
            session.tell("phase", name="note", detail=note)
            told.append(note)
    if teacher.answers(data.task):
        told.append(check_teacher(teacher, data, max_length, session, force=config.force))
    return described | {"found": [line for line in told if line is not None]}
