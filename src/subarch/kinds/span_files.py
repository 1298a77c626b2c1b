"""A user's own questions with answers in a text: SQuAD's JSON, or tables of one question a row.

Nothing is repaired: whoever trains on answers that lie elsewhere should know it. What is missing of the splits is
carved out of train by whole articles or contexts, so that no context stands in two of them.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from subarch.errors import DataError, did_you_mean
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.cells import Faults, is_blank, is_writable, shown
from subarch.tasks.columns import Columns
from subarch.tasks.decoding import TextFile
from subarch.tasks.labels import as_number, is_missing
from subarch.tasks.splits import carve_groups
from subarch.tasks.suites.squad import RawQuestion, read_questions
from subarch.tasks.tables import Table, peek_columns, read_table

ANSWERS = ("answers", "answer_text", "answer")
"""Columns that may hold the answers."""
STARTS = ("answer_start", "answer_starts")
"""Columns that may hold where answers begin."""
FEWEST, FEWEST_ARTICLES = 10, 50
"""Questions of the smallest file that is split, and articles from which on it is split by them: fewer would make parts
of one or two, unlike the rest."""
_SQUAD = re.compile(r'\s*\{.*"data"\s*:\s*\[', re.DOTALL)
_LAYOUT = "a row has a question, its context, and answers as SQuAD has them: see docs/squad.md"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A question before it is checked."""

    question: Any
    context: Any
    answers: Any
    starts: Any = None
    """Where answers that are mere texts begin."""


@dataclass(frozen=True, kw_only=True)
class _File:
    """The questions of a file, and what its columns are called."""

    path: Path
    rows: list[_Row]
    place: Callable[[int], str]
    names: tuple[str, str, str]
    """Of question, context and answers."""
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    """Further ones."""
    answered: bool = False
    """Whether each question must have an answer, as in SQuAD 1.1."""


def holds_questions(path: Path, given: Columns) -> bool:
    """Whether a file is SQuAD's JSON, or a table with columns for a question, its context and its answers."""
    if _is_json(path):
        try:
            return _SQUAD.match(TextFile.of(path).head) is not None
        except (OSError, DataError):
            return False
    names = {name.lower() for name in peek_columns(path)}
    texts = {(given.text or "question").lower(), (given.text_pair or "context").lower()}
    answers = given.label.lower() if given.label else ""
    whole = "answers" in names and answers in ("", "answers")
    return texts <= names and (whole or ({"answer_text", "answer_start"} <= names and answers in ("", "answer_text")))


def load_question_files(files: Mapping[str, Path], given: Columns, seed: int = 0) -> TaskData:
    """Read a task of spans from files.

    Args:
        files: "train", and any of "validation" and "test"; what is missing is carved out of train, a tenth each.
        given: Names of the columns, as far as they are not "question", "context" and "answers".
        seed: Of the split.

    Raises:
        DataError: A file, column or row that cannot be used; one message counts all bad rows.
    """
    read = {split: _read(Path(path), given) for split, path in files.items()}
    notes: list[str] = []
    parts = {split: _examples(file, notes) for split, file in read.items()}
    train, (text, pair, label) = read["train"].path, read["train"].names
    if not any(parts["train"].columns["answers"]):
        raise DataError(f"no question of {train} has an answer, expected some that have", _LAYOUT)
    _complete(parts, train, seed, notes)
    if all(parts["validation"].columns["answers"]) and not all(parts["train"].columns["answers"]):
        notes.append("all questions of validation have an answer, so that nothing says when to give none")
    task = Task(
        name=train.name.split(".")[0] or train.name,
        kind="span",
        text=text,
        text_pair=pair,
        label=label,
        max_length=384,
        metrics=("f1", "exact_match"),
        main_metric="f1",
    )
    return TaskData(task, parts["train"], parts["validation"], parts["test"], tuple(notes))


