"""The tasks that have a name, and the rows by which each family of them is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from subarch.errors import DataError, did_you_mean
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.snippets import SNIPPETS, load_snippets
from subarch.tasks.suites.glue import GLUE, GLUE_EVALUATION, load_glue, load_glue_test
from subarch.tasks.suites.race import RACE, RACE_PAPER, load_race, load_race_test
from subarch.tasks.suites.squad import SQUAD, load_squad, load_squad_dev
from subarch.tasks.suites.superglue import SUPERGLUE, SUPERGLUE_PAPER, load_superglue, load_superglue_test

TRAINED_ON = {"mnli_mismatched": "mnli", "ax": "mnli", "axb": "superglue_rte", "axg": "superglue_rte"}
"""Sets without training data, and the task whose model answers them."""
ALIASES = {"squadv1": "squad1", "squadv11": "squad1", "squadv2": "squad2", "squadv20": "squad2", "diagnostic": "ax"}


@dataclass(frozen=True, kw_only=True)
class _Family:
    """Tasks with one loader."""

    tasks: dict[str, Task]
    load: Callable[[Task, Path | None, int], TaskData]
    load_test: Callable[[Task, Path | None, str], Examples]
    paper: dict[str, Task] = field(default_factory=dict)


def _squad_test(task: Task, data_dir: Path | None, split: str) -> Examples:
    if split != "dev":
        raise DataError(f"{task.name} has no split {split!r}: its test set was never published, expected 'dev'")
    return load_squad_dev(task, data_dir=data_dir)


# Through this module's names, so that a caller can replace a loader.
_FAMILIES = (
    _Family(
        tasks=GLUE | GLUE_EVALUATION,
        load=lambda task, folder, seed: load_glue(task, data_dir=folder, seed=seed),
        load_test=lambda task, folder, split: load_glue_test(task, data_dir=folder, split=split),
    ),
    _Family(
        tasks=SUPERGLUE,
        paper=SUPERGLUE_PAPER,
        load=lambda task, folder, seed: load_superglue(task, data_dir=folder, seed=seed),
        load_test=lambda task, folder, split: load_superglue_test(task, data_dir=folder, split=split),
    ),
    _Family(
        tasks=RACE,
        paper=RACE_PAPER,
        load=lambda task, folder, seed: load_race(task, data_dir=folder, seed=seed),
        load_test=lambda task, folder, split: load_race_test(task, data_dir=folder, split=split),
    ),
    _Family(
        tasks=SQUAD,
        load=lambda task, folder, seed: load_squad(task, data_dir=folder, seed=seed),
        load_test=_squad_test,
    ),
    _Family(
        tasks={SNIPPETS.name: SNIPPETS},
        load=lambda _, folder, seed: load_snippets(data_dir=folder, seed=seed),
        # Its test rows are ours, and labelled: there is nothing to keep apart from "dev".
        load_test=lambda _, folder, split: load_snippets(data_dir=folder).test,
    ),
)


def task_names() -> tuple[str, ...]:
    """Every name that `load_task` knows."""
    return tuple(name for name in evaluation_names() if name not in TRAINED_ON)


def evaluation_names() -> tuple[str, ...]:
    """Every name that `load_test` knows: the tasks, and the sets without training data."""
    return tuple(name for family in _FAMILIES for name in family.tasks)


def trained_on(name: str) -> str:
    """The task whose model answers `name`: mostly itself, of AX that is MNLI, of AX-b and AX-g SuperGLUE's RTE."""
    known = _known(name)
    return TRAINED_ON.get(known, known)


def castings(name: str) -> tuple[str, ...]:
    """The castings of a task: "standard", and "paper" where the paper has one of its own."""
    known = _known(name)
    return ("standard", "paper") if any(known in family.paper for family in _FAMILIES) else ("standard",)


def find_task(name: str, casting: str = "standard") -> Task:
    """The row of a task, or of a set without training data, in a casting.

    Raises:
        DataError: An unknown name, or a casting that the task has not.
    """
    return _find(_known(name), casting)[1]


def load_task(name: str, *, data_dir: Path | None = None, seed: int = 0, casting: str = "standard") -> TaskData:
    """Load a task by name, without regard to case, hyphens and underscores ("SST-2" is "sst2").

    Args:
        name: One of `task_names()`.
        data_dir: Folder of official files; without one, that of the environment variable SUBARCH_DATA, else
            the Hub.
        seed: Of the carving of validation out of train. Test never depends on it; runs that are to be
            compared should share it.
        casting: One of `castings(name)`.

    Raises:
        DataError: An unknown name or casting, a set without training data, or data that are missing or out of reach.
    """
    known = _known(name)
    if known in TRAINED_ON:
        raise DataError(
            f"{known} has no training data, expected a task that has",
            f"evaluate the {TRAINED_ON[known]} model on it: subarch evaluate --task {known}",
        )
    family, task = _find(known, casting)
    return family.load(task, _folder(data_dir), seed)


def load_test(name: str, *, data_dir: Path | None = None, split: str = "dev", casting: str = "standard") -> Examples:
    """Load one official split that trains nothing.

    Args:
        name: One of `evaluation_names()`.
        data_dir: As of `load_task`.
        split: "dev", or "test", whose labels are hidden in GLUE and SuperGLUE (but AX-b and AX-g are of one file, the
            same as "dev"); of MNLI also "dev_mismatched" and "test_mismatched", which are "dev" and "test" of
            mnli_mismatched.
        casting: One of `castings(name)`.

    Raises:
        DataError: An unknown name, split or casting, or data that are missing or out of reach.
    """
    known = _known(name)
    splits = ("dev", "test") + (("dev_mismatched", "test_mismatched") if known == "mnli" else ())
    if split not in splits:
        raise DataError(f"{known} has no split {split!r}", did_you_mean(split, splits))
    family, task = _find(known, casting)
    return family.load_test(task, _folder(data_dir), split)


def _known(name: str) -> str:
    plain = _plain(name)
    names = {_plain(known): known for known in evaluation_names()} | ALIASES
    if plain not in names:
        raise DataError(f"unknown task {name!r}", did_you_mean(name, evaluation_names()))
    return names[plain]


def _find(name: str, casting: str) -> tuple[_Family, Task]:
    for family in _FAMILIES:
        tasks = family.paper if casting == "paper" else family.tasks
        if name in tasks and casting in ("standard", "paper"):
            return family, tasks[name]
    if casting not in ("standard", "paper"):
        raise DataError(f"unknown casting {casting!r}", did_you_mean(casting, ("standard", "paper")))
    have = [known for family in _FAMILIES for known in family.paper]
    raise DataError(f"{name} has no casting {casting!r}, expected 'standard'", f"these have one: {', '.join(have)}")


def _folder(data_dir: Path | None) -> Path | None:
    if data_dir is None and os.environ.get("SUBARCH_DATA"):
        return Path(os.environ["SUBARCH_DATA"])
    return data_dir


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(".", "")
