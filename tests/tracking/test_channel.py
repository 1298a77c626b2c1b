import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from subarch.errors import ConfigError, StorageError
from subarch.tracking import channel as channel_module
from subarch.tracking.record import Record

AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of one database for all tests, since making one takes a second."""
    return tmp_path_factory.mktemp("record")


@pytest.fixture
def record(folder, tmp_path):
    return Record.open(f"sqlite:///{folder}/subarch.db", tmp_path.name, tmp_path / "record.jsonl")


@pytest.fixture
def away(record, monkeypatch):
    """Lets the record's server go away, and come back."""
    from mlflow.exceptions import MlflowException

    def failing(*args, **named):
        raise MlflowException("API request to http://x failed with exception connection refused")

    patch = pytest.MonkeyPatch()

    def go(gone):
        if not gone:
            patch.undo()
            record._channel._next_try = 0.0
            return
        for name in ("create_run", "get_run", "log_batch", "set_terminated", "update_run", "log_artifact"):
            patch.setattr(record._client, name, failing)

    yield go
    patch.undo()


def said(caplog, text):
    return [line for line in caplog.messages if text in line]


def test_a_server_that_is_away_costs_seconds_and_stops_nothing(record, tmp_path, caplog):
    assert record  # so that MLflow is imported: that takes seconds
    began = time.monotonic()
    record = Record.open(AWAY, waiting=tmp_path / "away.jsonl")
    with record.start("finetune", name="a", config={"lr": 1}) as run:
        for step in range(500):
            run.log({"loss": float(step)}, step=step)
        assert record.history(run.run_id, "loss")[:2] == [(0, 0.0), (1, 1.0)]
        with pytest.raises(StorageError, match="does not answer"):  # a search keeps its trials there
            run.conclude({"f1": 1.0}, 0, {"outcome": "{}"})
    assert time.monotonic() - began < 10
    assert len(said(caplog, "does not answer; the work goes on")) == 1
    assert said(caplog, f"what it lacks is in {tmp_path}/away.jsonl; the same command brings it in")
    with pytest.raises(StorageError, match="does not answer"):
        record.runs()
    assert record.known("candidate", run.run_id) == []


def test_a_server_that_never_answers_is_given_up_within_seconds(record, monkeypatch, tmp_path):
    assert record
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(3)

        do_POST = do_GET

    server = HTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    began = time.monotonic()
    Record.open(f"http://127.0.0.1:{server.server_port}").start("finetune", name="a", config={}).log({"loss": 1.0}, 0)
    assert time.monotonic() - began < 5


def test_the_next_process_brings_in_what_waits(folder, tmp_path, caplog):
    file = tmp_path / "record.jsonl"
    lost = Record.open(AWAY, tmp_path.name, file)
    with lost.start("compress", name="all", config={"lr": 1}) as outer:
        with lost.start("finetune", name="inner", config={}, parent=outer.run_id) as inner:
            inner.log({"loss": 0.5, "none": float("nan")}, step=3)
        outer.artifact(file)
    with file.open("a") as whole:
        whole.write('{"operation": "batch", "ru')  # a kill
    record = Record.open(f"sqlite:///{folder}/subarch.db", tmp_path.name, file)
    first, second = sorted(record.runs(), key=lambda run: run["name"])
    assert (first["name"], first["params"], first["status"]) == ("all", {"lr": "1"}, "FINISHED")
    assert (second["name"], second["parent"], second["stage"]) == ("inner", first["run_id"], "finetune")
    assert record.history(second["run_id"], "loss") == [(3, 0.5)]
    assert not file.exists() and second["ended"] >= second["started"]
    again = record.start("compress", name="all", config={"lr": 1}, run_id=outer.run_id)  # as run.json names it
    assert again.run_id == first["run_id"]


def test_what_waits_is_not_written_twice(folder, tmp_path):
    file = tmp_path / "record.jsonl"
    Record.open(AWAY, tmp_path.name, file).start("finetune", name="a", config={"lr": 1}).finish()
    content = file.read_text()
    for _ in range(2):  # a kill before the file was removed
        file.write_text(content)
        record = Record.open(f"sqlite:///{folder}/subarch.db", tmp_path.name, file)
    (read,) = record.runs()
    assert (read["params"], read["status"]) == ({"lr": "1"}, "FINISHED")


