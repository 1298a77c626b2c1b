import json

import pytest

from subarch.errors import ConfigError
from subarch.stages.trials.ledger import (
    OUTCOME_TAG,
    TRIAL_TAG,
    Ending,
    Entry,
    Ledger,
    read_thresholds,
    short,
    write_thresholds,
)
from subarch.tracking.record import NullRecord

THIRD = 1 / 3


@pytest.fixture
def run(record):
    return record.start("search", name="ledger", config={})


def entry(number, **changes):
    return Entry(**{"number": number, "params": {"x": THIRD, "kind": "first"}, "seed": 7 + number, **changes})


def children(record, run):
    return {child["name"]: child for child in record.runs("trial", run.run_id)}


def test_what_ended_is_read_back_exactly(record, run):
    ledger = Ledger(record, run.run_id)
    ending = Ending(
        state="finished", metrics={"f1": THIRD}, errors={"f1": 0.01}, seconds=1.5, curve=((0.5, 0.1), (1.0, THIRD))
    )
    begun = ledger.begin(entry(0))
    ledger.point(begun, 3, {"score": 0.1})
    ledger.end(begun, ending)
    (read,) = Ledger(record, run.run_id).load()
    assert read == entry(0, run_id=begun.run_id, ending=ending)
    assert read.trial.state == "finished" and read.trial.metrics == {"f1": THIRD}
    shown = children(record, run)["trial 0"]
    assert (shown["status"], shown["metrics"]) == ("FINISHED", {"f1": THIRD, "score": 0.1})
    assert shown["params"]["kind"] == "first"


def test_what_was_in_flight_has_no_end_and_does_not_seem_to_run(record, run):
    begun = Ledger(record, run.run_id).begin(entry(0))
    assert children(record, run)["trial 0"]["status"] == "RUNNING"
    (read,) = Ledger(record, run.run_id).load()
    assert (read.run_id, read.ending, read.trial.state) == (begun.run_id, None, "running")
    assert children(record, run)["trial 0"]["status"] == "KILLED"
    again = Ledger(record, run.run_id)
    assert again.begin(read).run_id == begun.run_id
    assert children(record, run)["trial 0"]["status"] == "RUNNING"


def test_a_kill_right_after_the_outcome_is_completed(record, run):
    ledger = Ledger(record, run.run_id)
    begun = ledger.begin(entry(0))
    ledger._runs[begun.key].tags({OUTCOME_TAG: Ending(state="failed", reason="no memory").to_text()})  # and then: kill
    (read,) = Ledger(record, run.run_id).load()
    assert read.trial.state == "failed" and read.trial.reason == "no memory"
    shown = children(record, run)["trial 0"]
    assert (shown["status"], shown["error"]) == ("FAILED", "no memory")


def test_a_kill_before_the_status_keeps_the_traceback(record, run, monkeypatch):
    def kill(self, status="FINISHED"):
        raise KeyboardInterrupt

    ledger = Ledger(record, run.run_id)
    begun = ledger.begin(entry(0))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("subarch.tracking.run.Run.finish", kill)
        ledger.end(begun, Ending(state="failed", metrics={"f1": THIRD}, reason="bad"), "Traceback …\nValueError: bad\n")
    (read,) = Ledger(record, run.run_id).load()
    assert read.trial.state == "failed"
    shown = children(record, run)["trial 0"]
    assert (shown["status"], shown["error"], shown["metrics"]) == ("FAILED", "ValueError: bad", {"f1": THIRD})
    assert shown["traceback"].startswith("Traceback")


def test_a_failure_has_its_traceback(record, run):
    ledger = Ledger(record, run.run_id)
    ledger.end(ledger.begin(entry(0)), Ending(state="failed", reason="bad"), "Traceback …\nValueError: bad\n")
    shown = children(record, run)["trial 0"]
    assert shown["error"] == "ValueError: bad" and shown["traceback"].startswith("Traceback")


def test_a_lost_one_is_no_end(record, run):
    ledger = Ledger(record, run.run_id)
    ledger.end(ledger.begin(entry(0, attempt=3)), Ending(state="lost", reason="a worker died"))
    assert children(record, run)["trial 0"]["status"] == "KILLED"
    (read,) = Ledger(record, run.run_id).load()
    assert (read.ending, read.attempt) == (None, 1)


def test_of_two_runs_of_one_trial_the_one_that_ended_counts(record, run):
    first, second = Ledger(record, run.run_id), Ledger(record, run.run_id)
    first.begin(entry(0))
    begun = second.begin(entry(0))
    second.end(begun, Ending(state="finished", metrics={"f1": 0.5}))
    (read,) = Ledger(record, run.run_id).load()
    assert read.run_id == begun.run_id and read.ending is not None


def test_a_long_curve_is_thinned_and_json_is_never_cut(record, run):
    curve = tuple((step / 500, THIRD * step) for step in range(1, 501))
    text = Ending(state="finished", metrics={"f1": THIRD}, curve=curve).to_text()
    assert len(text) <= 5000
    kept = json.loads(text)["curve"]
    assert len(kept) > 30 and kept[-1][0] == 1.0
    with pytest.raises(ConfigError, match=r"parameters of trial 0 takes \d+ characters"):
        Ledger(record, run.run_id).begin(entry(0, params={f"p{n}": "x" * 100 for n in range(60)}))
    assert not children(record, run)


def test_thresholds_set_later_live_in_the_run(record, run):
    assert read_thresholds(record, run.run_id) == {}
    write_thresholds(run, {"f1": 0.5})
    write_thresholds(run, {"f1": None, "accuracy": THIRD})
    assert read_thresholds(record, run.run_id) == {"f1": None, "accuracy": THIRD}


def test_what_nobody_records_can_be_searched(record):
    ledger = Ledger(NullRecord(), None)
    assert ledger.load() == []
    begun = ledger.begin(entry(0))
    ledger.point(begun, 1, {"score": 1.0})
    ledger.end(begun, Ending(state="finished", metrics={"f1": 1.0}))


def test_a_run_has_its_tag_from_its_first_moment(record, run, monkeypatch):
    def kill(self, params):
        raise KeyboardInterrupt

    monkeypatch.setattr("subarch.tracking.run.Run.params", kill)
    with pytest.raises(KeyboardInterrupt):
        Ledger(record, run.run_id).begin(entry(4))
    (child,) = record.runs("trial", run.run_id)
    assert json.loads(child["tags"][TRIAL_TAG])["number"] == 4


def test_a_reason_is_one_short_line():
    assert short("a\n  b") == "a b"
    assert len(short("x" * 1000)) == 300
