"""The tasks that have a name."""

from __future__ import annotations

import os
from pathlib import Path

from subarch.errors import DataError, did_you_mean
from subarch.tasks.base import TaskData
from subarch.tasks.glue import GLUE, load_glue
from subarch.tasks.pydoc import load_pydoc


def task_names() -> tuple[str, ...]:
    """Every name that `load_task` knows."""
    return (*GLUE, "pydoc")


def load_task(name: str, *, data_dir: Path | None = None, seed: int = 0) -> TaskData:
    """Load a task by name, without regard to case and hyphens ("SST-2" is "sst2").

    Args:
        name: One of `task_names()`.
        data_dir: Folder of official files; without one, that of the environment variable SUBARCH_DATA, else
            the Hub.
        seed: Of the carving of validation out of train. Test never depends on it; runs that are to be
            compared should share it.

    Raises:
        DataError: An unknown name, or data that are missing or out of reach.
    """
    plain = name.lower().replace("-", "").replace("_", "")
    if plain == "pydoc":
        return load_pydoc(seed=seed)
    if plain not in GLUE:
        raise DataError(f"unknown task {name!r}", did_you_mean(name, task_names()))
    if data_dir is None and os.environ.get("SUBARCH_DATA"):
        data_dir = Path(os.environ["SUBARCH_DATA"])
    return load_glue(GLUE[plain], data_dir=data_dir, seed=seed)