def test_a_server_that_dies_and_comes_back(record, away, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("subarch.tracking.run._FLUSH_SECONDS", 0.0)
    with record.start("finetune", name="a", config={"lr": 1}) as run:
        run.log({"loss": 3.0}, step=0)
        away(True)
        run.log({"loss": 2.0}, step=1)
        with record.start("training", name="child", config={}, parent=run.run_id):
            pass
        kept = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
        assert kept[2]["metrics"][0][1] == 2.0
        away(False)
        run.log({"loss": 1.0}, step=2)
        assert said(caplog, "answers again and has everything")
    assert record.history(run.run_id, "loss") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert {read["name"]: read["parent"] for read in record.runs()} == {"a": None, "child": run.run_id}
    assert {read["status"] for read in record.runs()} == {"FINISHED"}
    assert not (tmp_path / "record.jsonl").exists()


def test_a_server_that_dies_before_the_end_is_asked_once_more(record, away, tmp_path):
    with record.start("finetune", name="a", config={}) as run:
        away(True)
        run.tags({"colour": "blue"})
        away(False)
        record._channel._next_try = time.monotonic() + 100
    assert record.runs()[0]["tags"]["colour"] == "blue" and record.runs()[0]["status"] == "FINISHED"


def test_it_is_asked_rarely(record, away, monkeypatch):
    run = record.start("finetune", name="a", config={})
    away(True)
    asked = []
    broken = record._client.log_batch
    monkeypatch.setattr(record._client, "log_batch", lambda *a, **k: (asked.append(1), broken(*a, **k)))
    for _ in range(50):
        run.tags({"a": "b"})
    assert len(asked) == 1


def test_what_the_record_refuses_stops_nothing(record, caplog):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    run = record.start("finetune", name="a", config={})
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*args, **named):
            raise MlflowException("too long", error_code=INVALID_PARAMETER_VALUE)

        patch.setattr(record._client, "log_batch", refuse)
        run.tags({"a": "b"})
    run.finish()
    assert said(caplog, "too long") and record.runs()[0]["status"] == "FINISHED"


def test_a_run_that_the_record_lost_is_made_anew(record, away, folder, tmp_path):
    run = record.start("finetune", name="a", config={"lr": 1})
    away(True)
    run.log({"loss": 1.0}, step=7)
    run.finish()
    away(False)
    other = Record.open(f"sqlite:///{folder}/other.db", tmp_path.name, tmp_path / "record.jsonl")
    (read,) = other.runs()
    assert (read["name"], read["status"]) == ("a", "FINISHED")
    assert other.history(read["run_id"], "loss") == [(7, 1.0)]


def test_a_foreign_file_of_that_name_stays(folder, tmp_path):
    (tmp_path / "record.jsonl").write_text("mine\n")
    Record.open(f"sqlite:///{folder}/subarch.db", tmp_path.name, tmp_path / "record.jsonl")
    assert (tmp_path / "record.jsonl").read_text() == "mine\n"


@pytest.mark.parametrize("damage", ["delete", "overwrite"])
def test_a_database_that_is_lost_midway_stops_nothing(folder, tmp_path, damage, caplog, monkeypatch):
    import shutil

    monkeypatch.setattr(channel_module, "_RETRY_SECONDS", 0.0)
    Record.open(f"sqlite:///{folder}/subarch.db")
    file = shutil.copy(folder / "subarch.db", tmp_path / "copy.db")
    record = Record.open(f"sqlite:///{file}", waiting=tmp_path / "record.jsonl")
    with record.start("finetune", name="a", config={}) as run:
        run.log({"loss": 1.0}, step=0)
        if damage == "delete":
            file.unlink()
        else:
            file.write_bytes(bytes(range(256)) * 200)
        run.log({"loss": 1.0}, step=1)
    assert len(said(caplog, "the work goes on")) == 1 and not said(caplog, "autoflush")
    assert said(caplog, "the same command brings it in") and (tmp_path / "record.jsonl").exists()


def test_a_read_only_place_is_named_at_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    began = time.monotonic()
    for file in (tmp_path / "new.db", folder / "subarch.db"):
        with pytest.raises(StorageError, match=f"the record {file} cannot be written: .* is read-only") as caught:
            Record.open(f"sqlite:///{file}")
        assert "MLFLOW_TRACKING_URI" in caught.value.hint
    assert time.monotonic() - began < 2


def test_a_server_that_refuses_is_no_server_that_is_away(monkeypatch):
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises((StorageError, ConfigError), match="cannot be used"):
        Record.open(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
