"""The task's data: which, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from subarch.errors import ConfigError
from subarch.inputs.matching import in_order, split_names
from subarch.kinds.registry import load_own
from subarch.tasks.base import TaskData
from subarch.tasks.columns import Columns
from subarch.tasks.overlap import drop_overlap
from subarch.tasks.registry import load_task

DATA_SEED = 0
"""The split never depends on a run's seed, so that seeds are compared on the same data."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data: a task by name, or files."""

    task: str | None = None
    """Name of a built-in task."""
    train: Path | None = None
    """A CSV, TSV, JSONL or Parquet file, or SQuAD's JSON, instead of a task."""
    valid: Path | None = None
    """Rows that select; made from the training rows when absent."""
    test: Path | None = None
    """Rows that report and select nothing; made from the training rows when absent."""
    text: str | None = None
    """Column of the text."""
    text_pair: str | None = None
    """Column of the second text, if any."""
    label: str | None = None
    """Column of the label."""
    kind: Literal["classification", "regression", "span"] | None = None
    """What the label is, where it cannot be guessed; span: answers in a text."""
    data_dir: Path | None = None
    """Folder of official files; SUBARCH_DATA by default, else the Hub."""
    casting: Literal["standard", "paper"] = "standard"
    """How a built-in task is put to the model, where Bort's paper did it in another way."""
    labels: Annotated[tuple[str, ...] | None, BeforeValidator(split_names)] = None
    """The classes in the order of a teacher's outputs, where its names do not tell; a list or a text with commas."""
    drop_overlap: bool = False
    """Leave out the rows of train that stand in validation or test too."""
    force: bool = False
    """Go on although a teacher is no better than the commonest answer, or, with Agora, than two in three."""

    def __post_init__(self) -> None:
        if self.task is not None and self.train is not None:
            raise ConfigError("got both of --task and --train, expected one of them", "see subarch --help")
        if self.task is None and self.train is None and self.test is None:
            raise ConfigError("got neither of --task and --train, expected one of them", "see subarch --help")
        if self.task is None and self.casting != "standard":
            raise ConfigError(f"--casting is {self.casting}, but only a built-in task has one", "leave it out")


def load_data(config: DataConfig, keep: tuple[str, ...] = ()) -> TaskData:
    """Read the three splits.

    Args:
        config: Which data.
        keep: Further columns of files that `Examples.columns` shall have.

    Raises:
        DataError: Data that cannot be used; the message names file, line and remedy.
    """
    files = [path for path in (config.train, config.valid, config.test) if path is not None]
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.is_file())
    return _load(config, keep, stamps)


@lru_cache(maxsize=2)
def _load(config: DataConfig, keep: tuple[str, ...], stamps: tuple[tuple[int, int], ...]) -> TaskData:
    """The stages of one command read the same data: once, unless a file changed in between."""
    data = in_order(_read(config, keep), config.labels)
    return drop_overlap(data) if config.drop_overlap else data


def _read(config: DataConfig, keep: tuple[str, ...]) -> TaskData:
    if config.task is not None:
        return load_task(config.task, data_dir=config.data_dir, seed=DATA_SEED, casting=config.casting)
    if config.train is None:
        raise ConfigError("got --test but no --train, expected rows to train on", "subarch evaluate alone needs none")
    given = Columns(text=config.text, text_pair=config.text_pair, label=config.label, keep=keep)
    found = {"train": config.train, "validation": config.valid, "test": config.test}
    files = {split: path for split, path in found.items() if path is not None}
    return load_own(files, given, config.kind, DATA_SEED)
