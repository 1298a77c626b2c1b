"""One run of one stage: its parameters, curves, files and end."""

from __future__ import annotations

import dataclasses
import json
import logging
import posixpath
import re
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from subarch.errors import InterruptedRun
from subarch.tracking.channel import ERROR_TAG, TRACEBACK_TAG, Channel

_log = logging.getLogger(__name__)

Status = Literal["FINISHED", "FAILED", "KILLED"]
Point = tuple[str, float, int, int]
"""Metric, value, Unix milliseconds, step."""

_FLUSH_SECONDS = 2.0
_FLUSH_VALUES = 200
_BATCH = 100  # MLflow takes no more parameters or tags at once
_PARAM_CHARACTERS = 6000
_TAG_CHARACTERS = 5000
_KEY_CHARACTERS = 250
_BAD_KEY = re.compile(r"[^\w\-. /]")
_INFINITE = 1.7976931348623157e308  # what MLflow stores in its place


class Run:
    """A run that is going on; as a context manager it ends with the block.

    Leaving the block by an exception ends the run as FAILED, with the traceback, or as KILLED where the user
    stopped it; the exception passes on. Characters that MLflow forbids in names become `_`. What cannot be written
    at present waits in the channel and stops nothing.

    Args:
        channel: The way to the record.
        run_id: MLflow's identifier, or one of the channel's.
        known: Parameters that the record has of it already.
        outermost: Whether it belongs to no other run; what waits is written at its end, if it can be.
    """

    def __init__(
        self, channel: Channel, run_id: str, known: Mapping[str, str] | None = None, *, outermost: bool = False
    ) -> None:
        self._channel, self._own_id, self._outermost = channel, run_id, outermost
        self._known = dict(known or {})
        self._buffer: list[Point] = []
        self._flushed = time.monotonic()
        self._ended = False

    @property
    def run_id(self) -> str | None:
        """MLflow's identifier, as far as it is known by now."""
        return self._channel.resolved(self._own_id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each metric's curve; NaN and infinity are points like any other.

        Points are written at most every two seconds, or two hundred at once; a kill loses those not written
        yet.
        """
        self._wait(metrics, step)
        if len(self._buffer) >= _FLUSH_VALUES or time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the points that wait."""
        while self._buffer:
            self._write(metrics=self._buffer[:_FLUSH_VALUES])
            del self._buffer[:_FLUSH_VALUES]
        self._flushed = time.monotonic()

    def conclude(
        self, metrics: Mapping[str, float], step: int, tags: Mapping[str, str], failure: str | None = None
    ) -> None:
        """Write last points, those that wait, and then the tags, all of them at once: who finds one finds all the rest.

        Args:
            metrics: As `log` takes them.
            step: As `log` takes it.
            tags: As `tags` takes them.
            failure: As `error` takes it.

        Raises:
            StorageError: The record cannot be written; then the tags don't wait.
        """
        self._wait(metrics, step)
        while len(self._buffer) > _FLUSH_VALUES:
            self._channel.write_now(self._batch(metrics=self._buffer[:_FLUSH_VALUES]))
            del self._buffer[:_FLUSH_VALUES]
        # The record writes the tags of a batch after its points.
        last = _tags({**tags, **({} if failure is None else _error_tags(failure))})
        self._channel.write_now(self._batch(metrics=self._buffer, tags=last))
        self._buffer.clear()
        self._flushed = time.monotonic()

    def params(self, params: Mapping[str, Any]) -> None:
        """Record parameters; nested ones get dotted names, long values are cut.

        MLflow never changes a parameter: a continued run keeps its first value, and a different one is only
        warned about.
        """
        known = self._known
        texts = {valid_key(name): text[:_PARAM_CHARACTERS] for name, text in flatten(params)}
        for name, text in texts.items():
            if known.get(name, text) != text:
                _log.warning("%s was %s when this run began, and is %s now", name, known[name], text)
        new = [(name, text) for name, text in texts.items() if name not in known]
        for start in range(0, len(new), _BATCH):
            self._write(params=new[start : start + _BATCH])
        self._known = {**texts, **known}

    def tags(self, tags: Mapping[str, str]) -> None:
        """Record tags: unlike a parameter, a tag may be set again. The end of a long value is kept."""
        new = _tags(tags)
        for start in range(0, len(new), _BATCH):
            self._write(tags=new[start : start + _BATCH])

    def artifact(self, path: Path) -> None:
        """Copy a file, or a folder under its own name, to the run's files."""
        self._channel.write({"operation": "artifact", "run": self._own_id, "path": str(path.absolute())})

    def error(self, text: str) -> None:
        """Record a traceback; its last line but for a hint becomes the reason shown in lists."""
        self.tags(_error_tags(text))

    def finish(self, status: Status = "FINISHED") -> None:
        """Write what waits, and end the run; ending it again changes nothing."""
        if self._ended:
            return
        self.flush()
        self._channel.write(
            {"operation": "end", "run": self._own_id, "status": status, "time": int(time.time() * 1000)}
        )
        self._ended = True
        if self._outermost:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, Exception) and not isinstance(error, InterruptedRun):
            self.error("".join(traceback.format_exception(error)))
            self.finish("FAILED")
        else:
            self.finish("KILLED")

    def _wait(self, metrics: Mapping[str, float], step: int) -> None:
        """Let points wait."""
        now = int(time.time() * 1000)
        self._buffer += [(valid_key(name), float(value), now, step) for name, value in metrics.items()]

    def _write(self, **batch: Any) -> None:
        self._channel.write(self._batch(**batch))

    def _batch(self, **batch: Any) -> dict[str, Any]:
        content = {name: list(batch.get(name, ())) for name in ("metrics", "params", "tags")}
        return {"operation": "batch", "run": self._own_id, **content}


class NullRun(Run):
    """A run that nobody records; `run_id` is None."""

    def __init__(self) -> None:
        pass

    @property
    def run_id(self) -> str | None:
        """None."""
        return None

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def conclude(
        self, metrics: Mapping[str, float], step: int, tags: Mapping[str, str], failure: str | None = None
    ) -> None:
        """Do nothing."""

    def params(self, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def tags(self, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def artifact(self, path: Path) -> None:
        """Do nothing."""

    def finish(self, status: Status = "FINISHED") -> None:
        """Do nothing."""


def _tags(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(valid_key(name), str(value)[-_TAG_CHARACTERS:]) for name, value in tags.items()]


def _error_tags(text: str) -> dict[str, str]:
    lines = [line for line in text.strip().splitlines() if not line.startswith("hint: ")]
    return {ERROR_TAG: lines[-1] if lines else "", TRACEBACK_TAG: text}


def valid_key(name: str) -> str:
    """The name under which MLflow takes a metric, a parameter or a tag: it must do as a relative path too."""
    path = posixpath.normpath("/" + _BAD_KEY.sub("_", name)[:_KEY_CHARACTERS])
    return path.lstrip("/") or "_"


def stored_value(value: float) -> float:
    """The number that was logged: infinity, where MLflow stored the largest finite number for it."""
    return value if abs(value) < _INFINITE or value != value else value * 2


def flatten(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and texts; a dataclass counts as a mapping, a list becomes JSON."""
    for key, value in params.items():
        name = f"{prefix}{key}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        elif isinstance(value, (list, tuple, dict)):
            yield name, json.dumps(value, default=str)
        else:
            yield name, str(value)
