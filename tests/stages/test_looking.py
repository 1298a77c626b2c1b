"""What is told of the data before anything is trained, and where it is kept."""

import json

import pytest

from stages import tiny
from subarch.api import run_stage
from subarch.errors import ConfigError
from subarch.session.session import Session
from subarch.storage import read_json

SHORT = {"max_length": 24, "loop": {"max_steps": 2}}


def told(events):
    return [event["detail"] for event in events if event["event"] == "phase" and event["name"] == "data"]


@pytest.fixture
def leaking(tmp_path):
    """(train, test) files; the test's 40 rows stand in train."""
    train = tiny.classes(tmp_path / "train.csv", count=160)
    lines = train.read_text().splitlines()
    test = tmp_path / "test.csv"
    test.write_text("\n".join(lines[:41]) + "\n")
    return train, test


def test_finetune_names_a_leak_and_keeps_what_it_told(leaking, teachers, tmp_path):
    train, test = leaking
    events = []
    settings = {**SHORT, "model": str(teachers()), "train": train, "test": test, "out": tmp_path / "out"}
    result = run_stage("finetune", settings, session=Session(on_event=events.append))
    lines = told(events)
    assert lines[0] == "text 'text', label 'label': classification, 2 classes"
    assert "40 of 40 rows of test stand both in train and in test: its score may be too good" in lines
    assert result.metrics["data"]["lines"] == lines
    assert read_json(tmp_path / "out" / "result.json")["metrics"]["data"]["overlaps"]["test in train"] == 40


def test_drop_overlap_takes_the_rows_out_of_train(leaking, teachers, tmp_path):
    train, test = leaking
    settings = {**SHORT, "model": str(teachers()), "train": train, "test": test, "out": tmp_path / "out"}
    data = run_stage("finetune", {**settings, "drop_overlap": True}).metrics["data"]
    assert data["overlaps"]["test in train"] == 0
    assert not any("stand both in" in line for line in data["lines"])
    assert any("40 rows of train stand in validation or test too and are left out" in line for line in data["lines"])


def test_compress_tells_it_in_result_and_report(compressed):
    result, out, events = compressed
    lines = told(events)
    assert lines == result.metrics["data"]["lines"]
    assert lines[0] in (out / "report.md").read_text()


def test_evaluate_says_that_it_scores_a_part_and_whether_train_held_it(leaking, school, tmp_path):
    train, test = leaking
    model = school("classes")["teacher"]
    events = []
    run_stage(
        "evaluate", {"model": model, "train": train, "out": tmp_path / "tenth"}, session=Session(on_event=events.append)
    )
    assert any("test is 16 rows carved out of train.csv" in line for line in told(events))
    events.clear()
    whole = {"model": model, "train": train, "test": test, "out": tmp_path / "whole"}
    run_stage("evaluate", whole, session=Session(on_event=events.append))
    assert "40 of 40 rows of test stand both in train and in test: its score may be too good" in told(events)


def test_a_test_file_alone_is_scored_whole(leaking, school, tmp_path):
    train, test = leaking
    model = school("classes")["teacher"]
    alone = run_stage("evaluate", {"model": model, "test": test, "out": tmp_path / "alone"})
    both = run_stage("evaluate", {"model": model, "train": train, "test": test, "out": tmp_path / "both"})
    assert alone.metrics["examples"] == 40
    assert alone.metrics["score"] == both.metrics["score"]
    assert (
        json.loads((tmp_path / "alone" / "result.json").read_text())["metrics"]["data"]["splits"]["train"]["rows"] == 0
    )


def test_nothing_is_trained_on_a_test_file(leaking, teachers, tmp_path):
    _, test = leaking
    with pytest.raises(ConfigError, match="no --train"):
        run_stage("finetune", {**SHORT, "model": str(teachers()), "test": test, "out": tmp_path / "out"})
    assert not (tmp_path / "out").exists()
