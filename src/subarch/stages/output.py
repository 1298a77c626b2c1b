"""An output folder belongs to one run: it says which, refuses any other, and ends with `result.json`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from subarch.errors import OutputError
from subarch.storage import read_json, storage_errors, write_json

RUN_FILE = "run.json"
RESULT_FILE = "result.json"
_LOCK_FILE = ".lock"


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
        return Result(**read_json(file), reused=True) if file.exists() else None

    @property
    def run_id(self) -> str | None:
        """The recorded run that began here."""
        found: str | None = read_json(self.path / RUN_FILE).get("run_id")
        return found

    def began(self, run_id: str | None) -> None:
        """Remember which recorded run works here, so that a resumed one goes on with it."""
        identity = read_json(self.path / RUN_FILE)
        if run_id != identity.get("run_id"):
            write_json(self.path / RUN_FILE, {**identity, "run_id": run_id})

    def finish(
        self, metrics: dict[str, Any], artifacts: Mapping[str, Path], run_id: str | None, seconds: float
    ) -> Result:
        """Write `result.json`: from now on the stage is done.

        The recorded run must have ended before: killed in between, a resumed run ends it again, while the other way
        round nobody would, and it would seem to run for ever.
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
    """Whether a run ended in this folder; whose it was, `claim` tells."""
    return (path / RESULT_FILE).exists()


@contextmanager
def claim(path: Path, stage: str, config: Any, data_fingerprint: str | None = None) -> Iterator[OutputFolder]:
    """Hold `path` for a run of `stage` with this configuration, new or to be resumed.

    Raises:
        OutputError: The folder holds another run or something else, or another process works in it.
    """
    settings = plain(config)
    identity = {"stage": stage, "config": settings, "data": data_fingerprint}
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise OutputError(f"{place} is a file, expected a folder", "choose another --out")
    _require_ours(path)
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / _LOCK_FILE)
    try:
        with storage_errors(path):
            lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"another process is working in {path}", "wait for it, or choose another --out") from error
    try:
        _check_identity(path, identity)
        _remove_partial(path)
        yield OutputFolder(path, stage, settings)
    finally:
        lock.release()


def _check_identity(path: Path, identity: dict[str, Any]) -> None:
    if (path / RUN_FILE).exists():
        found = read_json(path / RUN_FILE)
        if differing := list(_differences({key: found.get(key) for key in identity}, identity)):
            key, old, new = next((row for row in differing if row[0] == "stage"), differing[0])
            raise OutputError(
                f"{path} belongs to another run: its {key} is {old!r}, this one's is {new!r}",
                "choose another --out, or repeat the earlier command to resume it",
            )
        return
    _require_ours(path)
    write_json(path / RUN_FILE, {**identity, "version": version("subarch")})


def _require_ours(path: Path) -> None:
    """Refuse a folder with something in it that no run of subarch left; nothing is written, not even the lock."""
    if (path / RUN_FILE).exists() or not path.exists():
        return
    others = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    if others:
        raise OutputError(f"{path} is not empty ({others[0]}) and no run of subarch", "choose another --out")


def _remove_partial(path: Path) -> None:
    """Remove what a killed process was writing: nobody reads it, and a checkpoint is large."""
    for pattern in (".*.partial", ".*.old"):
        for leftover in list(path.rglob(pattern)):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


def plain(value: Any) -> Any:
    """A configuration as JSON values; paths become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
