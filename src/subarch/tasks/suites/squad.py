"""SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018), from the official files or from the Hub.

The labels of the official test sets were never published, so the dev set reports (`test`), and whole articles taken
out of train select (`validation`): questions of one article resemble each other.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from subarch.errors import DataError
from subarch.tasks.base import Array, Examples, Source, Task, TaskData
from subarch.tasks.decoding import read_text
from subarch.tasks.splits import validation_size

log = logging.getLogger(__name__)

FEWEST_TITLES = 5
"""With fewer articles, validation is made of paragraphs."""
LARGEST_VALIDATION = 4000
"""Rows: some 20 articles of SQuAD, since few articles would make a noisy score."""


def _task(name: str, version: str, hub: tuple[str, str], rows: tuple[int, int]) -> Task:
    return Task(
        name=name,
        kind="span",
        text="question",
        text_pair="context",
        label="answers",
        max_length=384,
        metrics=("f1", "exact_match"),
        main_metric="f1",
        source=Source(
            folder="SQuAD",
            train_files=(f"train-v{version}.json", f"train-v{version}*.json"),
            test_files=(f"dev-v{version}.json", f"dev-v{version}*.json"),
            columns=(),
            train_rows=rows[0],
            test_rows=rows[1],
            hub_id=hub[0],
            hub_config=hub[1],
        ),
    )


SQUAD: dict[str, Task] = {
    "squad1": _task("squad1", "1.1", ("rajpurkar/squad", "plain_text"), (87_599, 10_570)),
    "squad2": _task("squad2", "2.0", ("rajpurkar/squad_v2", "squad_v2"), (130_319, 11_873)),
}
"""The rows."""


@dataclass
class _Questions:
    """Questions gathered one by one."""

    origin: str
    """The file, or the split on the Hub, for messages."""
    texts: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {"id": [], "title": [], "answers": [], "answer_starts": []}
    )
    ids: dict[str, str] = field(default_factory=dict)
    moved: int = 0
    lost: int = 0

    def add(self, question: Any, context: str, title: str, place: str) -> None:
        """Add one question (an object as in the official files), checked.

        Raises:
            DataError: A key that is missing or of another type, or an id that occurred already.
        """
        identity, text = _string(question, "id", place), _string(question, "question", place)
        if identity in self.ids:
            raise DataError(
                f"{place}: the id {identity!r} stands already at {self.ids[identity]}, expected each id once",
                "remove one of the two questions",
            )
        self.ids[identity] = place.removeprefix(f"{self.origin}, ")
        self.texts.append(text.strip())
        self.contexts.append(context)
        self.columns["id"].append(identity)
        self.columns["title"].append(title)
        if "answers" not in question:
            return
        answers, starts = self._answers(question["answers"], context, place)
        self.columns["answers"].append(answers)
        self.columns["answer_starts"].append(starts)

    def _answers(self, answers: Any, context: str, place: str) -> tuple[list[str], list[int]]:
        if not isinstance(answers, list):
            raise DataError(f"{place}: answers are a {_kind(answers)}, expected a list", "see the official files")
        texts: list[str] = []
        starts: list[int] = []
        for answer in answers:
            text = _string(answer, "text", f"{place}, an answer")
            start = answer.get("answer_start")
            if not isinstance(start, int):
                raise DataError(
                    f"{place}: answer_start is a {_kind(start)}, expected a number of characters",
                    "it is where the answer begins in the context, from 0",
                )
            if not context.startswith(text, start) or start < 0:
                start = _nearest(text, context, start)
                self.moved += start >= 0
                self.lost += start < 0
            texts.append(text)
            starts.append(start)
        return texts, starts

    def examples(self) -> tuple[Examples, list[str]]:
        """What was gathered, and notes on what was repaired."""
        labelled = len(self.columns["answers"])
        if labelled not in (0, len(self.texts)):
            raise DataError(
                f"{self.origin}: {labelled} of {len(self.texts)} questions have answers, expected all or none",
                'give an unanswerable question "answers": []',
            )
        if not self.texts:
            raise DataError(f"{self.origin} has no questions, expected at least one", "use an official file")
        columns = self.columns if labelled else {name: self.columns[name] for name in ("id", "title")}
        notes = []
        if self.moved:
            notes.append(f"{self.origin}: {self.moved} answers were not at their answer_start, the nearest place taken")
        if self.lost:
            notes.append(f"{self.origin}: {self.lost} answers do not occur in their context")
        return Examples(self.texts, self.contexts, columns=columns), notes


def load_squad(task: Task, *, data_dir: Path | None, seed: int = 0) -> TaskData:
    """Read a SQuAD task: from the official files below `data_dir`, or without one from the Hub.

    Args:
        task: A row of `SQUAD`.
        data_dir: Folder that holds the files, or has them in `SQuAD/`, `squad/` or a folder named as the task.
        seed: Of the choice of the articles of validation; test does not depend on it.

    Raises:
        DataError: A file is missing or not of the official layout, or the Hub is out of reach.
    """
    train, notes = _part(task, data_dir, train=True)
    test, more = _part(task, data_dir, train=False)
    notes += more
    train = _trainable(train, test, notes)
    rest, validation, unit = _carve(train, seed)
    notes.append(f"test is the dev set; validation is {len(validation)} questions of whole {unit} of train")
    return TaskData(task, rest, validation, test, tuple(notes))


def load_squad_file(path: Path) -> tuple[Examples, list[str]]:
    """Read a file of the official layout, of either version, with answers or without.

    Returns:
        Questions (texts, without white space around them) and contexts (pairs), with the columns "id", "title" and,
        where the file has them, "answers" and "answer_starts" (-1: the text does not occur); and notes on what was
        repaired.

    Raises:
        DataError: No such file, broken JSON, another layout, or an id that occurs twice; the message names the place.
    """
    questions = _Questions(str(path))
    for raw in read_questions(path)[1]:
        questions.add(raw.value, raw.context, raw.title, raw.place)
    return questions.examples()


@dataclass(frozen=True, kw_only=True)
class RawQuestion:
    """A question of a file of the official layout, not checked yet."""

    value: Any
    """The object."""
    context: str
    title: str
    place: str
    """For messages."""


def read_questions(path: Path) -> tuple[str | None, list[RawQuestion]]:
    """Version and questions of a file of the official layout; articles and paragraphs are checked, questions not.

    Raises:
        DataError: No such file, broken JSON, or another layout; the message names the place.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "give a SQuAD file (JSON)") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}), expected a whole SQuAD file", "download it again") from error
    found = []
    for article_number, article in enumerate(_list(content, "data", str(path)), start=1):
        place = f"{path}, article {article_number}"
        title = str(article.get("title", article_number)) if isinstance(article, dict) else ""
        for paragraph_number, paragraph in enumerate(_list(article, "paragraphs", place), start=1):
            where = f"{place}, paragraph {paragraph_number}"
            context = _string(paragraph, "context", where)
            if not context.strip():
                raise DataError(f"{where}: the context is empty, expected a text", "remove the paragraph")
            for number, question in enumerate(_list(paragraph, "qas", where), start=1):
                at = f"{where}, question {number}"
                found.append(RawQuestion(value=question, context=context, title=title, place=at))
    version = content.get("version")
    return None if version is None else str(version), found


