"""The values of this room: a task is a row in a table, its data are three splits of texts and labels.

One law holds for all: `validation` selects (steps, epochs, settings), `test` reports and selects nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

KindName = Literal["classification", "regression", "choice", "span"]
"""What a row asks for: one of the classes; a number; a score by which the right answer of its group stands out; a
span of its second text."""

Array = np.ndarray[Any, Any]

BLOCK = 1_000_000
"""Characters of a text that are taken apart at once."""
_SPACE = re.compile(r"\s")
_GAPS = ("  ", *(chr(code) for code in range(128) if chr(code).isspace() and chr(code) != " "))
"""What makes the spacing of an ASCII text another than that of its words in one line."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data of a published task lie: tab-separated official files, or a data set on the Hub."""

    folder: str
    """Folder of the official files, below the data folder."""
    train_files: tuple[str, ...]
    """File names in order of preference; the first is the official one, the others stand in for it."""
    test_files: tuple[str, ...]
    """The same, for the labelled part that reports."""
    columns: tuple[int, ...]
    """Indices of text, text pair (if any) and label in the train file, from 0."""
    test_columns: tuple[int, ...] | None = None
    """The same in the test file, where it differs."""
    header: bool = True
    quoted: bool = False
    """Whether fields were written with CSV quotes; elsewhere a quote is a character like others."""
    values: tuple[str, ...] = ()
    """The labels as the files write them, in the order of `Task.labels`."""
    train_rows: int
    test_rows: int
    """Rows of the official files."""
    hub_id: str
    hub_config: str
    hub_test_split: str = "validation"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to predict from which columns, and how it is scored."""

    name: str
    kind: KindName
    labels: tuple[str, ...] = ()
    """Class names in the order of their indices; empty for a regression."""
    ordered: bool = False
    """Whether the user said that a model's outputs stand for `labels` in this order, whatever their names."""
    text: str
    text_pair: str | None = None
    label: str
    casting: str = "standard"
    """Which of the ways to put the task to a model; "paper" is that of Bort, where it differs."""
    max_length: int = 128
    """Longest input in tokens, where the user names none."""
    metrics: tuple[str, ...]
    """Names in `scoring.METRICS`."""
    main_metric: str
    """The one of `metrics` that is called the score, and that validation selects by."""
    version: int = 1
    """Raised when the same name begins to mean other data or another score."""
    source: Source | None = None

    def __post_init__(self) -> None:
        if self.main_metric not in self.metrics:
            raise ValueError(f"main metric {self.main_metric!r} of {self.name}, expected one of {self.metrics}")
        if (self.kind == "classification") != (len(self.labels) >= 2):
            raise ValueError(f"{self.name} is a {self.kind} with labels {self.labels}")

    @property
    def num_outputs(self) -> int:
        """Width of the model's head: a logit for each class, one score, or start and end of a span."""
        return 2 if self.kind == "span" else len(self.labels) or 1


