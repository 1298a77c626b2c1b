"""Which characters of a task's texts every τ must leave alone, and where they stand afterwards.

Spans are protected by what the examples say (answers of a span task, entities, what all options of a group share),
and for a few tasks by how their casting writes its marks and questions into the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from rapidfuzz.distance import Levenshtein

from subarch.tasks.base import Examples, Task
from subarch.tasks.suites.castings import CAUSE, EFFECT
from subarch.training.augment.base import AnyTransformation, Source, Span, Transformation, merged, with_protected
from subarch.training.augment.words import words_of

Spans = tuple[tuple[Span, ...], tuple[Span, ...]]
"""Protected spans of a text and of its second text."""
Finder = Callable[[Task, Examples], Iterable[tuple[Sequence[Span], Sequence[Span]]]]
"""Spans of each example, in any order."""

_ASTERISKS = re.compile(r"(?<!\S)\* .+? \*(?!\S)")
_NUMBER_SIGNS = re.compile(r"(?<!\S)# .+? #(?!\S)")
_COPA_QUESTION = re.compile("|".join(re.escape(question) + "$" for question, _ in (CAUSE, EFFECT)))
_COPA_JOINT = re.compile(rf"\b(?:{CAUSE[1]}|{EFFECT[1]})\b")
_WORD = re.compile(r"\S+")
_FEWEST_SHARED = 3
"""Words that the options of a group must share at one end to have a common part there: "The lamp" and "The door" have
none."""


def protected(task: Task, examples: Examples) -> list[Spans]:
    """The spans of each example that must survive verbatim, in their order."""
    found: list[tuple[list[Span], list[Span]]] = [([], []) for _ in range(len(examples))]
    for finder in (_answers, _entities, _shared_by_options, *_OF_TASK.get(task.name, ())):
        for (texts, pairs), (more, more_of_pair) in zip(found, finder(task, examples), strict=True):
            texts.extend(more)
            pairs.extend(more_of_pair)
    return [(merged(texts), merged(pairs)) for texts, pairs in found]


def _nothing(examples: Examples) -> list[tuple[list[Span], list[Span]]]:
    return [([], [])] * len(examples)


def _answers(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
    """The accepted answers, where the second text holds them."""
    if "answer_starts" not in examples.columns:
        return _nothing(examples)
    columns = zip(examples.columns["answers"], examples.columns["answer_starts"], strict=True)
    return [
        ([], [(start, start + len(text)) for text, start in zip(answers, starts, strict=True) if start >= 0])
        for answers, starts in columns
    ]


def _entities(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
    """The entities among which a question chooses, wherever they occur."""
    if "entity" not in examples.columns:
        return _nothing(examples)
    entities: list[str] = examples.columns["entity"]
    of_group: dict[int, set[str]] = {}
    groups = np.arange(len(examples)) if examples.groups is None else examples.groups
    for group, entity in zip(groups.tolist(), entities, strict=True):
        of_group.setdefault(group, set()).add(entity)
    pairs = examples.pairs or [""] * len(examples)
    return [
        (
            [span for name in sorted(of_group[group]) for span in _occurrences(name, text)],
            list(_occurrences(entity, pair)),
        )
        for group, entity, text, pair in zip(groups.tolist(), entities, examples.texts, pairs, strict=True)
    ]


def _shared_by_options(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
    """What the second texts of a group have in common at their beginning and at their end.

    It is the question that each of them answers: it must not differ between them.
    """
    spans: list[list[Span]] = [[] for _ in range(len(examples))]
    if examples.groups is not None and examples.pairs is not None:
        for rows in rows_of_groups(examples):
            words = [list(_WORD.finditer(examples.pairs[row])) for row in rows]
            if len(rows) < 2:
                continue
            first, last = _common(words), _common([found[::-1] for found in words])
            for row, found in zip(rows, words, strict=True):
                spans[row] += [(found[0].start(), found[first - 1].end())] if first >= _FEWEST_SHARED else []
                spans[row] += [(found[-last].start(), found[-1].end())] if last >= _FEWEST_SHARED else []
    return [([], found) for found in spans]


def _common(words: list[list[re.Match[str]]]) -> int:
    """How many words all of the lists have in common from their beginning."""
    together = zip(*([match[0] for match in found] for found in words), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, together))


def rows_of_groups(examples: Examples) -> Iterator[list[int]]:
    """The rows of each group; each row by itself where there are none."""
    groups = np.arange(len(examples)) if examples.groups is None else examples.groups
    for rows in np.split(np.arange(len(examples)), np.flatnonzero(np.diff(groups)) + 1):
        if len(rows):
            yield rows.tolist()


def _matching(*patterns: re.Pattern[str]) -> Finder:
    """Whatever matches one of the patterns, in both texts."""

    def spans(text: str) -> list[Span]:
        return [match.span() for pattern in patterns for match in pattern.finditer(text)]

    def find(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
        pairs = examples.pairs or [""] * len(examples)
        return [(spans(text), spans(pair)) for text, pair in zip(examples.texts, pairs, strict=True)]

    return find


def _whole_pair(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
    """The paper's claim about the marked words, which repeats them."""
    return [([], [(0, len(pair))]) for pair in examples.pairs or [""] * len(examples)]


