"""The files of the servers as lists of (id, answer): how each format writes them and reads them back.

- GLUE: tab-separated, with the header "index prediction".
- SuperGLUE: a JSON object a line, "idx" and "label"; MultiRC nests its answers in questions and passages, and its ids
  are "passage-question-answer".
- RACE and SQuAD: one JSON object of ids and answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subarch.errors import DataError
from subarch.tasks.decoding import read_text
from subarch.tasks.suites.official import Row, read_json_lines, read_object

Entry = tuple[str, Any]
"""An id, and what is said of it: a word, a number or a text."""
HEADER = ("index", "prediction")


@dataclass(frozen=True, kw_only=True)
class Format:
    """The file of one task."""

    file: str
    rows: int
    """Answers that the official test set asks for."""
    dump: Callable[[Sequence[Entry]], str]
    parse: Callable[[Path], list[Entry]]
    words: tuple[Any, ...] = ()
    """What is written for each class or option, in their order; empty where a number or a text is."""
    high: float | None = None
    """Of scores: they lie between 0 and this."""


def _dump_tsv(entries: Sequence[Entry]) -> str:
    lines = ["\t".join(HEADER), *(f"{name}\t{value}" for name, value in entries)]
    return "\n".join(lines) + "\n"


def _parse_tsv(path: Path) -> list[Entry]:
    entries = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        fields = line.rstrip("\r").split("\t")
        if not line.strip():
            continue
        if len(fields) != len(HEADER) or (number == 1 and tuple(fields) != HEADER):
            raise DataError(
                f"{path}, line {number}: {len(fields)} fields {fields[:3]}, expected two, under the header "
                f"{' '.join(HEADER)}",
                "separate them by a tab",
            )
        if number > 1:
            entries.append((fields[0], fields[1]))
    return entries


def _dump_lines(entries: Sequence[Entry]) -> str:
    return "".join(json.dumps({"idx": _number(name), "label": value}) + "\n" for name, value in entries)


def _parse_lines(path: Path) -> list[Entry]:
    return [(str(row.integer("idx")), _label(row)) for row in read_json_lines(path)]


def _dump_passages(entries: Sequence[Entry]) -> str:
    passages: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for name, value in entries:
        passage, question, answer = (_number(part, name) for part in _parts(name))
        answers = passages.setdefault(passage, {}).setdefault(question, [])
        answers.append({"idx": answer, "label": value})
    lines = []
    for passage, questions in passages.items():
        nested = [{"idx": question, "answers": answers} for question, answers in questions.items()]
        lines.append(json.dumps({"idx": passage, "passage": {"questions": nested}}) + "\n")
    return "".join(lines)


def _parse_passages(path: Path) -> list[Entry]:
    return [
        (f"{row.integer('idx')}-{question.integer('idx')}-{answer.integer('idx')}", _label(answer))
        for row in read_json_lines(path)
        for question in row.row("passage").rows("questions")
        for answer in question.rows("answers")
    ]


def dump_object(entries: Sequence[Entry]) -> str:
    """A JSON object of ids and answers."""
    return json.dumps(dict(entries), ensure_ascii=False, indent=0) + "\n"


def parse_object(path: Path) -> list[Entry]:
    """The entries of a JSON object; DataError where it is none."""
    return list(read_object(read_text(path), str(path)).items())


def _label(row: Row) -> Any:
    if "label" not in row.value:
        raise DataError(f"{row.place}: no 'label', expected the prediction")
    return row.value["label"]


def _parts(name: str) -> list[str]:
    parts = name.split("-")
    if len(parts) != 3:
        raise DataError(f"id {name!r}, expected the numbers of passage, question and answer, like 0-3-1")
    return parts


def _number(part: str, whole: str | None = None) -> int:
    if not part.isdecimal():
        raise DataError(f"id {whole or part!r}, expected the number of the official file", "predict that file")
    return int(part)


def _glue(file: str, rows: int, words: tuple[Any, ...] = ("0", "1"), **more: Any) -> Format:
    return Format(file=f"{file}.tsv", rows=rows, dump=_dump_tsv, parse=_parse_tsv, words=words, **more)


def _superglue(file: str, rows: int, words: tuple[Any, ...] = ()) -> Format:
    return Format(file=f"{file}.jsonl", rows=rows, dump=_dump_lines, parse=_parse_lines, words=words)


def _object(file: str, rows: int, words: tuple[Any, ...] = ()) -> Format:
    return Format(file=f"{file}.json", rows=rows, dump=dump_object, parse=parse_object, words=words)


_ENTAILMENT = ("entailment", "not_entailment")
_MNLI = ("entailment", "neutral", "contradiction")

FORMATS: dict[str, Format] = {
    "cola": _glue("CoLA", 1063),
    "sst2": _glue("SST-2", 1821),
    "mrpc": _glue("MRPC", 1725),
    "stsb": _glue("STS-B", 1379, (), high=5.0),
    "qqp": _glue("QQP", 390965),
    "mnli": _glue("MNLI-m", 9796, _MNLI),
    "mnli_mismatched": _glue("MNLI-mm", 9847, _MNLI),
    "qnli": _glue("QNLI", 5463, _ENTAILMENT),
    "rte": _glue("RTE", 3000, _ENTAILMENT),
    "wnli": _glue("WNLI", 146),
    "ax": _glue("AX", 1104, _MNLI),
    "boolq": _superglue("BoolQ", 3245, ("false", "true")),
    "cb": _superglue("CB", 250, ("entailment", "contradiction", "neutral")),
    "copa": _superglue("COPA", 500, (0, 1)),
    "multirc": Format(file="MultiRC.jsonl", rows=9693, dump=_dump_passages, parse=_parse_passages, words=(0, 1)),
    "record": _superglue("ReCoRD", 10000),
    "superglue_rte": _superglue("RTE", 3000, _ENTAILMENT),
    "wic": _superglue("WiC", 1400, ("false", "true")),
    # As the toolkit of SuperGLUE's authors (jiant 1) writes it; either is read.
    "wsc": _superglue("WSC", 146, ("False", "True")),
    "axb": _superglue("AX-b", 1104, _ENTAILMENT),
    "axg": _superglue("AX-g", 356, _ENTAILMENT),
    "race_middle": _object("race_middle", 1436, tuple("ABCD")),
    "race_high": _object("race_high", 3498, tuple("ABCD")),
    "squad1": _object("squad1", 10570),
    "squad2": _object("squad2", 11873),
}
"""By task; the words are in the order of the task's labels, or of the options of a question."""
