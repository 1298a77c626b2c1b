"""The record: what happened in every run, on MLflow, so that its own pages and any colleague's tools read it.

The driver is its only writer; work that runs elsewhere sends its results to the driver.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Self

from subarch.errors import ConfigError
from subarch.tracking.database import artifact_folder, connect, explained, sqlite_path
from subarch.tracking.run import ERROR_TAG, TRACEBACK_TAG, NullRun, Run, stored_value, valid_key

__all__ = ["NullRecord", "NullRun", "Record", "Run", "tracking_uri"]

_log = logging.getLogger(__name__)

_STAGE_TAG = "subarch.stage"
_PARENT_TAG = "mlflow.parentRunId"


def tracking_uri() -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else `subarch.db` in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///subarch.db"


class Record:
    """The runs of one experiment; made by `Record.open`."""

    def __init__(self, client: Any, uri: str, experiment_id: str) -> None:
        self.uri = uri
        self._client = client
        self._experiment_id = experiment_id

    @classmethod
    def open(cls, uri: str | None = None, experiment: str = "subarch") -> Self:
        """Open the record, and create what is missing of it.

        Args:
            uri: An MLflow tracking URI; `tracking_uri()` by default.
            experiment: MLflow's name for a group of runs.

        Raises:
            ConfigError: The URI names no database of MLflow, or the experiment was deleted.
            StorageError: The database is locked, or cannot be read, written or reached.
        """
        uri = uri or tracking_uri()
        client = connect(uri)
        path = sqlite_path(uri)
        with explained(uri):
            location = None if path is None else str(artifact_folder(path) / experiment)
            return cls(client, uri, _experiment_id(client, experiment, location))

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

        Raises:
            StorageError: The database cannot be written.
        """
        run = None if run_id is None else self._continue(run_id)
        if run is None:
            given = {
                **(tags or {}),
                _STAGE_TAG: stage,
                "subarch.version": version("subarch"),
                "mlflow.source.name": f"subarch {stage}",
                "mlflow.source.type": "LOCAL",
            }
            if parent is not None:
                given[_PARENT_TAG] = parent
            with explained(self.uri):
                info = self._client.create_run(self._experiment_id, tags=given, run_name=name).info
            run = Run(self._client, info.run_id, self.uri)
        run.params(config)
        return run

    def runs(self, stage: str | None = None, parent: str | None = None) -> list[dict[str, Any]]:
        """The runs so far, oldest first.

        Args:
            stage: Only runs of this stage.
            parent: Only runs directly under this one.

        Returns:
            For each run `run_id`, `name`, `stage`, `status` (MLflow's), `parent`, `started` and `ended` (Unix
            seconds; `ended` is None while it runs), `params` (texts), `metrics` (the last value of each),
            `tags`, `error` and `traceback` (None where it did not fail).
        """
        wanted = {_STAGE_TAG: stage, _PARENT_TAG: parent}
        conditions = [f"tags.`{tag}` = '{value}'" for tag, value in wanted.items() if value is not None]
        found: list[dict[str, Any]] = []
        token = None
        with explained(self.uri):
            while True:
                page = self._client.search_runs(
                    [self._experiment_id],
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

        Raises:
            StorageError: There is no such run.
        """
        with explained(self.uri):
            points = self._client.get_metric_history(run_id, valid_key(metric))
        points.sort(key=lambda point: (point.step, point.timestamp))
        return list({point.step: stored_value(point.value) for point in points}.items())

    def _continue(self, run_id: str) -> Run | None:
        from mlflow.exceptions import MlflowException

        with explained(self.uri):
            try:
                old = self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                old = None
            if old is None or old.info.lifecycle_stage != "active":
                _log.warning("the record no longer has run %s: a new one begins", run_id)
                return None
            self._client.update_run(run_id, status="RUNNING")
            for tag in {ERROR_TAG, TRACEBACK_TAG} & set(old.data.tags):
                self._client.delete_tag(run_id, tag)
        return Run(self._client, run_id, self.uri, old.data.params)


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


def _experiment_id(client: Any, name: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
    if found.lifecycle_stage != "active":
        raise ConfigError(
            f"the experiment {name} was deleted",
            f"mlflow experiments restore --experiment-id {found.experiment_id}",
        )
    return str(found.experiment_id)


def _as_dict(run: Any) -> dict[str, Any]:
    tags = dict(run.data.tags)
    running = run.info.status == "RUNNING"
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "stage": tags.get(_STAGE_TAG),
        "status": run.info.status,
        "parent": tags.get(_PARENT_TAG),
        "started": run.info.start_time / 1000,
        "ended": None if running or run.info.end_time is None else run.info.end_time / 1000,
        "params": dict(run.data.params),
        "metrics": {name: stored_value(value) for name, value in run.data.metrics.items()},
        "tags": tags,
        "error": tags.get(ERROR_TAG),
        "traceback": tags.get(TRACEBACK_TAG),
    }
