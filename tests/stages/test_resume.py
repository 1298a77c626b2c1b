"""Killed at any moment, `compress` goes on where it was and ends where it would have ended."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from stages import tiny
from starting import Started

STOPS = [
    ("teacher/checkpoint.safetensors", signal.SIGKILL, "teacher/result.json"),
    ("extract/plan.json", signal.SIGKILL, "extract/result.json"),
    ("extract/candidates/000.json", signal.SIGINT, "student/result.json"),
    ("student/checkpoint.safetensors", signal.SIGKILL, "student/result.json"),
    ("export/onnx/model.onnx", signal.SIGKILL, "export/result.json"),
    ("evaluation/teacher/result.json", signal.SIGKILL, "result.json"),
]
"""When this file appears, that signal is sent; the last file must not be there yet."""


@pytest.fixture(scope="module")
def interrupted(compressed, tmp_path_factory, rows, teachers, record):
    """(folder, what the interrupted run said, what the last run printed, finished files by time)."""
    out = tmp_path_factory.mktemp("interrupted") / "out"
    words = ["compress", "--teacher", str(teachers()), "--train", str(rows), "--out", str(out)]
    words += tiny.settings(tiny.FAST)
    finished, said, environment = {}, None, {"MLFLOW_TRACKING_URI": record.uri}
    for file, number, not_yet in STOPS:
        process = Started(words, environment, out.parent)
        process.wait_for(out / file)
        process.send_signal(number)
        _, stderr = process.ended()
        assert not (out / not_yet).exists(), f"{file} was seen too late to test anything"
        if number == signal.SIGINT:
            said = (process.returncode, stderr)
        else:
            assert process.returncode == -signal.SIGKILL
        finished |= {path: path.stat().st_mtime_ns for path in out.rglob("result.json")}
    last = Started(words, environment, out.parent)
    stdout, stderr = last.ended()
    assert last.returncode == 0, stderr
    return out, said, (stdout, stderr), finished


def test_the_scores_equal_those_of_an_uninterrupted_run(interrupted, compressed):
    out, whole = interrupted[0], dict(compressed[0].metrics)
    found = json.loads((out / "result.json").read_text())["metrics"]
    for metrics in (found, whole):
        metrics |= metrics.pop("exports") | metrics.pop("baselines")
    names = ("score", "score_interval", "parameters", "encoder_parameters", "agreement")
    for row in ("teacher", "student", "onnx", "onnx-int8", "majority", "tfidf"):
        for name in names:
            assert found[row].get(name) == whole[row].get(name), (row, name)


@pytest.mark.parametrize("folder", ["teacher", "student"])
def test_so_do_the_weights(interrupted, compressed, folder):
    found, whole = (load_file(out / folder / "model.safetensors") for out in (interrupted[0], compressed[1]))
    assert found.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(found[name], tensor), name


def test_so_do_the_candidates(interrupted, compressed):
    found, whole = (
        json.loads((out / "extract/result.json").read_text())["metrics"] for out in (interrupted[0], compressed[1])
    )
    assert [c["error"] for c in found["candidates"]] == [c["error"] for c in whole["candidates"]]
    assert found["chosen"] == whole["chosen"]


def test_nothing_finished_is_done_again(interrupted):
    finished = interrupted[3]
    assert len(finished) >= 5  # teacher, extract, student, export, evaluation of the teacher
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_nothing_half_written_is_left(interrupted):
    out = interrupted[0]
    assert not [path for path in out.rglob("*") if "partial" in path.name or path.suffix == ".old"]
    assert not list(out.rglob("checkpoint*"))


def test_it_is_one_run_in_the_record(interrupted, record):
    result = json.loads((interrupted[0] / "result.json").read_text())
    children = record.runs(parent=result["run_id"])
    assert [run["stage"] for run in children] == ["finetune", "extract", "finetune", "export"] + ["evaluate"] * 4
    assert {run["status"] for run in children} == {"FINISHED"}
    losses = record.history(children[0]["run_id"], "loss")
    assert [step for step, _ in losses][-1] == 40


def test_ctrl_c_saves_and_says_so(interrupted):
    code, stderr = interrupted[1]
    assert code == 130
    stopped, hint = stderr.strip().splitlines()[-2:]
    assert stopped.startswith("stopped: interrupted") and hint == "hint: the same command resumes"
    assert "Traceback" not in stderr


def test_the_answer_is_the_last_line_and_progress_goes_to_stderr(interrupted):
    out, _, (stdout, stderr), _ = interrupted
    assert stdout.splitlines()[-1] == f"report: {out}/report.html"
    assert "ONNX int8" in stdout and "evaluating (student)" in stderr and "evaluating" not in stdout
    assert "Loading weights" not in stderr and "Writing model" not in stderr and "\x1b[" not in stderr + stdout
