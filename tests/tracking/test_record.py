import itertools
import logging
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.record_contract import RecordContract
from subarch.errors import ConfigError, StorageError
from subarch.tracking import run as run_module
from subarch.tracking.record import NullRecord, Record, tracking_uri

names = itertools.count()


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """One database for all tests, since making one takes a second; each test has its own experiment."""
    return f"sqlite:///{tmp_path_factory.mktemp('record')}/sub/folder/subarch.db"


@pytest.fixture
def copy(uri, tmp_path):
    """A database to spoil; MLflow keeps what it opened once, so that it needs a path of its own."""
    Record.open(uri)
    return Path(shutil.copy(uri.removeprefix("sqlite:///"), tmp_path / "copy.db"))


@pytest.fixture
def record(uri):
    return Record.open(uri, experiment=f"experiment-{next(names)}")


class TestRecord(RecordContract):
    @pytest.fixture(autouse=True)
    def _uri(self, uri):
        self.uri = uri

    def make(self):
        return Record.open(self.uri, experiment=f"experiment-{next(names)}")


class TestNullRecord(RecordContract):
    keeps = False

    def make(self):
        return NullRecord()


def test_default_uri(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == "sqlite:///subarch.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://team.example")
    assert tracking_uri() == "https://team.example"


def test_nothing_is_reported_over_the_network(record):
    from mlflow.telemetry import get_telemetry_client

    assert get_telemetry_client() is None


def test_opening_is_quiet_and_leaves_nothing_behind(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    levels = logging.getLogger("mlflow").level, logging.getLogger("alembic").level
    record = Record.open()
    assert [path.name for path in tmp_path.iterdir()] == ["subarch.db"]
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger("mlflow").level, logging.getLogger("alembic").level) == levels
    monkeypatch.chdir("/")  # a relative path is meant from where the record was opened
    with record.start("finetune", name="a", config={}) as run:
        run.log({"loss": 1.0}, step=0)
    assert len(Record.open(f"sqlite:///{tmp_path}/subarch.db").runs()) == 1


def test_files_lie_beside_the_database(tmp_path, uri, record):
    file = tmp_path / "result.json"
    file.write_text("{}")
    with record.start("export", name="a", config={}) as run:
        run.artifact(file)
    folder = os.path.dirname(uri.removeprefix("sqlite:///"))
    found = [path for path, _, files in os.walk(f"{folder}/mlartifacts") if "result.json" in files]
    assert len(found) == 1
    assert run.run_id in found[0]


def test_points_are_written_in_batches(record, monkeypatch):
    run = record.start("finetune", name="a", config={})
    run.log({"loss": 1.0}, step=0)
    assert record.history(run.run_id, "loss") == []
    for step in range(1, 200):
        run.log({"loss": 1.0}, step=step)
    assert len(record.history(run.run_id, "loss")) == 200
    run.log({"loss": 1.0}, step=200)
    assert len(record.history(run.run_id, "loss")) == 200
    monkeypatch.setattr(run_module, "_FLUSH_SECONDS", 0.0)
    run.log({"loss": 1.0}, step=201)
    assert len(record.history(run.run_id, "loss")) == 202
    run.finish()


def test_few_writes_make_a_short_run(record, monkeypatch):
    """Each waits for the disk several times."""
    calls, client = [], record._client

    def counted(name):
        method = getattr(client, name)
        return lambda *given, **named: (calls.append(name), method(*given, **named))[1]

    for name in ("create_run", "get_run", "log_batch", "set_terminated"):
        monkeypatch.setattr(client, name, counted(name))
    run = record.start("trial", name="a", config={"lr": 1})
    run.log({"score": 0.5}, step=1)
    run.conclude({"f1": 0.5}, 0, {"outcome": "{}"})
    run.finish()
    assert calls == ["create_run", "log_batch", "log_batch", "set_terminated"]