def load_question_file(path: Path, task: Task, keep: tuple[str, ...] = ()) -> Examples:
    """Further questions of such a task, from a file of either layout; columns are called as in training, or as usual.

    Raises:
        DataError: A file, column or row that cannot be used.
    """
    known = {name.lower() for name in peek_columns(path)}
    names = {"text": task.text, "text_pair": task.text_pair, "label": task.label}
    there: dict[str, Any] = {name: column for name, column in names.items() if str(column).lower() in known}
    return _examples(_read(path, Columns(keep=keep, **there)), [])


def _is_json(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".json")


def _read(path: Path, given: Columns) -> _File:
    return _read_json(path, given) if _is_json(path) else _read_rows(read_table(path), given)


def _read_json(path: Path, given: Columns) -> _File:
    version, raws = read_questions(path)
    broken = next((raw for raw in raws if not isinstance(raw.value, dict)), None)
    if broken is not None:
        raise DataError(f"{broken.place}: a {type(broken.value).__name__}, expected an object", _LAYOUT)
    if not raws:
        raise DataError(f"{path} has no questions, expected at least one", _LAYOUT)
    values = [raw.value for raw in raws]
    unmarked = version is None and not any("is_impossible" in value for value in values)
    columns: dict[str, list[Any]] = {"title": [raw.title for raw in raws]}
    if all("id" in value for value in values):
        columns["id"] = [str(value["id"]) for value in values]
    for name in given.keep:
        if name not in columns:
            raise DataError(f"{path} has no column {name!r} (--slice)", did_you_mean(name, list(columns)))
    return _File(
        path=path,
        rows=[_of_raw(raw) for raw in raws],
        place=lambda row: raws[row].place,
        names=("question", "context", "answers"),
        columns=columns,
        answered=unmarked or (version or "").lstrip("v").startswith("1"),
    )


def _of_raw(raw: RawQuestion) -> _Row:
    # Without the key it may be that the answers were forgotten.
    return _Row(question=raw.value.get("question"), context=raw.context, answers=raw.value.get("answers", ...))


def _read_rows(table: Table, given: Columns) -> _File:
    question = _column(table, given.text, ("question",), "--text")
    context = _column(table, given.text_pair, ("context",), "--text-pair")
    answers = _column(table, given.label, ANSWERS, "--label")
    starts = next((name for name in table.columns if name.lower() in STARTS and name != answers), None)
    for name in given.keep:
        if name not in table.columns:
            raise DataError(f"{table.path} has no column {name!r} (--slice)", did_you_mean(name, list(table.columns)))
    texts, contexts, said = (_cells(table, name) for name in (question, context, answers))
    places = [None] * len(table) if starts is None else _cells(table, starts)
    rows = [
        _Row(question=q, context=c, answers=a, starts=s)
        for q, c, a, s in zip(texts, contexts, said, places, strict=True)
    ]
    further = [name for name in table.columns if name in ("id", "title") or name in given.keep]
    columns = {name: _cells(table, name) for name in further if name not in (question, context, answers)}
    if "id" in columns:
        columns["id"] = [str(value) for value in columns["id"]]
    return _File(path=table.path, rows=rows, place=table.place, names=(question, context, answers), columns=columns)


def _column(table: Table, given: str | None, usual: tuple[str, ...], flag: str) -> str:
    """The name of a column: as given, or the first of the usual ones that is there."""
    if given is not None and given not in table.columns:
        raise DataError(f"{table.path} has no column {given!r} ({flag})", did_you_mean(given, list(table.columns)))
    lower = {name.lower(): name for name in table.columns}
    found = given or next((lower[name] for name in usual if name in lower), None)
    if found is None:
        raise DataError(
            f"{table.path} has the columns {', '.join(table.columns)}, expected {' or '.join(map(repr, usual))}",
            f"name it with {flag} COLUMN; --kind classification or regression is for rows with a label",
        )
    return found


def _cells(table: Table, name: str) -> list[Any]:
    return [cell.decode(errors="replace") if isinstance(cell, bytes) else cell for cell in table.columns[name]]


