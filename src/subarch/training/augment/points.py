"""New examples from old ones: every τ on every source, what the window keeps of it, each text once.

A row, or a whole group of answers to one question, is a source and gives points of its own shape: within a group, texts
that were equal stay equal, and answers are changed one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from subarch.errors import ConfigError
from subarch.tasks.base import Examples, Task
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.protected import moved_answers, places, protected, rows_of_groups
from subarch.training.augment.sides import Change, Draft, Key, Unit, change_of
from subarch.training.augment.window import Window


@dataclass(kw_only=True)
class Counts:
    """What became of the points of one τ; a group counts once."""

    asked: int = 0
    """Sources times points tried for."""
    produced: int = 0
    """Drafts, those of later attempts too; each of them is one of the next five."""
    kept: int = 0
    too_near: int = 0
    too_far: int = 0
    repeated: int = 0
    """Texts that a source or an earlier point has."""
    lost: int = 0
    """Drafts in which a protected span, or the difference between two answers, was gone."""
    nothing: int = 0
    """Attempts without a draft."""

    @property
    def share_in_window(self) -> float:
        """Share of the drafts that are neither too near nor too far."""
        return 1 - (self.too_near + self.too_far) / self.produced if self.produced else 0.0


@dataclass(frozen=True, kw_only=True)
class Points:
    """New examples without labels, in the order of the τ, then of their sources."""

    examples: Examples
    """Columns are those of the sources; "answer_starts" are the new ones. Groups are numbered anew, from 0."""
    sources: np.ndarray
    """(P,) int64: the row of the source examples from which each row came."""
    transformations: tuple[str, ...]
    """(P,) the name of its τ."""
    counts: Mapping[str, Counts]
    """By τ."""

    def __len__(self) -> int:
        return len(self.examples)


def transform(
    examples: Examples,
    task: Task,
    transformations: Sequence[AnyTransformation],
    *,
    each: int,
    window: Window,
    rng: np.random.Generator,
) -> Points:
    """Make points from examples; where nothing can be made, no points, and counts that say why.

    Args:
        examples: The sources; their labels are not read.
        task: Says what is protected.
        transformations: Every one is applied to every source. Each has random numbers of its own, so that another τ
            after it does not change what it makes.
        each: Points per source and τ that are tried for.
        window: What is kept, and how often is tried.
        rng: All the randomness.

    Raises:
        ConfigError: Two τ of one name, or fewer than one point asked for.
    """
    names = [transformation.name for transformation in transformations]
    if len(set(names)) < len(names) or each < 1:
        raise ConfigError(f"{each} points by each of {', '.join(names)}, expected at least 1, and each name once")
    spans = protected(task, examples)
    units = [Unit.of(examples, rows, spans) for rows in rows_of_groups(examples)]
    seen = {unit.as_draft.key for unit in units}
    made: list[tuple[str, Draft]] = []
    counts: dict[str, Counts] = {}
    for transformation, seed in zip(transformations, rng.integers(2**63, size=len(names)), strict=True):
        maker = _Maker(change_of(transformation), window, seen, np.random.default_rng(seed))
        made += [(transformation.name, draft) for draft in maker.make(units, each)]
        counts[transformation.name] = maker.counts
    return _gathered(examples, made, counts)


@dataclass
class _Maker:
    """One τ at work."""

    change: Change
    window: Window
    seen: set[Key]
    """Grows with what is kept."""
    rng: np.random.Generator
    counts: Counts = field(default_factory=Counts)

    def make(self, units: list[Unit], each: int) -> list[Draft]:
        """At most `each` drafts a unit, in the order of the units; what is refused is tried again, all at once."""
        wanted = [unit for unit in units for _ in range(each)]
        self.counts.asked = len(wanted)
        kept: dict[int, Draft] = {}
        for _ in range(self.window.attempts):
            jobs = [job for job in range(len(wanted)) if job not in kept]
            if not jobs:
                break
            for job, draft in zip(jobs, self.change([wanted[job] for job in jobs], self.rng), strict=True):
                if draft is None:
                    self.counts.nothing += 1
                elif self._keeps(draft):
                    kept[job] = draft
        return [kept[job] for job in sorted(kept)]

    def _keeps(self, draft: Draft) -> bool:
        fate = self._fate(draft)
        setattr(self.counts, fate, getattr(self.counts, fate) + 1)
        self.counts.produced += 1
        return fate == "kept"

    def _fate(self, draft: Draft) -> str:
        changes = draft.changes()
        verdict = self.window.judge([(source.text, new) for source, new in changes])
        if verdict != "kept":
            return verdict
        if draft.merges_answers() or any(places(*change) is None for change in changes):
            return "lost"
        if draft.key in self.seen:
            return "repeated"
        self.seen.add(draft.key)
        return "kept"


def _gathered(examples: Examples, made: list[tuple[str, Draft]], counts: dict[str, Counts]) -> Points:
    rows = [row for _, draft in made for row in draft.unit.rows]
    columns = {name: [column[row] for row in rows] for name, column in examples.columns.items()}
    if "answer_starts" in columns:
        columns["answer_starts"] = [
            moved_answers(examples.columns["answer_starts"][row], source, new)
            for _, draft in made
            for row, source, new in zip(draft.unit.rows, draft.unit.pairs or [], draft.pairs or [], strict=True)
        ]
    return Points(
        examples=Examples(
            [text for _, draft in made for text in draft.texts],
            None if examples.pairs is None else [text for _, draft in made for text in draft.pairs or []],
            None,
            None if examples.groups is None else _numbered([len(draft.unit.rows) for _, draft in made]),
            columns,
        ),
        sources=np.array(rows, dtype=np.int64),
        transformations=tuple(name for name, draft in made for _ in draft.unit.rows),
        counts=counts,
    )


def _numbered(sizes: list[int]) -> np.ndarray:
    """Group numbers (P,) of groups of these sizes."""
    return np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
