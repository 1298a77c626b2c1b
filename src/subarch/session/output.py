"""An output folder belongs to one run: it says which, refuses any other, and ends with `result.json`."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from subarch.errors import OutputError, UserError
from subarch.session.fingerprints import fingerprint
from subarch.storage import (
    UNFINISHED,
    begin_unfinished,
    end_unfinished,
    read_dataclass,
    read_json,
    remove_unfinished,
    storage_errors,
    write_json,
)
from subarch.tracking.record import WAITING_FILE

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
_LOCK_FILE = ".lock"
_BOOKKEEPING = {RUN_FILE, _LOCK_FILE, UNFINISHED, "plan.json", WAITING_FILE}
"""What holds no work that is worth keeping."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What a stage leaves behind, also as `result.json`."""

    stage: str
    version: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    artifacts: dict[str, str]
    """Name to path, relative to the output folder."""
    run_id: str | None
    seconds: float
    reused: bool = dataclasses.field(default=False, compare=False)
    """Whether an earlier call did the work."""

    def to_json(self) -> dict[str, Any]:
        """The content of `result.json`."""
        values = dataclasses.asdict(self)
        del values["reused"]
        return values


class OutputFolder:
    """A folder claimed for one run; made by `claim`."""

    def __init__(self, path: Path, stage: str, config: dict[str, Any]) -> None:
        self.path, self.stage, self.config = path, stage, config

    @property
    def result(self) -> Result | None:
        """The result of the finished run; None before."""
        file = self.path / RESULT_FILE
        return read_result(self.path) if file.exists() else None

    @property
    def run_id(self) -> str | None:
        """The recorded run that began here."""
        found = read_run(self.path).get("run_id")
        return found if isinstance(found, str) else None

    def began(self, run_id: str | None) -> None:
        """Remember which recorded run works here, so that a resumed one goes on with it."""
        identity = read_run(self.path)
        if run_id != identity.get("run_id"):
            write_json(self.path / RUN_FILE, {**identity, "run_id": run_id})

    def finish(
        self, metrics: dict[str, Any], artifacts: Mapping[str, Path], run_id: str | None, seconds: float
    ) -> Result:
        """Write `result.json`: from now on the stage is done.

        The recorded run must have ended before. If a kill comes between the two, a resumed run ends the recorded run
        again. In the other order nobody would end it, and it would seem to run for ever.
        """
        result = Result(
            stage=self.stage,
            version=version("subarch"),
            config=self.config,
            metrics=metrics,
            artifacts={name: path.relative_to(self.path).as_posix() for name, path in artifacts.items()},
            run_id=run_id,
            seconds=round(seconds, 3),
        )
        write_json(self.path / RESULT_FILE, result.to_json())
        return result


def is_finished(path: Path) -> bool:
    """Whether a run ended in this folder. `claim` says which run it was."""
    return (path / RESULT_FILE).exists()


def read_run(path: Path) -> dict[str, Any]:
    """What `run.json` of an output folder says.

    Raises:
        OutputError: It is damaged, or of another program.
    """
    found = read_json(path / RUN_FILE)
    kinds = {"stage": str, "config": dict}
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in kinds.items()):
        raise OutputError(
            f"{path / RUN_FILE} is damaged, or no run of subarch: expected an object with a stage and a config",
            "choose another --out",
        )
    return found


def read_result(path: Path) -> Result:
    """The result of the run that ended in an output folder.

    Raises:
        OutputError: `result.json` is damaged.
    """
    return dataclasses.replace(read_dataclass(Result, path / RESULT_FILE), reused=True)