def _examples(file: _File, notes: list[str]) -> Examples:
    """The questions of a file, checked; what was assumed is noted.

    Raises:
        DataError: Rows that cannot be used, all of them counted.
    """
    faults = Faults(file.place)
    found: list[list[_Answer]] = []
    for number, row in enumerate(file.rows):
        _check_text(row.question, file.names[0], number, faults)
        readable = _check_text(row.context, file.names[1], number, faults)
        found.append(_placed(row, file.names[2], number, faults) if readable else [])
        if file.answered and isinstance(row.answers, list) and not row.answers:
            faults.add("unanswered", number, *_UNANSWERED)
    faults.check()
    vague = sum(answer.guessed for answers in found for answer in answers)
    if vague:
        notes.append(
            f"{file.path.name}: {vague} answers stand several times in their contexts, each was put at its first place"
        )
    return Examples(
        [row.question.strip() for row in file.rows],
        [row.context for row in file.rows],
        columns={
            **file.columns,
            "answers": [[answer.text for answer in answers] for answers in found],
            "answer_starts": [[answer.start for answer in answers] for answers in found],
        },
    )


_UNANSWERED = (
    "no answer in a file of SQuAD 1.1's form, expected one to each question",
    'write "version": "v2.0" into it if questions may have none',
)


def _check_text(cell: Any, column: str, row: int, faults: Faults) -> bool:
    """Whether a cell is a text; what is none is added to `faults`."""
    if is_missing(cell) if not isinstance(cell, str) else is_blank(cell):
        faults.add(f"empty {column}", row, f"{column!r} is empty, expected a text", "fill it or take the row out")
    elif not isinstance(cell, str):
        faults.add(f"text {column}", row, f"{column!r} holds {shown(cell)}, expected a text", "put it in quotes")
    elif not is_writable(cell):
        message = f"{column!r} holds half of a UTF-16 pair (a lone surrogate), expected a text"
        faults.add(f"surrogate {column}", row, message, "take it out, or write the text in UTF-8 again")
    else:
        return True
    return False


@dataclass(frozen=True, kw_only=True)
class _Answer:
    text: str
    start: int
    guessed: bool = False
    """Whether it stands elsewhere too, and nothing says which place is meant."""


def _placed(row: _Row, column: str, number: int, faults: Faults) -> list[_Answer]:
    """The answers of a row where its context has them; what is wrong with them is added to `faults`."""
    found = []
    for text, start in _said(row, column, number, faults):
        if not isinstance(text, str):
            faults.add("answer", number, f"{column!r} holds {shown(text)}, expected a text", "put it in quotes")
        elif is_blank(text):
            continue  # how a table without lists says that there is none
        elif text not in row.context:
            message = f"the answer {shown(text)} is not in its context, expected a part of it"
            faults.add("nowhere", number, message, "answers are copied letter by letter; take out rows without one")
        elif is_missing(start):
            found.append(_Answer(text=text, start=row.context.find(text), guessed=row.context.count(text) > 1))
        elif (place := _whole(start)) is None:
            message = f"answer_start is {shown(start)}, expected a number of characters"
            faults.add("start", number, message, "it is where the answer begins in its context, from 0")
        elif place < 0 or not row.context.startswith(text, place):
            there = row.context[place : place + len(text)] if place >= 0 else ""
            message = f"at answer_start {place} stands {shown(there)}, expected the answer {shown(text)}"
            faults.add(
                "moved", number, message, f"count characters from 0, not bytes: it begins at {_places(row, text)}"
            )
        else:
            found.append(_Answer(text=text, start=place))
    return found


def _places(row: _Row, text: str) -> str:
    """Where a text begins in the context of a row, in words."""
    places = [str(match.start()) for match in islice(re.finditer(re.escape(text), row.context), 3)]
    return " or ".join(places)


