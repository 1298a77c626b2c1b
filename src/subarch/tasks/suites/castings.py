"""How questions become rows for a model: texts, second texts, labels and groups.

A question is a flat dictionary, the same whether it was read from a file or from the Hub: "id" (str), "place" (for
messages), "label" (index of the class or of the right choice, None where hidden), and its texts. The standard casting
is that of the best published single models of the BERT family, the paper's that of Bort (de Wynter and Perry 2020);
docs/benchmarks.md describes each beside the other.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from subarch.tasks.base import Array, Examples

log = logging.getLogger(__name__)

Question = dict[str, Any]
Caster = Callable[[Sequence[Question]], Examples]

BLANK = re.compile("_+")
SENTENCES = re.compile(r"(?<=[.!?])\s+")
CAUSE, EFFECT = ("What's the cause of this?", "because"), ("What happened as a result?", "so")
LAST_SENTENCES = 4
"""Sentences of a CommitmentBank premise that the paper's casting keeps."""


def single(text: Callable[[Question], str]) -> Caster:
    """A casting to one text a question."""
    return lambda questions: _examples(questions, [text(question) for question in questions], None)


def pair(text: Callable[[Question], str], second: Callable[[Question], str]) -> Caster:
    """A casting to two texts a question."""
    return lambda questions: _examples(
        questions, [text(question) for question in questions], [second(question) for question in questions]
    )


def field(name: str) -> Callable[[Question], str]:
    """The text of that name, unchanged."""
    return lambda question: str(question[name])


def choices(text: Callable[[Question], str], options: Callable[[Question], list[str]]) -> Caster:
    """A casting to one row an option, grouped by question; its label is 1 where the option is right.

    The id of a row is that of the question, a hyphen, and the option's number from 0.
    """

    def cast(questions: Sequence[Question]) -> Examples:
        rows = [
            (number, option, text(question), second)
            for number, question in enumerate(questions)
            for option, second in enumerate(options(question))
        ]
        hidden = any(question["label"] is None for question in questions)
        labels = [int(questions[number]["label"] == option) for number, option, *_ in rows]
        return Examples(
            [row[2] for row in rows],
            [row[3] for row in rows],
            None if hidden else np.array(labels, dtype=np.int64),
            np.array([row[0] for row in rows], dtype=np.int64),
            {"id": [f"{questions[number]['id']}-{option}" for number, option, *_ in rows]},
        )

    return cast


def race_option(question: Question) -> list[str]:
    """Each option where the question has its blank, else after the question (as fairseq's RoBERTa does)."""
    asked = " ".join(question["question"].split())
    texts = [" ".join(option.split()) for option in question["options"]]
    if BLANK.search(asked):
        return [text.join(BLANK.split(asked)) for text in texts]
    return [f"{asked} {text}" for text in texts]


def copa_premise(question: Question) -> str:
    """The premise, and whether its cause or its effect is asked for."""
    return f"{question['premise']} {(CAUSE if question['question'] == 'cause' else EFFECT)[0]}"


def copa_sentence(number: int) -> Callable[[Question], str]:
    """The premise and a choice as one sentence, joined by "because" or "so" (as the paper does)."""

    def sentence(question: Question) -> str:
        premise, choice = question["premise"].rstrip().rstrip("."), question["choices"][number]
        word = (CAUSE if question["question"] == "cause" else EFFECT)[1]
        return f"{premise} {word} {choice[:1].lower()}{choice[1:]}"

    return sentence


def last_sentences(question: Question) -> str:
    """The last sentences of a premise: what the hypothesis is about stands at its end."""
    return " ".join(SENTENCES.split(question["premise"].strip())[-LAST_SENTENCES:])


def marked(text: str, spans: Iterable[tuple[int, int, str]]) -> str:
    """The text with a mark before and after each span (start and end in characters).

    The marks stand apart from the word, so that no tokenizer of the BERT family joins them to it.
    """
    places = sorted(((place, mark) for start, end, mark in spans for place in (start, end)), reverse=True)
    for place, mark in places:
        text = f"{text[:place]} {mark} {text[place:]}"
    return " ".join(text.split())


def wic_sentence(number: int) -> Callable[[Question], str]:
    """The first or the second sentence with its target word between asterisks."""
    return lambda question: marked(
        question[f"sentence{number}"], [(question[f"start{number}"], question[f"end{number}"], "*")]
    )