def test_a_conclusion_that_is_not_written_waits(record, monkeypatch):
    run = record.start("trial", name="a", config={})
    with monkeypatch.context() as patch:

        def busy(*args, **kwargs):
            raise sqlite3.OperationalError("database is locked")

        patch.setattr(record._client, "log_batch", busy)
        with pytest.raises(StorageError, match="locked"):
            run.conclude({"f1": 0.5}, 0, {"outcome": "{}"})
    run.finish()
    (read,) = record.runs()
    assert read["metrics"] == {"f1": 0.5} and "outcome" not in read["tags"]


def test_changed_parameter_keeps_its_first_value(record, caplog):
    run = record.start("finetune", name="a", config={"lr": 1, "out": "here"})
    run.finish("KILLED")
    record.start("finetune", name="a", config={"lr": 1, "out": "there", "new": 2}, run_id=run.run_id).finish()
    assert record.runs()[0]["params"] == {"lr": "1", "out": "here", "new": "2"}
    assert [entry.getMessage() for entry in caplog.records] == ["out was here when this run began, and is there now"]


def test_many_parameters_and_tags(record):
    many = {f"key{index}": index for index in range(250)}
    with record.start("finetune", name="a", config=many) as run:
        run.tags(many)
    (read,) = record.runs()
    assert len(read["params"]) == 250
    assert read["tags"]["key249"] == "249"


def test_lost_run_begins_anew(record, caplog):
    with record.start("finetune", name="a", config={}, run_id="0" * 32) as run:
        pass
    assert run.run_id != "0" * 32
    assert "no longer has run" in caplog.text


def test_more_runs_than_one_page(record, monkeypatch):
    search = record._client.search_runs
    monkeypatch.setattr(record._client, "search_runs", lambda *a, **k: search(*a, **k, max_results=2))
    for index in range(5):
        record.start("finetune", name=str(index), config={}).finish()
    assert sorted(run["name"] for run in record.runs()) == ["0", "1", "2", "3", "4"]


def test_mlflow_sees_parents_and_names(record, uri):
    from mlflow.tracking import MlflowClient

    outer = record.start("compress", name="all", config={})
    inner = record.start("finetune", name="one", config={"lr": 1}, parent=outer.run_id)
    inner.log({"loss": 0.5}, step=7)
    inner.finish()
    outer.finish()
    seen = MlflowClient(tracking_uri=uri).get_run(inner.run_id)
    assert seen.info.run_name == "one"
    assert seen.info.status == "FINISHED"
    assert seen.data.tags["mlflow.parentRunId"] == outer.run_id
    assert seen.data.tags["mlflow.source.name"] == "subarch finetune"
    assert seen.data.metrics == {"loss": 0.5}


def test_deleted_experiment(uri):
    record = Record.open(uri, experiment="gone")
    record._client.delete_experiment(record._channel.experiment_id)
    with pytest.raises(ConfigError, match="gone was deleted") as caught:
        Record.open(uri, experiment="gone")
    assert "mlflow experiments restore" in caught.value.hint


# databases that cannot be used


def test_not_a_database(tmp_path):
    file = tmp_path / "notes.db"
    file.write_text("these are notes, not a database, and they are long enough to be sure of it" * 3)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="is not a database") as caught:
        Record.open(f"sqlite:///{file}")
    assert "MLFLOW_TRACKING_URI" in caught.value.hint
    assert file.read_bytes() == before


def test_database_of_another_program(tmp_path):
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    with pytest.raises(ConfigError, match="tables of another program"):
        Record.open(f"sqlite:///{file}")


def test_database_of_another_version(copy, capfd):
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    connection.close()
    with pytest.raises(ConfigError, match="another version of MLflow") as caught:
        Record.open(f"sqlite:///{copy}")
    assert "mlflow db upgrade" in caught.value.hint
    assert capfd.readouterr() == ("", "")


