"""Stopped at any point and started again, Agora ends with the same weights, state and points, to the bit."""

import itertools
import json
import os
import signal

import pytest

from stages import tiny, tiny_agora
from starting import Started
from subarch import storage
from subarch.api import run_stage
from subarch.cli import app
from subarch.errors import InterruptedRun
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.growth.points import PointMaker
from subarch.training import agora as loop_of_agora

AGORA = {
    "sets": "learning_rate=2e-3 seed=0,1",
    "iterations": 3,
    "replays": 1,
    "first_growth": 0.1,
    "growth": 0.1,
    "balance": "fill",
    "force": True,
}
"""Everything that can be in the middle of something: points before, replay, balance, a set that stays."""


class Killed(BaseException):
    """What no `except` of the code expects."""


@pytest.fixture(scope="module", autouse=True)
def replayed():
    """The second iteration is always repeated, whatever its score."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_of_agora, "_fell", lambda attempts, previous: previous.iteration == 1)
        yield


@pytest.fixture(scope="module")
def settings(school):
    def of(out):
        return tiny_agora.settings(school("classes"), out, agora=AGORA)

    return of


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """(result, folder) of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    result = run_stage("finetune", settings(out))
    names = {path.name for path in (out / "points").iterdir()}
    assert names == {"00-0.parquet", "01-0.parquet", "01-1.parquet", "02-0.parquet"}
    return result, out


def equal(result, out, whole):
    kept, expected = dict(result.metrics), dict(whole[0].metrics)
    kept.pop("seconds"), expected.pop("seconds")
    assert kept == expected
    assert tiny_agora.same_outcome(out, whole[1])
    left = [path for path in out.rglob("*") if "partial" in path.name or "checkpoint" in path.name]
    assert not left and not (out / "answers").exists()
    return True


def lives(run, limit=60):
    """Calls run(1), run(2), … until one of them comes to an end; how many there were."""
    for life in itertools.count(1):
        assert life < limit, "it never ends"
        try:
            return run(life), life
        except (Killed, InterruptedRun):
            continue


def test_ctrl_c_at_any_point(settings, whole, tmp_path, record):
    out = tmp_path / "out"

    def run(life):
        asked = itertools.count(1)
        session = Session(record=record, stop_requested=lambda: next(asked) >= 2 * life)
        return run_stage("finetune", settings(out), session=session)

    result, count = lives(run)
    assert count >= 5 and equal(result, out, whole)
    children = record.runs("training", result.run_id)
    assert len({child["name"] for child in children}) == len(children) == result.metrics["trainings"]
    assert {child["status"] for child in children} == {"FINISHED"}


def test_killed_before_any_file_is_in_its_place(settings, whole, tmp_path, monkeypatch):
    out = tmp_path / "out"
    replace, places = os.replace, []

    def run(life):
        written = itertools.count(1)

        def dying(source, target):
            if next(written) >= 2 * life:
                places.append(os.path.relpath(target, out))
                raise Killed
            replace(source, target)

        monkeypatch.setattr(storage.os, "replace", dying)
        return run_stage("finetune", settings(out))

    result, count = lives(run)
    assert count >= 4 and len(set(places)) >= 4 and equal(result, out, whole)


def test_killed_while_it_grows(settings, whole, tmp_path, monkeypatch):
    """All points are made, and none is written: `known` of that process is lost."""
    make, deaths = PointMaker.around_mistakes, []

    def dying(self, wrong, rng, deadline):
        points = make(self, wrong, rng, deadline)
        if len(deaths) < 2:
            deaths.append(len(points.examples))
            raise Killed
        return points

    monkeypatch.setattr(PointMaker, "around_mistakes", dying)
    result, count = lives(lambda life: run_stage("finetune", settings(tmp_path / "out")))
    assert count == 3 and equal(result, tmp_path / "out", whole)


def test_killed_before_the_model_is_copied_and_after(settings, whole, tmp_path, monkeypatch):
    from subarch.stages.growth import agora

    take, deaths = agora.take_model, []

    def dying(*arguments):
        if not deaths:
            deaths.append("before")
            raise Killed
        take(*arguments)
        if len(deaths) == 1:
            deaths.append("after")
            raise Killed

    monkeypatch.setattr(agora, "take_model", dying)
    result, count = lives(lambda life: run_stage("finetune", settings(tmp_path / "out")))
    assert count == 3 and equal(result, tmp_path / "out", whole)


def test_killed_from_outside_inside_a_training(school, tmp_path, record, monkeypatch, capsys):
    """SIGKILL while a training has a checkpoint; the command line then goes on and tells the whole story."""
    loop = {**tiny_agora.LOOP, "max_steps": 30}
    given = tiny_agora.settings(school("classes"), tmp_path / "whole", loop=loop, agora={"growth": 0.1, "force": True})
    run_stage("finetune", given)
    out = tmp_path / "out"
    words = ["finetune", "--agora", "--force", "--sets", given["agora"]["sets"], "--out", str(out)]
    words += [word for name in ("model", "teacher", "train") for word in (f"--{name}", str(given[name]))]
    rest = {name: value for name, value in given["agora"].items() if name not in ("sets", "force")}
    rest["transformations"] = list(rest["transformations"])
    words += tiny.settings({"max_length": 24, "loop": loop, "agora": rest})
    first = Started(words, {"MLFLOW_TRACKING_URI": record.uri}, tmp_path / "said")
    first.wait_for(out / "trainings/01-0-001/checkpoint.safetensors")
    first.send_signal(signal.SIGKILL)
    first.ended()
    assert (out / "trainings/01-0-000/training.json").exists() and not (
        out / "trainings/01-0-001/training.json"
    ).exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record.uri)
    assert app(words, result_action="return_value", exit_on_error=False) == 0
    assert tiny_agora.same_outcome(out, tmp_path / "whole")
    last = capsys.readouterr()
    lines = last.out.splitlines()
    assert lines[0].split() == ["iteration", "sets", "best", "bound", "mistakes", "added", "sets", "left"]
    assert len(lines) == 5 and lines[3].startswith("score ") and lines[4] == f"result: {out}/result.json"
    assert "1 of 1: lr=5e-4 seed=0" in last.err and "iteration done (1: best of 2: " in last.err


def test_a_resumed_run_has_the_sets_with_which_it_began(school, tmp_path):
    """A budget sizes the default sets, and of a resumed run there is another one left."""
    given = tiny_agora.settings(
        school("classes"), tmp_path / "out", agora={"sets": None, "iterations": 1, "force": True}
    )
    asked = itertools.count()
    first = Session(deadline=Deadline.after(100.0), stop_requested=lambda: next(asked) > 8)
    with pytest.raises(InterruptedRun):
        run_stage("finetune", given, session=first)
    began = json.loads((tmp_path / "out/agora.json").read_text())
    assert len(began["sets"]) == 2 and began["iterations"] == []
    result = run_stage("finetune", given, session=Session(deadline=Deadline.after(10_000.0)))
    assert [each["theta"] for each in result.metrics["iterations"][0]["scores"]] == began["sets"]
