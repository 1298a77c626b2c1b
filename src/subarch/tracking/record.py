"""The record: what happened in every run, on MLflow, so that its own pages and any colleague's tools read it.

The driver is its only writer; work that runs elsewhere sends its results to the driver.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from subarch.errors import StorageError, SubarchError
from subarch.tracking.channel import ERROR_TAG, PARENT_TAG, TRACEBACK_TAG, Channel
from subarch.tracking.database import artifact_folder, connect, explained, sqlite_path
from subarch.tracking.run import NullRun, Run, stored_value, valid_key

__all__ = ["NullRecord", "NullRun", "Record", "Run", "tracking_uri"]

_STAGE_TAG = "subarch.stage"
WAITING_FILE = "record.jsonl"
"""In an output folder: what happened there and could not be recorded yet."""


def tracking_uri() -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else `subarch.db` in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///subarch.db"


class Record:
    """The runs of one experiment; made by `Record.open`."""

    def __init__(self, channel: Channel) -> None:
        self.uri = channel.uri
        self._channel = channel
        self._client = channel.client

    @classmethod
    def open(cls, uri: str | None = None, experiment: str = "subarch", waiting: Path | None = None) -> Self:
        """Open the record, and create what is missing of it; a server may be away.

        Args:
            uri: An MLflow tracking URI; `tracking_uri()` by default.
            experiment: MLflow's name for a group of runs.
            waiting: File for what cannot be written at present; what an earlier process left in it is brought in.

        Raises:
            ConfigError: The URI names no database of MLflow, or the experiment was deleted.
            StorageError: The database is locked, or cannot be read or written.
        """
        uri = uri or tracking_uri()
        client = connect(uri)
        path = sqlite_path(uri)
        location = None if path is None else str(artifact_folder(path) / experiment)
        channel = Channel(client, uri, (experiment, location), waiting)
        channel.begin()
        return cls(channel)

    def start(
        self,
        stage: str,
        *,
        name: str,
        config: Mapping[str, Any],
        parent: str | None = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run, or continue one.

        Args:
            stage: The stage that runs: `finetune`, `search`, …
            name: Shown in lists.
            config: Recorded as parameters.
            parent: The run under which this one is shown.
            run_id: A run that was interrupted: it goes on as RUNNING, without its old error. A new run takes
                its place if the record no longer has it.
            tags: A new run has them from its first moment on: no kill leaves it without.
        """
        given = {
            **(tags or {}),
            _STAGE_TAG: stage,
            "subarch.version": version("subarch"),
            "mlflow.source.name": f"subarch {stage}",
            "mlflow.source.type": "LOCAL",
        }
        if parent is not None:
            given[PARENT_TAG] = parent
        operation = {"operation": "start", "run": run_id, "name": name, "tags": given, "time": int(time.time() * 1000)}
        found, known = self._channel.start(operation)
        run = Run(self._channel, found, known, outermost=parent is None)
        run.params(config)
        return run

    def known(self, stage: str, parent: str | None) -> list[dict[str, Any]]:
        """As `runs`, but nothing where the record does not answer: for those who can do without."""
        try:
            return self.runs(stage, parent)
        except StorageError:
            return []

    def runs(self, stage: str | None = None, parent: str | None = None) -> list[dict[str, Any]]:
        """The runs so far, oldest first.

        Args:
            stage: Only runs of this stage.
            parent: Only runs directly under this one.

        Returns:
            For each run `run_id`, `name`, `stage`, `status` (MLflow's), `parent`, `started` and `ended` (Unix
            seconds; `ended` is None while it runs), `params` (texts), `metrics` (the last value of each),
            `tags`, `error` and `traceback` (None where it did not fail).

        Raises:
            StorageError: The record does not answer.
        """
        self._channel.require()
        parent = None if parent is None else self._channel.resolved(parent)
        wanted = {_STAGE_TAG: stage, PARENT_TAG: parent}
        conditions = [f"tags.`{tag}` = '{value}'" for tag, value in wanted.items() if value is not None]
        found: list[dict[str, Any]] = []
        token = None
        with explained(self.uri):
            while True:
                page = self._client.search_runs(
                    [self._channel.experiment_id],
                    filter_string=" and ".join(conditions),
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                found += [_as_dict(run) for run in page]
                token = page.token
                if not token:
                    return found

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """The curve of a metric as (step, value), by step; of a step that was logged twice, the later value.

        Of a record that does not answer, what waits to be written there.

        Raises:
            StorageError: There is no such run.
        """
        waiting = self._channel.points(run_id, valid_key(metric))
        points: list[Any] = []
        try:
            self._channel.require()
            with explained(self.uri):
                points = self._client.get_metric_history(self._channel.resolved(run_id), valid_key(metric))
        except StorageError:
            if not waiting:
                raise
        points.sort(key=lambda point: (point.step, point.timestamp))
        return sorted({**{point.step: stored_value(point.value) for point in points}, **dict(waiting)}.items())


class UnusableRecord(Record):
    """A record that could not be opened, for those who may not need it: any use raises what opening it raised."""

    def __init__(self, error: SubarchError) -> None:
        self.uri, self._error = "", error

    def start(
        self,
        stage: str,
        *,
        name: str,
        config: Mapping[str, Any],
        parent: str | None = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Raise."""
        raise self._error

    def runs(self, stage: str | None = None, parent: str | None = None) -> list[dict[str, Any]]:
        """Raise."""
        raise self._error

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Raise."""
        raise self._error


class NullRecord(Record):
    """A record that keeps nothing, for those who track elsewhere."""

    def __init__(self) -> None:
        self.uri = ""

    def start(
        self,
        stage: str,
        *,
        name: str,
        config: Mapping[str, Any],
        parent: str | None = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """A run that nobody records."""
        return NullRun()

    def runs(self, stage: str | None = None, parent: str | None = None) -> list[dict[str, Any]]:
        """Nothing."""
        return []

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Nothing."""
        return []


def _as_dict(run: Any) -> dict[str, Any]:
    tags = dict(run.data.tags)
    running = run.info.status == "RUNNING"
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "stage": tags.get(_STAGE_TAG),
        "status": run.info.status,
        "parent": tags.get(PARENT_TAG),
        "started": run.info.start_time / 1000,
        "ended": None if running or run.info.end_time is None else run.info.end_time / 1000,
        "params": dict(run.data.params),
        "metrics": {name: stored_value(value) for name, value in run.data.metrics.items()},
        "tags": tags,
        "error": tags.get(ERROR_TAG),
        "traceback": tags.get(TRACEBACK_TAG),
    }
