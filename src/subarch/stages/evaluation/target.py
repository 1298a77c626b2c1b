"""What `evaluate` scores: a task and the examples of one of its splits, or of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from subarch.errors import ConfigError, DataError, did_you_mean
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.matching import in_order
from subarch.kinds.registry import kind_of
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.registry import find_task, load_test
from subarch.tasks.scoring.predictions import with_ids
from subarch.tasks.tables import READERS

SPLITS = ("dev", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is scored or predicted."""

    task: Task
    examples: Examples
    """Each with an "id" of its own."""
    fingerprint: str
    """Of the whole split."""

    @property
    def labelled(self) -> bool:
        """Whether it can be scored."""
        return kind_of(self.task).labelled(self.examples)

    @property
    def counts(self) -> dict[str, int]:
        """How many examples there are, and where they are grouped how many questions."""
        groups = self.examples.groups
        questions = {} if groups is None else {"questions": len(np.unique(groups))}
        return {"examples": len(self.examples), **questions}

    def sample(self, count: int | None, seed: int) -> Target:
        """The same with at most so many examples."""
        return replace(self, examples=self.examples.sample(count, seed))


def read_target(config: DataConfig, split: str, keep: Sequence[str] = ()) -> Target:
    """Read what is to be scored.

    Args:
        config: The task, or the files it is made of.
        split: "dev" reports, with labels; "validation" selected; "test" is the official test set, mostly without
            labels, and of own data the same as "dev"; of MNLI also "dev_mismatched" and "test_mismatched". Else a
            file: of SQuAD its JSON, of other tasks a table with the task's column names.
        keep: Columns of the user's own data that slices are made of.

    Raises:
        UserError: A split, a file or a column that cannot be used.
    """
    own = config.task is None
    kept = tuple(keep) if config.task is None else ()
    path = Path(split)
    if path.suffix.lower() in (*READERS, ".json") or path.is_file():
        task = own_data(config).task if own else find_task(str(config.task), config.casting)
        return _target(task, _of_file(path, task, tuple(keep)), config.labels)
    if own or split == "validation":
        data = own_data(config, kept) if own else load_data(config)
        examples = {"dev": data.test, "test": data.test, "validation": data.validation}.get(split)
        if examples is None:
            raise ConfigError(f"no split {split!r}", did_you_mean(split, SPLITS))
        return _target(data.task, examples, config.labels)
    name = str(config.task)
    if split.endswith("_mismatched"):
        name, split = f"{name}_mismatched", split.removesuffix("_mismatched")
    task = find_task(name, config.casting)
    examples = load_test(task.name, data_dir=config.data_dir, split=split, casting=config.casting)
    return _target(task, examples, config.labels)


def own_data(config: DataConfig, keep: tuple[str, ...] = ()) -> TaskData:
    """The user's own data; of a test file alone, its rows and the classes that it holds.

    Raises:
        DataError: As `load_data`.
    """
    if config.train is not None or config.test is None:
        return load_data(config, keep)
    data = load_data(replace(config, train=config.test, valid=config.test, drop_overlap=False), keep)
    nothing = data.train.take(np.empty(0, dtype=np.int64))
    return replace(data, train=nothing, validation=nothing, notes=())


def _of_file(path: Path, task: Task, keep: tuple[str, ...]) -> Examples:
    if not path.is_file():
        raise DataError(f"{path} is no file, expected one, or a split: {', '.join(SPLITS)}")
    return kind_of(task).load_split(path, task, keep)


def _target(task: Task, examples: Examples, labels: tuple[str, ...] | None) -> Target:
    nothing = examples.take(np.empty(0, dtype=np.int64))
    data = TaskData(task, nothing, nothing, with_ids(examples))
    if not task.ordered:
        data = in_order(data, labels)
    return Target(task=data.task, examples=data.test, fingerprint=data.fingerprint)
