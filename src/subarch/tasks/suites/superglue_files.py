"""SuperGLUE's rows, as its official JSON lines or the Hub hold them, to questions (see `castings`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from subarch.errors import DataError
from subarch.tasks.suites.castings import Question
from subarch.tasks.suites.official import Row

Reader = Callable[[Row, Sequence[Any]], Iterator[Question]]
"""From a row and the values that its label may have to the questions that it holds."""


def plain(*fields: str) -> Reader:
    """Rows with some texts and a label."""

    def read(row: Row, values: Sequence[Any]) -> Iterator[Question]:
        yield _question(row, row.label(values)) | {name: row.text(name) for name in fields}

    return read


def copa(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """A premise, two choices, and which of "cause" and "effect" is asked for."""
    asked = row.text("question")
    if asked not in ("cause", "effect"):
        raise DataError(f"{row.place}: question {asked!r}, expected 'cause' or 'effect'")
    choices = [row.text("choice1"), row.text("choice2")]
    yield _question(row, row.label(values)) | {
        "premise": row.text("premise"),
        "question": asked,
        "choices": choices,
    }


def multirc(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """A paragraph with questions, each with answers that are right or wrong: a question for each answer."""
    passage = row.row("passage")
    for asked in passage.rows("questions"):
        for answer in asked.rows("answers"):
            yield {
                "id": f"{row.integer('idx')}-{asked.integer('idx')}-{answer.integer('idx')}",
                "place": row.place,
                "label": answer.label(values),
                "passage": passage.text("text"),
                "question": asked.text("question"),
                "answer": answer.text("text"),
            }


def record(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """A passage with entities (their places in it) and queries with accepted answers."""
    passage = row.row("passage")
    text = passage.text("text")
    # Places are those of the first and the last character.
    entities = sorted({text[span.integer("start") : span.integer("end") + 1] for span in passage.rows("entities")})
    if "" in entities or not entities:
        raise DataError(f"{row.place}: an entity is not in the passage, or there is none, expected their places")
    for query in row.rows("qas"):
        yield _record_query(query, text, entities)


def record_hub(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """A query on the Hub, which has the entities' texts."""
    query = Row(
        row.place,
        row.value
        | {"idx": row.row("idx").integer("query"), "answers": [{"text": text} for text in row.texts("answers")]},
    )
    yield _record_query(query, row.text("passage"), sorted(set(row.texts("entities"))))


def wic(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """Two sentences and the places of one word in each."""
    question = _question(row, row.label(values))
    for number in "12":
        sentence, start, end = row.text(f"sentence{number}"), row.integer(f"start{number}"), row.integer(f"end{number}")
        word = sentence[start:end]
        if not word.strip() or word != word.strip() or not _whole(sentence, start, end):
            raise DataError(
                f"{row.place}: characters {start} to {end} of sentence{number} are {word!r}, expected a whole word",
                f"the word meant is {row.text('word')!r}; use version 1.1 of the official files",
            )
        question |= {f"sentence{number}": sentence, f"start{number}": start, f"end{number}": end}
    yield question | {"word": row.text("word")}


def wsc(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """A text with a noun phrase and a pronoun, each by its text and the number of its first word."""
    target = row.row("target") if "target" in row.value else row
    question = _question(row, row.label(values)) | {"text": row.text("text")}
    for name in ("span1", "span2"):
        question |= {f"{name}_text": target.text(f"{name}_text"), f"{name}_index": target.integer(f"{name}_index")}
    yield question


def winogender(row: Row, values: Sequence[Any]) -> Iterator[Question]:
    """An AX-g row: two in succession are a pair, which differs in the gender of one pronoun.

    The numbers that the official file calls `pair_id` are of another set, and different in every row.
    """
    number = row.integer("idx")
    yield _question(row, row.label(values)) | {
        "premise": row.text("premise"),
        "hypothesis": row.text("hypothesis"),
        "pair_id": number // 2,
    }


def multirc_hub(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of one answer each, as the Hub holds them, to rows of one paragraph each."""
    paragraphs: dict[int, dict[str, Any]] = {}
    for row in rows:
        idx = row.row("idx")
        paragraph = paragraphs.setdefault(
            idx.integer("paragraph"),
            {"idx": idx.integer("paragraph"), "place": row.place, "text": row.text("paragraph"), "questions": {}},
        )
        asked = paragraph["questions"].setdefault(
            idx.integer("question"),
            {"idx": idx.integer("question"), "question": row.text("question"), "answers": []},
        )
        asked["answers"].append({"idx": idx.integer("answer"), "text": row.text("answer"), "label": row.value["label"]})
    for paragraph in paragraphs.values():
        passage = {"text": paragraph["text"], "questions": list(paragraph["questions"].values())}
        yield Row(paragraph["place"], {"idx": paragraph["idx"], "passage": passage})


def _question(row: Row, label: int | None) -> Question:
    return {"id": str(row.integer("idx")), "place": row.place, "label": label}


def _record_query(query: Row, passage: str, entities: list[str]) -> Question:
    if "@placeholder" not in query.text("query"):
        raise DataError(f"{query.place}: a query without '@placeholder', expected one")
    answers = [answer.text("text") for answer in query.rows("answers")] if query.value.get("answers") else None
    return {
        "id": str(query.integer("idx")),
        "place": query.place,
        # What is right is known by its text.
        "label": None,
        "passage": passage,
        "query": query.text("query"),
        "entities": entities,
        "answers": None if answers is None else sorted(set(answers)),
    }


def _whole(text: str, start: int, end: int) -> bool:
    """Whether a part of the text is a word of its own; "do" of "don't" is, and "'ve" of "I've"."""
    before, after = text[max(start - 1, 0) : start], text[end:]
    begins = not (before.isalnum() and text[start].isalnum())
    return end <= len(text) and begins and (not after[:1].isalnum() or after.startswith("n't"))