def _said(row: _Row, column: str, number: int, faults: Faults) -> list[tuple[Any, Any]]:
    """Text and start (or None) of each answer, in whichever form a row gives them."""
    answers, starts = _value(row.answers), _value(row.starts)
    if isinstance(answers, dict):
        answers, starts = answers.get("text", ...), answers.get("answer_start", answers.get("start"))
    if answers is ...:
        message = f"no {column!r} with texts, expected a list"
        faults.add("key", number, message, "an empty list stands for no answer")
        return []
    texts: list[Any] = answers if isinstance(answers, list) else [] if _is_none(answers, row.context) else [answers]
    if texts and all(isinstance(text, dict) for text in texts):
        return [(text.get("text"), text.get("answer_start", text.get("start"))) for text in texts]
    if not texts or is_missing(starts):
        return [(text, None) for text in texts]
    places = starts if isinstance(starts, list) else [starts]
    if len(places) != len(texts):
        message = f"{len(texts)} answers and {len(places)} answer_start, expected one for each answer"
        faults.add("number", number, message, "leave answer_start out to take the first place of each answer")
        return []
    return list(zip(texts, places, strict=True))


def _is_none(answer: Any, context: str) -> bool:
    """Whether a cell says that there is no answer; a word for it may be an answer, where it stands in the context."""
    return is_missing(answer) and not (isinstance(answer, str) and not is_blank(answer) and answer in context)


def _value(cell: Any) -> Any:
    """A cell of a table, read where it is a list or an object written as JSON or as Python writes it."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("{", "[")):
        return cell
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, dict | list) else cell
    return cell


def _whole(start: Any) -> int | None:
    """A number of characters, as a file may write it; None where it is none."""
    number = None if isinstance(start, bool) else as_number(start)
    return int(number) if number is not None and math.isfinite(number) and number == int(number) else None


def _complete(parts: dict[str, Examples], path: Path, seed: int, notes: list[str]) -> None:
    """Carve the missing splits out of train, by whole articles or contexts."""
    missing = [split for split in ("test", "validation") if split not in parts]
    train = parts["train"]
    given = {context for split, part in parts.items() if split != "train" for context in _contexts(part)}
    shared = sum(context in given for context in _contexts(train))
    if shared:
        notes.append(f"{shared:,} questions of train are on contexts that stand in validation or test too")
    unit, blocks_of = ("articles", _titles) if _has_articles(train) else ("contexts", _contexts)
    size = max(len(train) // 10, 1)
    for number, split in enumerate(missing):
        held = {block for block, context in zip(blocks_of(train), _contexts(train), strict=True) if context in given}
        free = np.asarray([block not in held for block in blocks_of(train)])
        count = len({block for block in blocks_of(train) if block not in held})
        needed = 1 + len(missing) - number
        if count < needed or len(train) < FEWEST:
            raise DataError(
                f"{path} has {len(train)} questions on {count} {unit} to carve {split} out of, expected {FEWEST} on "
                f"{needed} or more",
                f"add some, or give {split} as a file of its own",
            )
        drawn = train.take(np.flatnonzero(free))
        rest, parts[split] = carve_groups(drawn, size, seed=seed + number, blocks=blocks_of(drawn))
        train = train.take(np.flatnonzero(~free)).joined(rest) if held else rest
        notes.append(f"{split} is {len(parts[split]):,} questions on whole {unit} carved out of {path.name}")
    parts["train"] = train


def _has_articles(examples: Examples) -> bool:
    """Whether there are articles enough to draw from, and no context belongs to two of them."""
    titles = examples.columns.get("title")
    if titles is None or len(set(_titles(examples))) < FEWEST_ARTICLES:
        return False
    contexts = _contexts(examples)
    return len(set(zip(_titles(examples), contexts, strict=True))) == len(set(contexts))


def _titles(examples: Examples) -> list[str]:
    return [str(title) for title in examples.columns["title"]]


def _contexts(examples: Examples) -> list[str]:
    """Contexts without regard to case and spacing."""
    return [" ".join(context.split()).casefold() for context in examples.pairs or []]
