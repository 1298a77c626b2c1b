"""Which slice each example belongs to: by length, label, topic, kind of question, or any column of the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from subarch.errors import ConfigError, did_you_mean
from subarch.tasks.base import Array, Examples, Task, blocks
from subarch.tasks.labels import FEW, as_number, is_missing

QUESTION_WORDS = ("what", "who", "when", "where", "why", "how", "which")
_WHO = {"whom": "who", "whose": "who", "who's": "who", "what's": "what", "where's": "where", "when's": "when"}
QUARTERS = (0.25, 0.5, 0.75)
MOST = 1000
"""Values that a slice may have."""


def slice_columns(task: Task, examples: Examples, extra: Iterable[str] = ()) -> dict[str, Array]:
    """The slices of a task: {SLICE: (N,) str, the value of each example}.

    Every task: "length", in quarters. One of classes or numbers whose examples stand alone: "label", numbers in
    quarters. Spans: "title", "answerable" and "question_word".

    Args:
        extra: Further names, of `examples.columns`; numbers of many different values are taken in quarters.

    Raises:
        ConfigError: A name that is no column, or a column with a value for nearly every row.
    """
    found = {"length": _lengths(examples)}
    if task.kind == "span":
        found |= _of_spans(examples)
    elif examples.labels is not None and examples.groups is None:
        found["label"] = _labels(task, examples.labels)
    for name in extra:
        if name not in found:
            if name not in examples.columns:
                known = {*found, *examples.columns}
                raise ConfigError(f"--slice {name!r} is no column of the examples", did_you_mean(name, known))
            found[name] = _values(name, examples.columns[name])
    return found


def question_word(question: str) -> str:
    """The first of what, who, when, where, why, how and which in a question; "other" where there is none."""
    for word in question.lower().split():
        plain = word.strip("\"'?,.!:;()[]")
        plain = _WHO.get(plain, plain)
        if plain in QUESTION_WORDS:
            return plain
    return "other"


def _lengths(examples: Examples) -> Array:
    """Words of both texts; characters where the language puts no spaces between words."""
    pairs = examples.pairs or [""] * len(examples)
    words = np.asarray([_words(text) + _words(pair) for text, pair in zip(examples.texts, pairs, strict=True)])
    letters = np.asarray([len(t) + len(p) for t, p in zip(examples.texts, pairs, strict=True)])
    spaced = letters.sum() < 20 * max(1, int(words.sum()))
    return _quarters(words if spaced else letters, "words" if spaced else "characters")


def _words(text: str) -> int:
    return sum(len(block.split()) for block in blocks(text))


def _labels(task: Task, labels: Array) -> Array:
    if task.kind == "classification":
        return np.asarray(task.labels)[labels]
    return _values("label", labels.tolist())


def _of_spans(examples: Examples) -> dict[str, Array]:
    found = {"question_word": np.asarray([question_word(text) for text in examples.texts])}
    if "answers" in examples.columns:
        words = ["answerable" if answers else "unanswerable" for answers in examples.columns["answers"]]
        found["answerable"] = np.asarray(words)
    if "title" in examples.columns:
        found["title"] = np.asarray([str(title).replace("_", " ") for title in examples.columns["title"]])
    return found


def _values(name: str, column: Sequence[Any]) -> Array:
    missing = [value == "" or (not isinstance(value, str) and is_missing(value)) for value in column]
    numbers = [None if empty else as_number(value) for value, empty in zip(column, missing, strict=True)]
    whole = [number for number in numbers if number is not None]
    distinct = len(set(whole))
    if distinct > FEW and len(whole) + sum(missing) == len(column) and np.isfinite(whole).all():
        return _quarters(np.asarray([np.nan if number is None else number for number in numbers], np.float64), "")
    words = np.asarray(["(none)" if empty else str(value) for value, empty in zip(column, missing, strict=True)])
    kinds = len(np.unique(words))
    if kinds > MOST or (kinds > FEW and kinds > 0.9 * len(words)):
        raise ConfigError(
            f"column {name!r} has {kinds} different values in {len(words)} rows, expected a few to slice by",
            "name a column whose values repeat",
        )
    return words


def _quarters(numbers: Array, unit: str) -> Array:
    """Names of the quarters, such as "10-19 words": as equal in size as equal numbers allow; NaN is "(none)"."""
    known = numbers[~np.isnan(numbers)]
    # Edges are numbers that occur, so that the name of a quarter says exactly which ones it holds.
    edges = np.unique(np.quantile(known, QUARTERS, method="inverted_cdf")) if len(known) else np.empty(0)
    quarter = np.searchsorted(edges, numbers, side="left")
    names = np.full(len(numbers), "(none)", dtype=object)
    for index in np.unique(quarter[~np.isnan(numbers)]):
        members = (quarter == index) & ~np.isnan(numbers)
        names[members] = _range(numbers[members].min(), numbers[members].max(), unit)
    return names.astype(str)


def _range(low: float, high: float, unit: str) -> str:
    whole = float(low).is_integer() and float(high).is_integer()
    first, last = (str(int(end)) if whole else f"{end:.4g}" for end in (low, high))
    between = "-" if whole and low >= 0 else " to "
    span = first if first == last else f"{first}{between}{last}"
    return f"{span} {unit}" if unit else span
