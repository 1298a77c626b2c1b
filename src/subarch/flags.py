"""The flags that several commands share, or that would make one too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token


def _whole(kind: object, tokens: Sequence[Token]) -> int:
    """1.5 is no whole number, where cyclopts would round it."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"got {tokens[0].value!r}, expected a whole number") from error


Whole = Annotated[int, Parameter(converter=_whole)]
"""A flag's whole number."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Which data."""

    task: str | None = None
    "A built-in task such as sst2, copa, race_middle or squad2; finetune and evaluate take glue, superglue, race too."
    train: Path | None = None
    "Your own training rows instead: CSV, TSV, JSONL, Parquet or SQuAD's JSON."
    valid: Path | None = None
    "Rows that select; else made from the training rows."
    test: Path | None = None
    "Rows that report; else made from the training rows."
    text: str | None = None
    "Column of the text."
    text_pair: str | None = None
    "Column of the second text, if any."
    label: str | None = None
    "Column of the label."
    kind: Literal["classification", "regression", "span"] | None = None
    "What the label is, if it cannot be guessed; span: answers in a text."
    data_dir: Path | None = None
    "Folder of official files; SUBARCH_DATA by default, else the Hub."
    casting: Literal["standard", "paper"] | None = None
    "How a built-in task is put to the model; paper: as Bort's did, where that differs."
    labels: str | None = None
    "The classes in the order of a teacher's outputs, with commas, where their names do not tell."
    drop_overlap: Annotated[bool | None, Parameter(negative=())] = None
    "Leave out the rows of train that stand in validation or test too."
    force: Annotated[bool | None, Parameter(negative=())] = None
    "Go on although the teacher is no better than the commonest answer; with --agora, than two in three."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Where it goes, and everything else that the recipe may say."""

    out: Path | None = None
    "Folder for what comes of it."
    recipe: Path | None = None
    "TOML file; its section of this command's name is read."
    settings: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = ()
    "section.field=value, over the recipe; may be repeated."
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False
    "Print the result as JSON."
    debug: Annotated[bool, Parameter(negative=())] = False
    "Print the traceback of a failure."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SpaceFlags:
    """Which candidates."""

    space: str | None = None
    "Sizes such as 'num_hidden_layers=2,4,6 hidden_size=256,384'; shares of the teacher's by default."
    max_parameters: str | None = None
    "Leave out larger candidates, for example 20M."
    max_latency_ms: float | None = None
    "Leave out slower candidates."
    latency_device: Literal["cpu", "cuda", "flops"] | None = None
    "Where latencies are measured; flops computes them."

    def settings(self) -> dict[str, Any]:
        """As in a recipe."""
        values: dict[str, Any] = {"max_parameters": self.max_parameters, "max_latency_ms": self.max_latency_ms}
        if self.space is not None:
            values["space"] = {"sizes": self.space}
        if self.latency_device == "flops":
            values["latency"] = "nominal"
        elif self.latency_device is not None:
            values |= {"latency": "measured", "timing": {"device": self.latency_device}}
        return values


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ForesightFlags:
    """What is only told, while nothing is trained and nothing written."""

    check: Annotated[bool, Parameter(negative=())] = False
    "Print which conditions of the algorithm hold here, and train nothing."
    estimate: Annotated[bool, Parameter(negative=())] = False
    "Print what it will take, and train nothing."
    hardware: str | None = None
    "What to estimate for: v100, a100, h100, h200; this machine by default."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReadingFlags:
    """How the texts are read."""

    documents: Literal["blank-line", "line", "file"] | None = None
    "Where a document of plain text ends; blank-line by default, file for books."
    min_words: Whole | None = None
    "Drop shorter documents."
    deduplicate: Annotated[bool | None, Parameter(negative=())] = None
    "Drop documents whose text occurred before."
    strip_markup: Annotated[bool | None, Parameter(negative=())] = None
    "Take off HTML and wiki markup."
    processes: Whole | None = None
    "As many as there are processors by default, at most 4; the blocks do not depend on it."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScoreFlags:
    """What is scored, and what beside."""

    split: str | None = None
    "dev by default, which selected nothing; validation, test (official, unlabelled), or a file."
    against: str | None = None
    "A second model or file of predictions: how much the first differs from it, and in which slices."
    submission: Path | None = None
    "Folder for the file that the benchmark's server accepts."
    slice: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    "A column of the data: scores by its values too; may be repeated."


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class AgoraFlags:
    """Whether and how the data grow."""

    agora: Annotated[bool | Literal["published"] | None, Parameter(negative=())] = None
    "Grow the training data around mistakes, labelled by the teacher; published: as the paper does it."
    sets: str | None = None
    "Hyperparameter sets that compete, such as 'learning_rate=1e-4,3e-4 seed=0,1', or published: Bort's 240."
    masked_lm: str | None = None
    "Folder or Hub id of a masked-language model that refills words; the teacher, if it can, by default."
    unlabelled: Path | None = None
    "File with the task's text columns, in which texts like the mistakes are sought."
    expansion_set: Literal["validation", "dev"] | None = None
    "Whose mistakes count; dev is the paper's way, and then its score is no longer that of unseen data."

    def settings(self) -> dict[str, Any]:
        """As in a recipe."""
        names = ("sets", "masked_lm", "unlabelled", "expansion_set")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        preset = "agora-published" if self.agora == "published" else "agora" if self.agora else None
        return {"preset": preset, "agora": given or None}


NO_AGORA = AgoraFlags()
NO_DATA = DataFlags()
NO_SPACE_FLAGS = SpaceFlags()
NO_FORESIGHT = ForesightFlags()
NO_READING_FLAGS = ReadingFlags()
NO_SCORE_FLAGS = ScoreFlags()
DEFAULTS = RunFlags()
