"""The SuperGLUE tasks (Wang et al. 2019), from the official JSON lines or from the Hub, in either casting.

As with GLUE the labels of the test sets were never published: the official validation set (`val.jsonl`) reports, and a
part of train selects. AX-b and AX-g are sets of one file, with labels, for the model of RTE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.splits import balanced, carve, carve_groups, validation_size, without
from subarch.tasks.suites import castings, superglue_files
from subarch.tasks.suites.castings import Caster, Question, field
from subarch.tasks.suites.official import (
    Row,
    check_unique,
    find_file,
    hub_rows,
    hub_split,
    load_hub,
    read_json_lines,
    row_notes,
)

HUB = "aps/super_glue"
ENTAILMENT = ("entailment", "not_entailment")
TRUTH = ("false", "true")
WRONG_RIGHT = ("wrong", "right")
FILES = {
    "train": ("train.jsonl", "fewglue_train.jsonl"),
    "dev": ("val.jsonl", "fewglue_dev32.jsonl"),
    "test": ("test.jsonl",),
}
"""Official names, and those of the samples that may stand in for them."""
HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
BALANCE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class _Set:
    """Where a task lies and how its rows become examples."""

    task: Task
    folder: str
    rows: dict[str, int]
    """Rows of the official files, by split."""
    values: tuple[Any, ...]
    """Labels as the files write them, in the order of `Task.labels`, which is the Hub's too."""
    read: superglue_files.Reader
    cast: Caster
    paper: Caster | None = None
    paper_task: Task | None = None
    hub_config: str
    hub_read: superglue_files.Reader | None = None
    """Where rows on the Hub are of another shape."""
    hub_join: Callable[[Iterable[Row]], Iterator[Row]] | None = None
    shared: bool = False
    """Whether several questions have one text, and must stay together when validation is carved out of train."""


def _task(name: str, labels: tuple[str, ...], metrics: tuple[str, ...], max_length: int = 128, **more: Any) -> Task:
    return Task(
        name=name,
        kind="classification" if labels else "choice",
        labels=labels,
        text=more.pop("text", "text"),
        label="label",
        metrics=metrics,
        main_metric=metrics[0],
        max_length=max_length,
        **more,
    )


def _paper(task: Task, **changes: Any) -> Task:
    return replace(task, casting="paper", **changes)


def _entailment(name: str, folder: str, rows: dict[str, int], metrics: tuple[str, ...], **more: Any) -> _Set:
    texts = more.pop("texts", ("premise", "hypothesis"))
    return _Set(
        task=_task(name, ENTAILMENT, metrics, text=texts[0], text_pair=texts[1], max_length=256),
        folder=folder,
        rows=rows,
        values=ENTAILMENT,
        read=more.pop("read", superglue_files.plain(*texts)),
        cast=castings.pair(*map(field, texts)),
        hub_config=more.pop("hub_config", name),
    )


_BOOLQ = _task("boolq", TRUTH, ("accuracy",), text="passage", text_pair="question", max_length=256)
_CB = _task(
    "cb",
    ("entailment", "contradiction", "neutral"),
    ("accuracy", "f1_macro"),
    text="premise",
    text_pair="hypothesis",
    max_length=256,
)
_COPA = _task("copa", (), ("accuracy",), text="premise", text_pair="choice")
_MULTIRC = _task(
    "multirc", TRUTH, ("f1_answers", "exact_match"), text="passage", text_pair="question and answer", max_length=512
)
_RECORD = _task("record", (), ("f1", "exact_match"), text="passage", text_pair="query with an entity", max_length=512)
_WIC = _task("wic", TRUTH, ("accuracy",), text="sentence1", text_pair="sentence2")
_WSC = _task("wsc", TRUTH, ("accuracy",), text="text")

