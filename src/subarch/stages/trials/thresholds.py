"""Thresholds that change while a search runs: a note in its folder tells the driver, which alone writes the record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from subarch.errors import OutputError
from subarch.optimize.study import Study
from subarch.session.output import RUN_FILE, read_run
from subarch.storage import read_json, storage_errors, write_json

_NOTES = "thresholds-*.json"


def is_busy(folder: Path) -> bool:
    """Whether another process works on the search in this folder."""
    if not (folder / RUN_FILE).exists():
        return False
    lock = FileLock(folder / ".lock")
    try:
        with storage_errors(folder):
            lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def leave_note(folder: Path, thresholds: Mapping[str, float | None], metrics: Mapping[str, object]) -> None:
    """Tell the driver that works in the folder; it reads the note when its next trial ends.

    Each note is a file of its own, complete from the moment it has its name, so that none is lost between two readers.

    Raises:
        OutputError: The folder holds another search: one of other metrics, or no search at all.
    """
    run = read_run(folder)
    if run["stage"] != "search" or set(run["config"].get("metrics", ())) != set(metrics):
        raise OutputError(f"{folder} holds another run, expected this search", "name its --out")
    write_json(folder / f"thresholds-{time.time_ns()}.json", dict(thresholds))


@contextmanager
def noted(folder: Path) -> Iterator[dict[str, float | None]]:
    """Yield the thresholds of all notes, later ones over earlier ones; the notes go when the block has ended well."""
    notes = sorted(folder.glob(_NOTES))
    found: dict[str, float | None] = {}
    for note in notes:
        found |= read_json(note)
    yield found
    for note in notes:
        note.unlink(missing_ok=True)


def apply(study: Study, thresholds: Mapping[str, float | None]) -> None:
    """Set thresholds in a study."""
    for name, value in thresholds.items():
        study.set_threshold(name, value)


def has_notes(folder: Path) -> bool:
    """Whether a note waits."""
    return any(folder.glob(_NOTES))