def test_database_that_stays_locked(copy, monkeypatch):
    monkeypatch.setattr("subarch.tracking.database._LOCK_SECONDS", 0.1)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="locked by another process"):
        Record.open(f"sqlite:///{copy}")
    connection.execute("ROLLBACK")
    connection.close()
    Record.open(f"sqlite:///{copy}")


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Record.open(f"sqlite:///{tmp_path}/file/subarch.db")


def test_folder_in_place_of_a_database(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        Record.open(f"sqlite:///{tmp_path}")


def test_unknown_scheme_hides_the_password():
    with pytest.raises((ConfigError, StorageError)) as caught:
        Record.open("carrier://pigeon:secret@roof/loft")
    assert "carrier://***@roof/loft" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_busy_database_stops_no_training(record, monkeypatch, caplog):
    run = record.start("finetune", name="a", config={})
    monkeypatch.setattr(run_module, "_FLUSH_SECONDS", 0.0)
    with monkeypatch.context() as patch:

        def busy(*args, **kwargs):
            raise sqlite3.OperationalError("database is locked")

        patch.setattr(record._client, "log_batch", busy)
        run.log({"loss": 1.0}, step=0)
        run.log({"loss": 0.5}, step=1)
        assert [line for line in caplog.messages if "is locked by another process; the work goes on" in line]
        assert record.history(run.run_id, "loss") == [(0, 1.0), (1, 0.5)]
        with pytest.raises(ValueError, match="the first trouble"), run:
            raise ValueError("the first trouble")
        assert len([line for line in caplog.messages if "the work goes on" in line]) == 1
    assert record.runs()[0]["status"] == "RUNNING"
    record._channel.close()
    assert record.history(run.run_id, "loss") == [(0, 1.0), (1, 0.5)]
    assert (record.runs()[0]["status"], record.runs()[0]["error"]) == ("FAILED", "ValueError: the first trouble")


# kills and several writers


WRITER = """
import sys
from subarch.tracking import run as run_module
from subarch.tracking.record import Record
run_module._FLUSH_SECONDS = 0.0
run = Record.open(sys.argv[1]).start("finetune", name="writer", config={"lr": 1})
step = 0
while True:
    run.log({"loss": float(step)}, step=step)
    print(run.run_id, step, flush=True)
    step += 1
"""


def test_kill_loses_at_most_the_step_at_hand(copy):
    uri = f"sqlite:///{copy}"
    process = subprocess.Popen([sys.executable, "-c", WRITER, uri], stdout=subprocess.PIPE, text=True)
    with process:
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        lines += [line for line in process.stdout if line.endswith("\n")]
    run_id, told = lines[-1].split()
    record = Record.open(uri)
    (read,) = record.runs()
    assert (read["run_id"], read["status"]) == (run_id, "RUNNING")
    steps = [step for step, _ in record.history(run_id, "loss")]
    assert steps == list(range(len(steps)))
    assert len(steps) >= int(told) + 1
    with record.start("finetune", name="writer", config={"lr": 1}, run_id=run_id) as run:
        run.log({"loss": 0.0}, step=len(steps))
    assert [read["status"] for read in record.runs()] == ["FINISHED"]


def write_runs(uri, ready, count):
    ready.wait()
    record = Record.open(uri)
    with record.start("search", name="outer", config={}) as outer:
        for index in range(count):
            with record.start("finetune", name=str(index), config={"n": index}, parent=outer.run_id) as run:
                run.log({"loss": float(index)}, step=0)


def test_processes_that_start_at_once_all_write(tmp_path):
    uri = f"sqlite:///{tmp_path}/subarch.db"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    writers = [context.Process(target=write_runs, args=(uri, ready, 4)) for _ in range(2)]
    for writer in writers:
        writer.start()
    ready.set()
    for writer in writers:
        writer.join(timeout=60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    runs = Record.open(uri).runs()
    assert len(runs) == 10
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert not list(tmp_path.glob(".*"))
