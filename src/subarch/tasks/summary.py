"""What was understood of the data, in a few lines that are printed before anything is trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from subarch.tasks.base import Array, Examples, KindName, Task, TaskData
from subarch.tasks.overlap import count_overlaps

SHOWN_CLASSES = 8
"""Classes up to which each one's rows are told; of more, the rarest."""
RARE = 3
"""How many of the rarest."""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """The rows of one split."""

    rows: int
    classes: Mapping[str, int] | None
    """Rows of each class, in the order of `Task.labels`; None where there are none."""
    scores: tuple[float, float, float] | None
    """Lowest, mean and highest score of a regression."""
    unlabelled: int
    """Rows that were left out since they have no label."""
    doubled: int
    """Rows whose texts stood in the split before."""
    contradicting: int
    """Labels that a text has in this split beyond its first."""
    contexts: int | None = None
    """Different texts in which answers are sought; None where none are."""
    unanswered: int | None = None
    """Questions without an answer in theirs."""


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """Columns, kind, classes and rows of a task's data, and what should make one doubt them."""

    text: str
    text_pair: str | None
    label: str
    kind: KindName
    splits: Mapping[str, SplitSummary]
    overlaps: Mapping[str, int]
    """Rows of a split that stand in another one too, by "test in train" and the like."""
    similar: tuple[tuple[str, str], ...]
    """Classes whose names differ only in case and spacing."""
    notes: tuple[str, ...]
    """Those of the data."""

    @classmethod
    def of(cls, data: TaskData) -> DataSummary:
        """Count everything: a few seconds for a million rows."""
        task = data.task
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        return cls(
            text=task.text,
            text_pair=task.text_pair,
            label=task.label,
            kind=task.kind,
            splits={name: _summary(part, task, data.unlabelled.get(name, 0)) for name, part in parts.items()},
            overlaps={f"{part} in {whole}": rows for (part, whole), rows in count_overlaps(data).items()},
            similar=_similar(task.labels),
            notes=data.notes,
        )

    def as_json(self) -> dict[str, Any]:
        """The same in JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """A line on the columns, one on each split that has rows, and one on each thing to doubt."""
        pair = "" if self.text_pair is None else f", second text {self.text_pair!r}"
        classes = self.splits["train"].classes
        kind = f"{self.kind}, {len(classes)} classes" if classes else self.kind
        lines = [f"text {self.text!r}{pair}, label {self.label!r}: {kind}"]
        if self.splits["train"].contexts is not None:
            lines = [f"question {self.text!r}, context {self.text_pair!r}, answers {self.label!r}: {kind}"]
        lines += [f"{name}: {_rows(split)}" for name, split in self.splits.items() if split.rows]
        for name, split in self.splits.items():
            if split.unlabelled:
                lines.append(f"{name}: {split.unlabelled:,} rows have no label and are left out")
            if split.doubled:
                told = f", with {split.contradicting:,} labels that contradict" if split.contradicting else ""
                lines.append(f"{name}: {split.doubled:,} rows are copies of others{told}")
        for place, rows in self.overlaps.items():
            if rows:
                part, whole = place.split(" in ")
                lines.append(
                    f"{rows:,} of {self.splits[part].rows:,} rows of {part} stand both in {whole} and in {part}: "
                    "its score may be too good"
                )
        lines += [f"the classes {one!r} and {other!r} differ only in case or spacing" for one, other in self.similar]
        return lines


def _summary(examples: Examples, task: Task, unlabelled: int) -> SplitSummary:
    labels = examples.labels
    classes = scores = None
    if labels is not None and task.labels:
        rows = np.bincount(labels.astype(np.int64), minlength=len(task.labels))
        classes = dict(zip(task.labels, rows.tolist(), strict=True))
    elif labels is not None and task.kind == "regression" and len(labels):
        scores = (float(labels.min()), float(labels.mean(dtype=np.float64)), float(labels.max()))
    texts = examples.key_hashes
    doubled = len(texts) - len(np.unique(texts))
    contradicting = _contradicting(texts, labels) if doubled and labels is not None else 0
    answers = examples.columns.get("answers")
    return SplitSummary(
        rows=len(examples),
        classes=classes,
        scores=scores,
        unlabelled=unlabelled,
        doubled=doubled,
        contradicting=contradicting,
        contexts=None if answers is None else len(set(examples.pairs or [])),
        unanswered=None if answers is None else sum(not accepted for accepted in answers),
    )


def _contradicting(texts: Array, labels: Array) -> int:
    both = np.unique(np.stack([texts, np.unique(labels, return_inverse=True)[1]]), axis=1)
    return int(both.shape[1] - len(np.unique(texts)))


def _similar(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    known: dict[str, list[str]] = defaultdict(list)
    for name in names:
        known["".join(name.split()).casefold()].append(name)
    return tuple((same[0], other) for same in known.values() for other in same[1:])


def _rows(split: SplitSummary) -> str:
    told = f"{split.rows:,} rows"
    if split.scores is not None:
        low, mean, high = split.scores
        return f"{told}, scores from {low:g} to {high:g}, mean {mean:g}"
    if split.contexts is not None:
        unanswered = f", {split.unanswered:,} of them without an answer" if split.unanswered else ""
        return f"{split.rows:,} questions on {split.contexts:,} contexts{unanswered}"
    if split.classes is None:
        return told
    if len(split.classes) <= SHOWN_CLASSES:
        return f"{told}: " + ", ".join(f"{name} {rows:,}" for name, rows in split.classes.items())
    ordered = sorted(split.classes.items(), key=lambda item: item[1])
    rare = ", ".join(f"{name} {rows:,}" for name, rows in ordered[:RARE])
    return f"{told}, {ordered[0][1]:,} to {ordered[-1][1]:,} of each class; the rarest: {rare}"
