"""The way to the record, which may be slow, away or damaged: what cannot be written waits, and the work goes on.

What waits is kept in order, in memory and in a file. It is written as soon as the record answers again: every half a
minute while the work goes on, at its end, and by the next process that opens the record with the same file.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from subarch.errors import ConfigError, StorageError, SubarchError
from subarch.tracking.database import AwayError, RefusedError, explained, shown

_log = logging.getLogger(__name__)

Operation = dict[str, Any]
"""One write as JSON: `operation` is start, batch, artifact or end; `run` is the run it belongs to."""

ERROR_TAG = "subarch.error"
TRACEBACK_TAG = "subarch.traceback"
PARENT_TAG = "mlflow.parentRunId"
_ID_TAG = "subarch.local_id"
"""Of a run that began while the record was away, or that the record lost: the name that it has here."""
_LOCAL = "local-"
_RETRY_SECONDS = 30.0
_PATIENCE = 10.0
"""A record that answers with an error after so long is asked again after ten times as long: it takes a tenth of the
time at most."""
_HEADER = {"subarch": "what the record lacks; the same command writes it there"}


class Channel:
    """Writes to one experiment.

    Args:
        client: An `MlflowClient`.
        uri: The record, for messages.
        experiment: Its name and, for a new one, the folder of its files.
        file: Where what cannot be written waits; without one it waits in memory.
    """

    def __init__(self, client: Any, uri: str, experiment: tuple[str, str | None], file: Path | None = None) -> None:
        self.client, self.uri = client, uri
        self._experiment, self._found_experiment = experiment, ""
        self._file = file
        self._waiting = _read(file)
        self._starts: dict[str, Operation] = {}
        self._ids: dict[str, str] = {}
        self._trouble: SubarchError | None = None
        self._next_try = 0.0

    @property
    def experiment_id(self) -> str:
        """MLflow's number of the experiment, which is created if it is not there.

        Raises:
            ConfigError: It was deleted.
            StorageError: The record cannot be used.
        """
        if not self._found_experiment:
            with explained(self.uri):
                self._found_experiment = _experiment_id(self.client, *self._experiment)
        return self._found_experiment

    def begin(self) -> None:
        """Make sure that the record is there, and bring in what waits from earlier.

        Raises:
            ConfigError: It is there, but cannot be used.
            StorageError: It cannot be written, for another reason than that nobody answers.
        """
        began = time.monotonic()
        try:
            assert self.experiment_id
        except AwayError as error:
            self._suffer(error, began)
            return
        self.catch_up()

    def start(self, operation: Operation) -> tuple[str, dict[str, str]]:
        """Start a run, or go on with the one that `operation` names.

        Returns:
            Its identifier, and the parameters that the record has of it.
        """
        run = operation["run"] or f"{_LOCAL}{uuid.uuid4().hex}"
        known: dict[str, str] = {}
        began = time.monotonic()
        if self._may_write(began):
            try:
                real, known = self._start(operation)
            except SubarchError as error:
                self._suffer(error, began)
            else:
                self._starts[real] = {**operation, "run": real, "begun": True}
                self._ids[run] = real
                return real, known
        self._starts[run] = {**operation, "run": run}
        self._keep({**operation, "run": run})
        return run, known

    def write(self, operation: Operation) -> None:
        """Write, or let it wait."""
        began = time.monotonic()
        if self._may_write(began):
            try:
                self._apply(operation)
                return
            except RefusedError as error:
                _log.warning("%s", error.message)
                return
            except SubarchError as error:
                self._suffer(error, began)
        self._keep(operation)

    def write_now(self, operation: Operation) -> None:
        """Write, with all that waits.

        Raises:
            StorageError: The record cannot be written; the operation does not wait.
        """
        if not self.catch_up():
            assert self._trouble is not None
            raise StorageError(self._trouble.message, self._trouble.hint)
        self._apply(operation)

    def catch_up(self) -> bool:
        """Write what waits; whether nothing waits any more."""
        began, done = time.monotonic(), 0
        try:
            for operation in self._waiting:
                try:
                    self._apply(operation, again=True)
                except RefusedError as error:
                    _log.warning("%s", error.message)
                done += 1
        except SubarchError as error:
            self._suffer(error, began)
        finally:
            del self._waiting[:done]
            if done:
                self._store()
        if done and not self._waiting and self._trouble is not None:
            _log.warning("the record %s answers again and has everything", shown(self.uri))
            self._trouble = None
        return not self._waiting

    def close(self) -> None:
        """Write what waits if it can be, and say where it waits if not."""
        if self._waiting and not self.catch_up():
            where = "waits in memory" if self._file is None else f"is in {self._file}; the same command brings it in"
            _log.warning("the record %s still cannot be written: what it lacks %s", shown(self.uri), where)

    def points(self, run: str, metric: str) -> list[tuple[int, float]]:
        """The points of a curve that wait."""
        batches = (each["metrics"] for each in self._waiting if each["operation"] == "batch" and each["run"] == run)
        return [(step, value) for batch in batches for name, value, _, step in batch if name == metric]

    def resolved(self, run: str) -> str:
        """The record's own identifier of a run, as far as it is known."""
        return self._ids.get(run, run)

    def require(self) -> None:
        """Raise AwayError where it is known that nobody answers at present."""
        if isinstance(self._trouble, AwayError) and time.monotonic() < self._next_try:
            raise self._trouble

    def find(self, run: str) -> Any:
        """MLflow's run of an identifier; None where the record has none."""
        from mlflow.exceptions import MlflowException

        with explained(self.uri):
            real = self.resolved(run)
            if not real.startswith(_LOCAL):
                try:
                    found = self.client.get_run(real)
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
                else:
                    return found if found.info.lifecycle_stage == "active" else None
            tagged = self.client.search_runs(
                [self.experiment_id], filter_string=f"tags.`{_ID_TAG}` = '{run}'", max_results=1
            )
        return tagged[0] if tagged else None

    def _may_write(self, now: float) -> bool:
        """Whether nothing waits, after another try if it is time for one."""
        if self._trouble is not None and now < self._next_try:
            return False
        return not self._waiting or self.catch_up()

    def _suffer(self, error: SubarchError, began: float) -> None:
        now = time.monotonic()
        self._next_try = now + max(_RETRY_SECONDS, _PATIENCE * (now - began))
        if self._trouble is None:
            where = "in memory" if self._file is None else f"in {self._file}"
            _log.warning("%s; the work goes on, and what happens is kept %s until then", error.message, where)
        self._trouble = error

    def _keep(self, operation: Operation) -> None:
        started = any(each["operation"] == "start" and each["run"] == operation["run"] for each in self._waiting)
        if operation["operation"] != "start" and not started:
            self._keep(self._starts[operation["run"]])
        self._waiting.append(operation)
        self._store(operation)

    def _store(self, added: Operation | None = None) -> None:
        """Bring the file up to date; memory has everything too, so that a full disk costs a warning at most."""
        if self._file is None:
            return
        with suppress(OSError):
            if not self._waiting:
                self._file.unlink(missing_ok=True)
            elif added is not None and len(self._waiting) > 1:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(added) + "\n")
            else:
                lines = (json.dumps(each) + "\n" for each in (_HEADER, *self._waiting))
                self._file.write_text("".join(lines), encoding="utf-8")

    def _start(self, operation: Operation, *, again: bool = False) -> tuple[str, dict[str, str]]:
        run, tags = operation["run"], dict(operation["tags"])
        found = None if run is None else self.find(run)
        with explained(self.uri):
            if found is not None:
                real = str(found.info.run_id)
                if operation.get("begun"):
                    return real, dict(found.data.params)
                self.client.update_run(real, status="RUNNING")
                for tag in {ERROR_TAG, TRACEBACK_TAG} & set(found.data.tags):
                    self.client.delete_tag(real, tag)
                return real, dict(found.data.params)
            if run is not None:
                tags[_ID_TAG] = run
                if not again:
                    _log.warning("the record no longer has run %s: a new one begins", run)
            if PARENT_TAG in tags:
                tags[PARENT_TAG] = self._real(tags[PARENT_TAG])
            info = self.client.create_run(
                self.experiment_id, start_time=operation["time"], tags=tags, run_name=operation["name"]
            ).info
            return str(info.run_id), {}

    def _real(self, run: str) -> str:
        if run not in self._ids:
            found = self.find(run) if run.startswith(_LOCAL) else None
            self._ids[run] = run if found is None else str(found.info.run_id)
        return self._ids[run]

    def _apply(self, operation: Operation, *, again: bool = False) -> None:
        """Write an operation; `again` where it waited, so that some of it may be there already."""
        if operation["operation"] == "start":
            self._ids[operation["run"]], _ = self._start(operation, again=again)
            return
        run = self._real(operation["run"])
        with explained(self.uri):
            match operation["operation"]:
                case "batch":
                    self._batch(run, operation, again=again)
                case "artifact":
                    self._artifact(run, Path(operation["path"]))
                case "end":
                    self.client.set_terminated(run, operation["status"], operation["time"])

    def _batch(self, run: str, operation: Operation, *, again: bool) -> None:
        from mlflow.entities import Metric, Param, RunTag

        known = self.client.get_run(run).data.params if again and operation["params"] else {}
        self.client.log_batch(
            run,
            metrics=[Metric(*point) for point in operation["metrics"]],
            params=[Param(*pair) for pair in operation["params"] if pair[0] not in known],
            tags=[RunTag(*pair) for pair in operation["tags"]],
        )

    def _artifact(self, run: str, path: Path) -> None:
        try:
            if path.is_dir():
                self.client.log_artifacts(run, str(path), path.name)
            elif path.exists():
                self.client.log_artifact(run, str(path))
        except OSError as error:  # the network's errors are of this kind too
            raise StorageError(f"the record {shown(self.uri)} does not take {path.name}: {error}") from error


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


def _read(file: Path | None) -> list[Operation]:
    """What waits in a file; nothing of a file that is not ours. A line that a kill cut is left out."""
    if file is None:
        return []
    try:
        first, *lines = file.read_text(encoding="utf-8").splitlines()
        if json.loads(first) != _HEADER:
            return []
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return [each for each in found if isinstance(each, dict) and {"operation", "run"} <= each.keys()]