_SETS: dict[str, _Set] = {
    row.task.name: row
    for row in (
        _Set(
            task=_BOOLQ,
            folder="BoolQ",
            rows={"train": 9427, "dev": 3270, "test": 3245},
            values=(False, True),
            read=superglue_files.plain("passage", "question"),
            cast=castings.pair(field("passage"), field("question")),
            paper=castings.pair(field("passage"), field("question")),
            paper_task=_paper(_BOOLQ),
            hub_config="boolq",
            shared=True,
        ),
        _Set(
            task=_CB,
            folder="CB",
            rows={"train": 250, "dev": 56, "test": 250},
            values=_CB.labels,
            read=superglue_files.plain("premise", "hypothesis"),
            cast=castings.pair(field("premise"), field("hypothesis")),
            paper=castings.pair(castings.last_sentences, field("hypothesis")),
            paper_task=_paper(_CB),
            hub_config="cb",
        ),
        _Set(
            task=_COPA,
            folder="COPA",
            rows={"train": 400, "dev": 100, "test": 500},
            values=(0, 1),
            read=superglue_files.copa,
            cast=castings.choices(castings.copa_premise, lambda question: list(question["choices"])),
            paper=castings.pair(castings.copa_sentence(0), castings.copa_sentence(1)),
            paper_task=_paper(_COPA, kind="classification", labels=("choice1", "choice2")),
            hub_config="copa",
            shared=True,
        ),
        _Set(
            task=_MULTIRC,
            folder="MultiRC",
            rows={"train": 456, "dev": 83, "test": 166},
            values=(0, 1),
            read=superglue_files.multirc,
            cast=castings.multirc,
            paper=castings.multirc,
            paper_task=_paper(_MULTIRC),
            hub_config="multirc",
            hub_join=superglue_files.multirc_hub,
            shared=True,
        ),
        _Set(
            task=_RECORD,
            folder="ReCoRD",
            rows={"train": 65709, "dev": 7481, "test": 7484},
            values=(),
            read=superglue_files.record,
            cast=castings.record,
            paper=castings.record,
            paper_task=_paper(_RECORD, kind="classification", labels=WRONG_RIGHT),
            hub_config="record",
            hub_read=superglue_files.record_hub,
            shared=True,
        ),
        _entailment("superglue_rte", "RTE", {"train": 2490, "dev": 277, "test": 3000}, ("accuracy",), hub_config="rte"),
        _Set(
            task=_WIC,
            folder="WiC",
            rows={"train": 5428, "dev": 638, "test": 1400},
            values=(False, True),
            read=superglue_files.wic,
            cast=castings.pair(castings.wic_sentence(1), castings.wic_sentence(2)),
            hub_config="wic",
        ),
        _Set(
            task=_WSC,
            folder="WSC",
            rows={"train": 554, "dev": 104, "test": 146},
            values=(False, True),
            read=superglue_files.wsc,
            cast=castings.single(castings.wsc_text),
            paper=castings.pair(castings.wsc_text, castings.wsc_claim),
            paper_task=_paper(_WSC, text_pair="what the pronoun means"),
            hub_config="wsc.fixed",
            shared=True,
        ),
        _entailment("axb", "AX-b", {"test": 1104}, ("matthews_correlation",), texts=("sentence1", "sentence2")),
        _entailment("axg", "AX-g", {"test": 356}, ("accuracy", "gender_parity"), read=superglue_files.winogender),
    )
}

SUPERGLUE: dict[str, Task] = {name: row.task for name, row in _SETS.items()}
"""The tasks in their standard casting; axb and axg have no training data."""
SUPERGLUE_PAPER: dict[str, Task] = {name: row.paper_task for name, row in _SETS.items() if row.paper_task is not None}
"""Those that the paper cast in a way of its own (of BoolQ the same way)."""


def load_superglue(task: Task, *, data_dir: Path | None, seed: int = 0) -> TaskData:
    """Read a task with its three splits: train, validation carved out of train, and the official dev set as test.

    Args:
        task: A row of `SUPERGLUE` or `SUPERGLUE_PAPER` that has training data.
        data_dir: Folder that holds `SuperGLUE/<Task>/`, `superglue/<Task>/` or `<Task>/`; None reads the Hub.
        seed: Of the carving, which is the same in both castings; test does not depend on it.

    Raises:
        DataError: A file is missing, broken or not of the official layout, or the Hub is out of reach.
    """
    row = _SETS[task.name]
    if "train" not in row.rows:
        raise DataError(f"{task.name} has no training data, expected a task that has", "load it with load_test")
    loaded = None if data_dir is not None else load_hub(HUB, row.hub_config)
    parts, notes = {}, []
    for split in ("train", "dev"):
        parts[split], told = _read(row, split, data_dir, loaded)
        notes += told
    train, test = _split_train(row, task, (parts["train"], parts["dev"]), seed, notes)
    return TaskData(task, train[0], train[1], test, tuple(notes))