def _find(task: Task, names: tuple[str, ...], data_dir: Path) -> tuple[Path, bool]:
    """The first file that matches, and whether it stands in for the official one."""
    homes = [data_dir / name for name in ("SQuAD", "squad", "SQUAD", task.name, ".")]
    for name in names:
        for home in homes:
            if found := sorted(home.glob(name)):
                return found[0], name != names[0]
    home = next((home for home in homes if home.is_dir()), homes[0])
    raise DataError(
        f"{home / names[0]} is missing, expected the official file",
        "put it there, choose another --data-dir (or SUBARCH_DATA), or leave both out to read the Hub",
    )


def _from_hub(source: Source, split: str) -> tuple[Examples, list[str]]:
    # Takes seconds to import, and a user with local files never needs it.
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        rows = datasets.load_dataset(source.hub_id, source.hub_config, split=split)
    except (OSError, DatasetsError) as error:
        raise DataError(
            f"cannot read {source.hub_id} ({source.hub_config}) from the Hub: {str(error).splitlines()[0]}",
            "go online, or give a folder with the official files by --data-dir or SUBARCH_DATA",
        ) from error
    questions = _Questions(f"{source.hub_id} ({split})")
    contexts: dict[str, str] = {}
    for number, row in enumerate(_rows(rows), start=1):
        answers = [
            {"text": text, "answer_start": start}
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
        ]
        # One string for all questions of a paragraph, as in the files.
        context = contexts.setdefault(row["context"], row["context"])
        questions.add(row | {"answers": answers}, context, row["title"], f"{questions.origin}, row {number}")
    examples, notes = questions.examples()
    return examples, [f"read from the Hub: {questions.origin}", *notes]


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows


def load_squad_dev(task: Task, *, data_dir: Path | None) -> Examples:
    """The dev set alone, which needs no train file; arguments and errors as in `load_squad`."""
    return _part(task, data_dir, train=False)[0]


def _part(task: Task, data_dir: Path | None, *, train: bool) -> tuple[Examples, list[str]]:
    source = task.source
    if source is None:
        raise ValueError(f"{task.name} has no source")
    split = "train" if train else source.hub_test_split
    if data_dir is None:
        examples, notes = _from_hub(source, split)
        return _labelled(examples, split), notes
    names, rows = (source.train_files, source.train_rows) if train else (source.test_files, source.test_rows)
    path, stands_in = _find(task, names, Path(data_dir))
    examples, notes = load_squad_file(path)
    if stands_in:
        notes.append(f"sample file {path.name} stands in for the official {names[0]}: scores do not compare")
    elif len(examples) != rows:
        log.warning("%s has %d questions, the official file has %d", path, len(examples), rows)
        notes.append(f"{path.name} has {len(examples)} questions, the official file has {rows}")
    return _labelled(examples, split), notes


def _labelled(examples: Examples, split: str) -> Examples:
    if "answers" not in examples.columns:
        raise DataError(f"the {split} questions have no answers, expected a labelled file", "use the official file")
    return examples


def _trainable(train: Examples, test: Examples, notes: list[str]) -> Examples:
    """Train without what cannot be learnt from, or stands in test; says so in `notes`."""
    reported = set(test.pairs or [])
    shared = np.array([context in reported for context in train.pairs or []], dtype=bool)
    # A text that does not occur in its context has no place there.
    nowhere = np.array([bool(starts) and starts[0] < 0 for starts in train.columns["answer_starts"]], dtype=bool)
    if shared.any():
        notes.append(f"{int(shared.sum())} train questions on paragraphs of the dev set were left out")
    if (nowhere & ~shared).any():
        notes.append(f"{int((nowhere & ~shared).sum())} train questions were left out, since their answer is nowhere")
    kept = np.flatnonzero(~shared & ~nowhere)
    return train.take(kept) if len(kept) < len(train) else train


def _carve(train: Examples, seed: int) -> tuple[Examples, Examples, str]:
    """Split into (rest, validation) by whole articles, or by paragraphs where articles are too few or too large."""
    rows = len(train)
    size = max(validation_size(rows), min(rows // 20, LARGEST_VALIDATION))
    for unit, column in (("articles", train.columns["title"]), ("paragraphs", train.pairs or [])):
        names, owner, counts = np.unique(
            np.array(list(map(_number_of(column), column))), return_inverse=True, return_counts=True
        )
        chosen = _draw(counts, size, rows // 3, seed) if unit == "paragraphs" or len(names) >= FEWEST_TITLES else []
        if len(chosen):
            part = np.isin(owner, chosen)
            return train.take(np.flatnonzero(~part)), train.take(np.flatnonzero(part)), unit
    raise DataError(
        f"{rows} training questions on too few paragraphs, expected enough to take some for validation",
        "add paragraphs to the training file",
    )


def _number_of(column: list[str]) -> Any:
    return {name: number for number, name in enumerate(dict.fromkeys(column))}.__getitem__


def _draw(counts: Array, size: int, limit: int, seed: int) -> list[int]:
    """Units in random order until they have `size` rows, leaving out those that would make it more than `limit`."""
    chosen: list[int] = []
    total = 0
    for unit in np.random.default_rng(seed).permutation(len(counts)):
        if total >= size:
            break
        if total + counts[unit] <= limit:
            chosen.append(int(unit))
            total += int(counts[unit])
    return chosen


def _string(value: Any, key: str, place: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise DataError(f"{place}: {key} is a {_kind(found)}, expected a text", "see the official files for the layout")
    return found


def _list(value: Any, key: str, place: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{place}: {key!r} is a {_kind(found)}, expected a list", "see the official files")
    return found


def _kind(value: Any) -> str:
    return "missing value" if value is None else type(value).__name__


def _nearest(text: str, context: str, start: int) -> int:
    """Where `text` occurs nearest to `start`; -1 where it does not, or is empty."""
    if not text:
        return -1
    places = []
    place = context.find(text)
    while place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    return min(places, key=lambda place: abs(place - start), default=-1)