def wsc_text(question: Question) -> str:
    """The text with the noun phrase between asterisks and the pronoun between number signs (as T5 marks them)."""
    spans = (wsc_span(question, number) for number in (1, 2))
    return marked(question["text"], [(*span, mark) for span, mark in zip(spans, "*#", strict=True)])


def wsc_claim(question: Question) -> str:
    """The paper's second text: that the pronoun means the noun phrase."""
    return f"{question['span2_text']} means {question['span1_text']}"


def wsc_span(question: Question, number: int) -> tuple[int, int]:
    """Characters of a span, from its text and the number of its first word.

    A few official numbers are one off and a few texts differ in case or white space, so the occurrence nearest to the
    numbered word is meant; where there is none (names that the text has in another order), the words at the number.
    """
    text, wanted = question["text"], question[f"span{number}_text"].split()
    words = list(re.finditer(r"\S+", text))
    first = min(question[f"span{number}_index"], len(words) - 1)
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, wanted)) + r"(?!\w)"
    found = [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]
    if found:
        return min(found, key=lambda span: abs(span[0] - words[first].start()))
    log.debug("%s: %r is not in the text", question["place"], question[f"span{number}_text"])
    last = min(first + len(wanted), len(words)) - 1
    return words[first].start(), words[last].end()


def multirc(questions: Sequence[Question]) -> Examples:
    """Paragraph, and question with one of its answers; a group is a question, whose answers are right or wrong."""
    numbers: dict[str, int] = {}
    keys = [question["id"].rsplit("-", 1)[0] for question in questions]
    groups = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    seconds = [f"{question['question']} {question['answer']}" for question in questions]
    return _examples(questions, [question["passage"] for question in questions], seconds, groups)


def record(questions: Sequence[Question]) -> Examples:
    """Passage, and query with an entity in its blank: one row for each different entity. Several rows may be right.

    The labels are 1 where the entity is an accepted answer, letter by letter. Columns "entity", and "answers", the
    accepted texts, where they are known. A query none of whose entities is right keeps its rows.
    """
    rows = [(number, entity) for number, question in enumerate(questions) for entity in question["entities"]]
    hidden = any(question["answers"] is None for question in questions)
    passages = [_one_text(question["passage"]) for question in questions]
    counts = [len(question["entities"]) for question in questions]
    columns: dict[str, list[Any]] = {
        "id": [f"{question['id']}-{row}" for question in questions for row in range(len(question["entities"]))],
        "entity": [entity for _, entity in rows],
    }
    if not hidden:
        columns["answers"] = [questions[number]["answers"] for number, _ in rows]
    right = [int(entity in (questions[number]["answers"] or ())) for number, entity in rows]
    return Examples(
        [passages[number] for number, _ in rows],
        [questions[number]["query"].replace("@placeholder", entity) for number, entity in rows],
        None if hidden else np.array(right, dtype=np.int64),
        np.repeat(np.arange(len(questions), dtype=np.int64), counts),
        columns,
    )


def with_right_answers(examples: Examples) -> tuple[Examples, int]:
    """Without the groups in which no row is right, from which nothing can be learnt; and how many these were."""
    if examples.groups is None or examples.labels is None:
        return examples, 0
    answered = np.isin(examples.groups, examples.groups[examples.labels > 0])
    dropped = len(np.unique(examples.groups[~answered]))
    return (examples, 0) if not dropped else (examples.take(np.flatnonzero(answered)), dropped)


def _one_text(passage: str) -> str:
    """An article and the highlights below it as sentences of one text."""
    parts = [part.strip() for part in passage.split("@highlight")]
    return " ".join(part if part.endswith((".", "!", "?", '"', "'")) else f"{part}." for part in parts if part)


def _examples(
    questions: Sequence[Question], texts: list[str], pairs: list[str] | None, groups: Array | None = None
) -> Examples:
    labels = [question["label"] for question in questions]
    columns: dict[str, list[Any]] = {"id": [question["id"] for question in questions]}
    if questions and "pair_id" in questions[0]:
        columns["pair_id"] = [question["pair_id"] for question in questions]
    return Examples(texts, pairs, None if None in labels else np.array(labels, dtype=np.int64), groups, columns)