def load_superglue_test(task: Task, *, data_dir: Path | None, split: str) -> Examples:
    """The split "dev" or "test" of a task, in the casting of `task`; without labels where they are hidden.

    The sets of one file (AX-b, AX-g) are the same under either name.
    """
    row = _SETS[task.name]
    split = split if split in row.rows else "test"
    loaded = None if data_dir is not None else load_hub(HUB, row.hub_config)
    return _caster(row, task)(_read(row, split, data_dir, loaded)[0])


def _split_train(
    row: _Set, task: Task, parts: tuple[list[Question], list[Question]], seed: int, notes: list[str]
) -> tuple[tuple[Examples, Examples], Examples]:
    cast = _caster(row, task)
    whole, test = cast(parts[0]), cast(parts[1])
    for examples, file in ((whole, "train"), (test, "dev")):
        if examples.labels is None:
            raise DataError(f"{row.folder}: a row of the official {file} file has no label, expected one in each")
    kept = without(whole, set(test.text_keys()))
    if len(kept) < len(whole):
        notes.append(f"{len(whole) - len(kept)} train rows that also stand in the official dev set were left out")
    kept, unanswered = castings.with_right_answers(kept) if row.values == () else (kept, 0)
    if unanswered:
        notes.append(f"{unanswered} train questions without a right candidate were left out")
    told: list[str] = []
    rest, validation = _carve(row, kept, seed, told)
    notes += [f"test is the official dev set; validation is {len(validation)} rows carved out of train", *told]
    if task.casting == "paper" and rest.groups is not None:
        fewer = balanced(rest, seed=BALANCE_SEED)
        notes.append(f"{len(rest) - len(fewer)} wrong answers were left out of train, as many as outnumber the right")
        rest = fewer
    return (rest, validation), test


def _carve(row: _Set, examples: Examples, seed: int, notes: list[str]) -> tuple[Examples, Examples]:
    if not row.shared:
        return carve(examples, validation_size(len(examples)), kind="classification", seed=seed, notes=notes)
    questions = len(examples) if examples.groups is None else len(set(examples.groups.tolist()))
    return carve_groups(examples, validation_size(questions), seed=seed, blocks=_blocks(examples))


def _blocks(examples: Examples) -> Sequence[str]:
    # The marks of a span are the only difference between rows of one text.
    return [" ".join(text.replace("*", " ").replace("#", " ").split()) for text in examples.texts]


def _caster(row: _Set, task: Task) -> Caster:
    if task.casting == "paper":
        assert row.paper is not None
        return row.paper
    return row.cast


def _read(row: _Set, split: str, data_dir: Path | None, loaded: Any) -> tuple[list[Question], list[str]]:
    if data_dir is not None:
        homes = [Path(data_dir) / home / row.folder for home in ("SuperGLUE", "superglue", "")]
        names = FILES[split] if len(row.rows) > 1 else (f"{row.folder}.jsonl",)
        path = find_file(homes, names)
        rows, read = read_json_lines(path), row.read
        notes = row_notes(path, names, len(rows), row.rows[split])
    else:
        name = HUB_SPLITS[split]
        rows, read = list(hub_rows(hub_split(loaded, name, HUB), f"{HUB} ({row.hub_config}), {name}")), row.read
        rows = [_with_value(hub_row, row.values) for hub_row in rows]
        if row.hub_join is not None:
            rows = list(row.hub_join(rows))
        read, notes = row.hub_read or row.read, [f"{split} was read from the Hub: {HUB} ({row.hub_config})"]
    questions = [question for found in rows for question in read(found, row.values)]
    if not questions:
        raise DataError(f"the {split} split of {row.task.name} has no rows, expected {row.rows[split]}")
    check_unique((question["id"] for question in questions), (question["place"] for question in questions))
    return questions, notes


def _with_value(row: Row, values: tuple[Any, ...]) -> Row:
    """A row of the Hub with its label as the files write it."""
    label = row.value.get("label")
    return row if label is None or not values else Row(row.place, row.value | {"label": values[label]})
