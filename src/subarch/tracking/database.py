"""Opening the record's database: created whole or not at all, and every failure told in one line."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from subarch.errors import ConfigError, MissingExtraError, StorageError, SubarchError
from subarch.storage import storage_errors

_LOCK_SECONDS = 20.0  # what MLflow itself waits for a writer on SQLite
_SQLITE = "sqlite:///"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
_LOUD = ("mlflow", "alembic", "urllib3")
_HTTP = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""A server that does not answer within seconds is asked again later; MLflow would wait for minutes."""
# MLflow reports every use to its makers over the network, unless this is set before any of it is imported, here or in
# another module of this room.
for _name, _value in {"MLFLOW_DISABLE_TELEMETRY": "true", **_HTTP}.items():
    os.environ.setdefault(_name, _value)
_ANOTHER_DATABASE = "point MLFLOW_TRACKING_URI at another one, such as sqlite:///other.db"
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


def sqlite_path(uri: str) -> Path | None:
    """The absolute path behind a `sqlite:///` URI; None for a server and for a database in memory."""
    if not uri.startswith(_SQLITE):
        return None
    name = uri.removeprefix(_SQLITE).partition("?")[0]
    return None if name in ("", ":memory:") else Path(name).absolute()


def connect(uri: str) -> Any:
    """An `MlflowClient` for the URI; a SQLite database that is not there yet is created, its folder too.

    Raises:
        ConfigError: The URI has a scheme that MLflow does not know, or its file is no database of MLflow.
        StorageError: The database is locked, cannot be read or written, or cannot be reached.
    """
    with warnings.catch_warnings():
        # MLflow's own use of SQLAlchemy: nothing that our users could change.
        warnings.simplefilter("ignore", DeprecationWarning)
        from mlflow.tracking import MlflowClient  # a second of import, which --help must not pay

        with explained(uri):
            path = sqlite_path(uri)
            if path is not None:
                _create(path)
                _check(path)
                uri = f"{_SQLITE}{path}"
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn MLflow's failures into one line, and keep its log and tracebacks off the terminal meanwhile."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the record {shown(uri)} needs the Python package {error.name}", f"pip install {error.name}"
        ) from error
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error) as error:
        raise _translated(uri, error) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _create(path: Path) -> None:
    """Build an empty database beside `path`, then put it in place unless another process was faster.

    MLflow builds its tables in dozens of steps: a kill between two of them leaves a file that it cannot open
    again, and two processes that build at once break each other.
    """
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(
                f"the record {path} cannot be written: not a folder: {error.filename}", _ANOTHER_DATABASE
            ) from error
        _require_writable(path.parent, path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with _without_sync():
                SqlAlchemyStore(f"{_SQLITE}{temporary}", str(artifact_folder(path))).engine.dispose()
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(temporary, path)  # unlike a rename, it never replaces what is there
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _without_sync() -> Iterator[None]:
    """Let SQLite connections made by this thread not wait for the disk: over a thousand waits become one."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    builder = threading.get_ident()

    def relax(connection: sqlite3.Connection, _: object) -> None:
        if threading.get_ident() == builder:
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


def artifact_folder(path: Path) -> Path:
    """Where the files of runs lie, for a database on this machine."""
    return path.with_name("mlartifacts")


def _check(path: Path) -> None:
    """Fail early on what MLflow would try ten times over two minutes."""
    if path.is_file():
        _require_writable(path, path)
        _require_writable(path.parent, path)
    # "rw", since the first reader after a kill rolls back what was half-written.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "experiments" not in tables:
        raise ConfigError(f"{path} holds tables of another program, expected a database of MLflow", _ANOTHER_DATABASE)


def _require_writable(place: Path, record: Path) -> None:
    """Raise StorageError where nothing can be written; a record needs its folder too, for its journal."""
    if os.access(place, os.W_OK):
        return
    raise StorageError(f"the record {record} cannot be written: {place} is read-only", _ANOTHER_DATABASE)


class RefusedError(StorageError):
    """The record will not take this, however often it is asked."""


class AwayError(StorageError):
    """Nobody answers."""


def _translated(uri: str, error: Exception) -> SubarchError:
    text = str(error)
    record = f"the record {shown(uri)}"
    line = shown(_reason(text))
    if "is locked" in text:
        return StorageError(f"{record} is locked by another process", f"wait for it, or {_ANOTHER_DATABASE}")
    if "failed with exception" in text or "failed with timeout" in text:
        return AwayError(f"{record} does not answer", f"start its server, or {_ANOTHER_DATABASE}")
    if "malformed" in text or "disk I/O error" in text:
        return StorageError(f"{record} is damaged: {line}", f"restore it, or {_ANOTHER_DATABASE}")
    if "not a database" in text:
        return ConfigError(f"{record} is not a database, expected one of MLflow", _ANOTHER_DATABASE)
    if "database schema" in text or "locate revision" in text:
        return ConfigError(
            f"{record} was written by another version of MLflow",
            f"back it up and run `mlflow db upgrade`, or {_ANOTHER_DATABASE}",
        )
    if "readonly" in text or "unable to open" in text or "disk is full" in text:
        return StorageError(f"{record} cannot be written: {line}", _ANOTHER_DATABASE)
    if getattr(error, "error_code", None) in _REFUSALS and "sqlite3" not in text:
        return RefusedError(f"{record} refuses what it is told: {line}")
    return StorageError(f"{record} cannot be used: {line}", _ANOTHER_DATABASE)


def _reason(text: str) -> str:
    """The line of a failure that says why: SQLAlchemy puts SQLite's reason into parentheses, behind its own advice."""
    found = re.search(r"\(sqlite3\.\w+\) (.+)", text)
    return found[1] if found else next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


def shown(text: str) -> str:
    """Text without the password of a URI."""
    return _PASSWORD.sub("***@", text)
