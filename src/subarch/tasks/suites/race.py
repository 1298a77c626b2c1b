"""RACE (Lai et al. 2017), middle and high school, from the official folders or from the Hub, in either casting.

The labels of the test set are public: where its folder is there it reports, and the dev set selects. Where it is not,
the dev set reports, and articles carved out of train select.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.decoding import read_text
from subarch.tasks.splits import balanced, carve_groups, validation_size
from subarch.tasks.suites import castings
from subarch.tasks.suites.castings import Question
from subarch.tasks.suites.official import Row, check_unique, hub_rows, hub_split, load_hub, read_object

log = logging.getLogger(__name__)

HUB = "ehovy/race"
LETTERS = "ABCD"
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
"""Folders, and their names on the Hub."""
ROWS = {
    "middle": {"train": (6409, 25421), "dev": (368, 1436), "test": (362, 1436)},
    "high": {"train": (18728, 62445), "dev": (1021, 3451), "test": (1045, 3498)},
}
"""Official numbers of articles and of questions."""
BALANCE_SEED = 0


def _task(level: str) -> Task:
    return Task(
        name=f"race_{level}",
        kind="choice",
        text="article",
        text_pair="question with an option",
        label="answer",
        metrics=("accuracy",),
        main_metric="accuracy",
        max_length=512,
    )


RACE: dict[str, Task] = {f"race_{level}": _task(level) for level in ROWS}
RACE_PAPER: dict[str, Task] = {
    name: replace(task, kind="classification", labels=("wrong", "right"), casting="paper")
    for name, task in RACE.items()
}

_cast = castings.choices(castings.field("article"), castings.race_option)


def load_race(task: Task, *, data_dir: Path | None, seed: int = 0) -> TaskData:
    """Read one level with its three splits.

    Args:
        task: A row of `RACE` or `RACE_PAPER`.
        data_dir: Folder that holds `RACE/` or `race/` with `train/<level>/*.txt` and its like; None reads the Hub.
        seed: Of the carving of validation out of train, where there is no test folder.

    Raises:
        DataError: A folder is missing, a file is broken or not of the official layout, or the Hub is out of reach.
    """
    notes: list[str] = []
    with_test = data_dir is None or _folder(task, "test", Path(data_dir)).is_dir()
    splits = ("train", "dev", "test") if with_test else ("train", "dev")
    parts = {split: _read(task, split, data_dir, notes) for split in splits}
    held_out = [question for split in splits[1:] for question in parts[split]]
    train, test = _cast(_without_articles(parts["train"], held_out, notes)), _cast(parts[splits[-1]])
    if with_test:
        validation = _cast(parts["dev"])
        notes.append("the dev set is validation, the test set test")
    else:
        train, validation = _carve(train, seed)
        notes.append(
            f"there is no test folder: the dev set is test; validation is {len(validation)} rows carved out of train"
        )
    if task.casting == "paper":
        fewer = balanced(train, seed=BALANCE_SEED)
        notes.append(f"{len(train) - len(fewer)} wrong answers were left out of train, as many as outnumber the right")
        train = fewer
    return TaskData(task, train, validation, test, tuple(notes))


def load_race_test(task: Task, *, data_dir: Path | None, split: str) -> Examples:
    """The split "dev" or "test", in either casting the same rows."""
    return _cast(_read(task, split, data_dir, []))


def _carve(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    questions = len(np.unique(examples.groups)) if examples.groups is not None else 0
    return carve_groups(examples, validation_size(questions), seed=seed)


def _without_articles(train: list[Question], held_out: list[Question], notes: list[str]) -> list[Question]:
    """The questions whose article is in no other split."""
    known = {_plain(question["article"]) for question in held_out}
    kept = [question for question in train if _plain(question["article"]) not in known]
    if len(kept) < len(train):
        notes.append(f"{len(train) - len(kept)} train questions on articles of the other splits were left out")
    return kept


def _read(task: Task, split: str, data_dir: Path | None, notes: list[str]) -> list[Question]:
    level = task.name.removeprefix("race_")
    rows = list(_hub_rows(level, split) if data_dir is None else _file_rows(_folder(task, split, Path(data_dir))))
    questions = [question for row in rows for question in _questions(row)]
    check_unique((question["id"] for question in questions), (question["place"] for question in questions))
    found, expected = (len(rows), len(questions)), ROWS[level][split]
    if data_dir is None:
        notes.append(f"{split} was read from the Hub: {HUB} ({level})")
    elif found != expected:
        told = "RACE/{}/{} has {} articles with {} questions, the official folder has {} with {}"
        message = told.format(split, level, *found, *expected)
        log.warning("%s", message)
        notes.append(message)
    return questions


def _folder(task: Task, split: str, data_dir: Path) -> Path:
    level = task.name.removeprefix("race_")
    homes = [data_dir / home / split / level for home in ("RACE", "race", "")]
    return next((home for home in homes if home.is_dir()), homes[0])


def _file_rows(folder: Path) -> Iterator[Row]:
    files = [file for file in folder.glob("*.txt") if file.is_file()] if folder.is_dir() else []
    if not files:
        raise DataError(
            f"{folder} is missing or holds no .txt file, expected the official folder",
            "put it there, choose another --data-dir (or SUBARCH_DATA), or leave both out to read the Hub",
        )
    # By number: the order of a folder is that of the machine.
    for file in sorted(files, key=lambda file: (int(file.stem) if file.stem.isdecimal() else 0, file.name)):
        yield Row(str(file), read_object(read_text(file), str(file)))


def _hub_rows(level: str, split: str) -> Iterator[Row]:
    """Rows of one question each, as the Hub holds them, to rows of one article each."""
    articles: dict[str, Row] = {}
    rows: Iterable[Row] = hub_rows(hub_split(load_hub(HUB, level), SPLITS[split], HUB), f"{HUB} ({level}), {split}")
    for row in rows:
        value = {"id": row.text("example_id"), "article": row.text("article")}
        article = articles.setdefault(
            value["id"], Row(row.place, value | {"questions": [], "options": [], "answers": []})
        )
        article.value["questions"].append(row.text("question"))
        article.value["options"].append(row.texts("options"))
        article.value["answers"].append(row.text("answer"))
    yield from articles.values()


def _questions(row: Row) -> Iterator[Question]:
    name, article = row.text("id"), row.text("article")
    questions, answers = row.texts("questions"), row.texts("answers")
    options = row.value.get("options")
    if not isinstance(options, list) or not len(questions) == len(options) == len(answers):
        raise DataError(f"{row.place}: {len(questions)} questions and {len(answers)} answers, expected one each")
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        texts = Row(f"{row.place}, question {number + 1}", {"options": options[number]}).texts("options")
        if answer not in LETTERS or len(answer) != 1 or len(texts) != len(LETTERS):
            raise DataError(
                f"{row.place}, question {number + 1}: answer {answer!r} of {len(texts)} options, expected A to D of 4"
            )
        yield {
            "id": f"{name}-{number}",
            "place": row.place,
            "label": LETTERS.index(answer),
            "article": article,
            "question": question,
            "options": texts,
        }


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