@dataclass(frozen=True)
class Examples:
    """Texts (with a second text each, where the task has pairs) and their labels."""

    texts: list[str]
    pairs: list[str] | None = None
    labels: Array | None = None
    """(N,): int64 class index, or float32 score; of a choice 1 where the row is right; None for spans."""
    groups: Array | None = None
    """(N,) int64, ascending: rows with the same number are answers to the same question."""
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    """What else is known of each row, in JSON values; the model never sees it, scores and slices do. "id" where the
    source names its rows; "answers" of a span: the accepted texts, and "answer_starts", their places."""

    def __post_init__(self) -> None:
        columns = {"pairs": self.pairs, "labels": self.labels, "groups": self.groups, **self.columns}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.texts):
                raise ValueError(f"{len(column)} {name}, expected {len(self.texts)}, one a text")
        if self.groups is not None and (np.diff(self.groups) < 0).any():
            raise ValueError("groups are not in ascending order")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Array) -> Examples:
        """The examples at `indices` (K,), in that order."""
        rows = np.asarray(indices, dtype=np.int64).tolist()
        taken = Examples(
            [self.texts[row] for row in rows],
            None if self.pairs is None else [self.pairs[row] for row in rows],
            None if self.labels is None else self.labels[rows],
            None if self.groups is None else self.groups[rows],
            {name: [column[row] for row in rows] for name, column in self.columns.items()},
        )
        if "key_hashes" in self.__dict__:
            taken.__dict__["key_hashes"] = self.key_hashes[rows]
        return taken

    def joined(self, other: Examples) -> Examples:
        """These examples and then the others, with the columns that both have; groups of the others stay apart.

        Raises:
            ValueError: One of them has pairs, labels or groups, and the other has not.
        """
        parts = [(self.pairs, other.pairs), (self.labels, other.labels), (self.groups, other.groups)]
        if any((mine is None) != (theirs is None) for mine, theirs in parts):
            raise ValueError("examples with and without pairs, labels or groups cannot be joined")
        groups = None
        if self.groups is not None and other.groups is not None:
            after = int(self.groups[-1]) + 1 - int(other.groups[0]) if len(self) and len(other) else 0
            groups = np.concatenate([self.groups, other.groups + after])
        return Examples(
            self.texts + other.texts,
            None if self.pairs is None or other.pairs is None else self.pairs + other.pairs,
            None if self.labels is None or other.labels is None else np.concatenate([self.labels, other.labels]),
            groups,
            {name: [*column, *other.columns[name]] for name, column in self.columns.items() if name in other.columns},
        )

    def sample(self, count: int | None, seed: int = 0) -> Examples:
        """At most `count` examples drawn without replacement, in their order; all of them where None.

        A group comes whole or not at all, and there is always one.
        """
        if count is None or count >= len(self):
            return self
        rng = np.random.default_rng(seed)
        if self.groups is None:
            return self.take(np.sort(rng.permutation(len(self))[:count]))
        _, group_of_row, sizes = np.unique(self.groups, return_inverse=True, return_counts=True)
        order = rng.permutation(len(sizes))
        kept = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), count, side="right")))]
        return self.take(np.flatnonzero(np.isin(group_of_row, kept)))

    def text_keys(self) -> list[tuple[str, str]]:
        """Per example its texts without regard to case and spacing: equal keys are the same example twice."""
        return list(self.each_key())

    @cached_property
    def key_hashes(self) -> Array:
        """(N,) int64, equal where the texts' keys are; that of a key is `key_hash` of it, in every process."""
        hashes = bytearray()  # A list of them would take five times as much.
        for key in self.each_key():
            hashes += _digest(key)
        return np.frombuffer(hashes, dtype=np.int64)

    def each_key(self) -> Iterator[tuple[str, str]]:
        """The same, one after the other: all at once they take more room than the texts."""
        if self.pairs is None:
            return ((_plain(text), "") for text in self.texts)
        return ((_plain(text), _plain(pair)) for text, pair in zip(self.texts, self.pairs, strict=True))


@dataclass(frozen=True)
class TaskData:
    """A task with its three splits."""

    task: Task
    train: Examples
    validation: Examples
    test: Examples
    notes: tuple[str, ...] = field(default=())
    """What was guessed, split, skipped or replaced: for the report."""
    unlabelled: Mapping[str, int] = field(default_factory=dict)
    """Rows that were left out since they have no label, by the split whose file they stand in."""

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 (hex) of the labels' names and of every text and label, split by split."""
        digest = hashlib.sha256(repr((self.task.name, self.task.kind, self.task.labels)).encode())
        for examples in (self.train, self.validation, self.test):
            digest.update(f"split {len(examples)}".encode())
            for column in (examples.texts, examples.pairs or []):
                for text in column:
                    raw = text.encode("utf-8", "surrogatepass")
                    digest.update(len(raw).to_bytes(8, "little"))
                    digest.update(raw)
            for array in (examples.labels, examples.groups):
                if array is not None:
                    digest.update(np.ascontiguousarray(array).tobytes())
            if examples.columns:
                digest.update(json.dumps(examples.columns, sort_keys=True, default=str).encode())
        return digest.hexdigest()


def blocks(text: str) -> Iterator[str]:
    """The parts of a text, cut in white space: a list of all words of a long one takes many times its room."""
    start = 0
    while len(text) - start > BLOCK:
        space = _SPACE.search(text, start + BLOCK)
        if space is None:
            break
        yield text[start : space.start()]
        start = space.end()
    yield text[start:] if start else text


def key_hash(key: tuple[str, str]) -> int:
    """A hash of `Examples.text_keys`, as `Examples.key_hashes` has it."""
    return int(np.frombuffer(_digest(key), dtype=np.int64)[0])


def _digest(key: tuple[str, str]) -> bytes:
    # Hashes of Python differ from process to process, and examples go to others with theirs.
    text = key[0] if not key[1] else "\n".join(key)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _plain(text: str) -> str:
    if len(text) <= BLOCK:
        return " ".join(text.split()).casefold()
    text = text.strip()
    if text.isascii() and not any(gap in text for gap in _GAPS):
        return text.casefold()
    parts = (" ".join(block.split()).casefold() for block in blocks(text))
    return " ".join(part for part in parts if part)