def _asked(task: Task, examples: Examples) -> Iterable[tuple[Sequence[Span], Sequence[Span]]]:
    """Whether the cause or the effect is asked for."""
    return _matching(_COPA_JOINT if task.casting == "paper" else _COPA_QUESTION)(task, examples)


_OF_TASK: dict[str, tuple[Finder, ...]] = {
    "wic": (_matching(_ASTERISKS),),
    "wsc": (_matching(_ASTERISKS, _NUMBER_SIGNS), _whole_pair),
    "copa": (_asked,),
}


@dataclass(frozen=True, kw_only=True)
class KeepNumbers:
    """Another transformation that leaves numbers alone."""

    inner: Transformation

    @property
    def name(self) -> str:
        """That of the other."""
        return self.inner.name

    def __call__(self, sources: Sequence[Source], rng: np.random.Generator) -> list[str | None]:
        """See `Transformation`."""
        numbers = [[(word.start, word.end) for word in words_of(source) if word.is_number] for source in sources]
        return self.inner([with_protected(*known) for known in zip(sources, numbers, strict=True)], rng)


def keeping_numbers(transformations: Sequence[AnyTransformation]) -> tuple[AnyTransformation, ...]:
    """The same transformations, those of single texts with `KeepNumbers`."""
    return tuple(each if hasattr(each, "change_pairs") else KeepNumbers(inner=each) for each in transformations)


def places(source: Source, new: str) -> tuple[Span, ...] | None:
    """Where the protected spans of a text stand in a new text made of it; None where one is lost, moved before
    another, or stands in several places none of which is known to be the right one."""
    if new == source.text:
        return source.protected
    found: list[Span] = []
    expected = _aligned(source.text, new) if source.protected else {}
    for start, end in source.protected:
        pattern, earliest = _piece(source.text, (start, end)), found[-1][1] if found else 0
        place = expected.get(start, -1)
        match = pattern.match(new, place) if place >= earliest else None
        if match is None:
            possible = list(pattern.finditer(new, earliest))
            if len(possible) != 1:
                return None
            match = possible[0]
        found.append(match.span())
    return tuple(found)


def _aligned(old: str, new: str) -> dict[int, int]:
    """Characters of the words that two texts have in common: place in the old text -> place in the new one."""
    old_words, new_words = list(_WORD.finditer(old)), list(_WORD.finditer(new))
    operations = Levenshtein.opcodes([word[0] for word in old_words], [word[0] for word in new_words])
    result: dict[int, int] = {}
    for step in operations:
        if step.tag in ("equal", "replace"):
            words = zip(
                old_words[step.src_start : step.src_end], new_words[step.dest_start : step.dest_end], strict=True
            )
            for before, after in words:
                result |= {before.start() + offset: after.start() + offset for offset in range(len(before[0]))}
    return result


def moved_answers(starts: Sequence[int], source: Source, new: str) -> list[int]:
    """Where the answers of a row begin in its new second text; -1 stays -1.

    Args:
        starts: Where they began in the source, whose protected spans cover them.
        source: The old second text.
        new: One in which `places` finds them.
    """
    spans = list(zip(source.protected, places(source, new) or (), strict=True))
    return [
        next((place[0] + start - span[0] for span, place in spans if span[0] <= start < span[1]), -1)
        for start in starts
    ]


def _piece(text: str, span: Span) -> re.Pattern[str]:
    """A piece of a text, in other texts; where it ends with a word, it does not end within one."""
    piece = text[slice(*span)]
    before = r"(?<!\w)" if re.match(r"\w", piece) and not text[: span[0]][-1:].isalnum() else ""
    after = r"(?!\w)" if re.match(r"\w", piece[-1:]) and not text[span[1] :][:1].isalnum() else ""
    return re.compile(before + re.escape(piece) + after)


def _occurrences(piece: str, text: str) -> Iterator[Span]:
    """Where a piece stands in a text, not within a longer word."""
    if piece:
        yield from (match.span() for match in _piece(piece, (0, len(piece))).finditer(text))