@contextmanager
def claim(
    path: Path,
    stage: str,
    config: Any,
    data_fingerprint: str | None = None,
    models: Mapping[str, Path | None] | None = None,
) -> Iterator[OutputFolder]:
    """Hold `path` for a run of `stage` with this configuration, new or to be resumed.

    A block that ends with a `UserError` before there is any work to keep leaves the folder as it was, so that the
    corrected command may have it.

    Args:
        path: The folder.
        stage: Of the run.
        config: A dataclass, or settings by name.
        data_fingerprint: Of what is read.
        models: What else the outcome depends on, by the name of its setting: models' folders, files, None for absent
            ones. What lies there belongs to the run.

    Raises:
        OutputError: The folder cannot be, holds another run or something else, or another process works in it.
    """
    _require_possible(path)
    _require_ours(path)
    prints = {name: fingerprint(place) for name, place in (models or {}).items() if place is not None}
    identity = {"stage": stage, "config": config, "data": data_fingerprint, "models": prints}
    made = [place for place in (path, *path.parents) if not place.exists()]
    with storage_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, NotADirectoryError) as error:  # of a file system that has no new folders
            raise OutputError(f"cannot make the folder {path}: {error.strerror}", "choose another --out") from error
        before = {entry.name for entry in path.iterdir()}
    lock = FileLock(path / _LOCK_FILE)
    try:
        with storage_errors(path):
            lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"another process is working in {path}", "wait for it, or choose another --out") from error
    try:
        if RUN_FILE in before:
            _require_same(path, identity)
        else:
            _require_ours(path)
        with storage_errors(path):
            remove_unfinished(path)
            begin_unfinished(path)
        if RUN_FILE not in before:
            write_json(path / RUN_FILE, {**plain(identity), "version": version("subarch")})
        try:
            yield OutputFolder(path, stage, plain(config))
        except UserError:
            if RUN_FILE not in before:
                _leave(path, before, made)
            raise
    finally:
        if is_finished(path):
            end_unfinished(path)
        lock.release()


def _leave(path: Path, before: set[str], made: list[Path]) -> None:
    """Leave a folder as it was, unless there is work in it."""
    if not path.is_dir() or any(entry.name not in before | _BOOKKEEPING for entry in path.iterdir()):
        return
    for name in _BOOKKEEPING - before:
        (path / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's file is in there
        for place in made:
            place.rmdir()


def _require_same(path: Path, identity: Mapping[str, Any]) -> None:
    found = read_run(path)
    # A version that wrote no fingerprints of models cannot be held to them.
    differing = list(_differences({"models": identity["models"], **found}, identity))
    if not differing:
        return
    key, old, new = next((row for row in differing if row[0] == "stage"), differing[0])
    if key.startswith("models."):
        name = key.removeprefix("models.")
        raise OutputError(
            f"{path} belongs to another run: what {name} names holds other files than when that run began",
            "choose another --out, or put the earlier files back to go on with it",
        )
    raise OutputError(
        f"{path} belongs to another run: its {key} is {old!r}, this one's is {new!r}",
        "choose another --out, or repeat the earlier command to resume it",
    )


def _require_possible(path: Path) -> None:
    """Refuse a path that can be no folder, by its name or by what stands there."""
    choose = "choose another --out"
    for place in (path, *path.parents):
        try:
            os.stat(place)
        except OSError as error:
            if error.errno == errno.ELOOP or (error.errno == errno.ENOENT and place.is_symlink()):
                leads = "to itself" if error.errno == errno.ELOOP else f"to {os.readlink(place)}, which does not exist"
                raise OutputError(f"{place} is a link {leads}, expected a folder", choose) from error
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise OutputError(f"{_short(place)} cannot be a folder: {error.strerror}", choose) from error
            continue
        if not place.is_dir():
            raise OutputError(f"{place} is a file, expected a folder", choose)
        return


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _require_ours(path: Path) -> None:
    """Refuse a folder with something in it that no run of subarch left; nothing is written, not even the lock."""
    if (path / RUN_FILE).exists() or not path.exists():
        return
    others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if others:
        raise OutputError(f"{path} is not empty ({others[0]}) and no run of subarch", "choose another --out")


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where a run's own values differ from what `run.json` says, as (name, old, new).

    A field that the other version of subarch did not have had its default then; one that this version does not know
    does not count.
    """
    if dataclasses.is_dataclass(new) and isinstance(old, dict):
        for field in dataclasses.fields(new):
            at = f"{name}.{field.name}"
            value = plain(getattr(new, field.name))
            if field.name in old:
                yield from _differences(old[field.name], getattr(new, field.name), at)
            elif value != _default(field):
                yield at, None, value
    elif isinstance(old, dict) and isinstance(new, Mapping):
        known = {"": new.keys(), "config": old.keys() & new.keys()}.get(name, old.keys() | new.keys())
        for key in sorted(known):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != plain(new):
        yield name, old, plain(new)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory())
    return None if field.default is dataclasses.MISSING else plain(field.default)


def plain(value: Any) -> Any:
    """A configuration as JSON values; paths become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
