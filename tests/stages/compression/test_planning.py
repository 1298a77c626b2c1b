"""How a budget is shared out: by what a step costs here, and never at the expense of a search or of a test."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from stages import tiny
from subarch.api import configured
from subarch.errors import BudgetError
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import COUNTED_ROW
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.compression import planning
from subarch.stages.compression.planning import CompressionPlan, read_or_make_plan, shortfalls
from subarch.stages.extraction.plan import LEAST_CANDIDATES
from subarch.tasks.base import Examples, Task, TaskData

TASK = Task(
    name="t", kind="classification", labels=("a", "b"), text="text", label="label", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip
ROWS = 6000


def data_of(test_rows):
    def rows(count):
        return Examples(["a text"] * count, None, np.zeros(count, dtype=np.int64))

    return TaskData(TASK, rows(ROWS), rows(500), rows(test_rows))


@pytest.fixture
def made(tmp_path, monkeypatch, teachers):
    """(plan, events) of a budget where a row of the teacher's training takes so many seconds."""
    rehearsals = []

    def make(seconds, row, test_rows=1500, out="out", **changes):
        def step_seconds(config, *_):
            rehearsals.append(config)
            return row * config.loop.batch_size, row * config.loop.batch_size

        monkeypatch.setattr(planning, "step_seconds", step_seconds)
        (tmp_path / out).mkdir(exist_ok=True)
        settings = {"teacher": str(teachers()), "out": tmp_path / out, "train": tmp_path / "rows.csv", **changes}
        (config,) = configured("compress", settings).args
        events = []
        deadline = Deadline(at=seconds, clock=lambda: 0.0)
        session = Session(deadline=deadline, on_event=events.append)
        teacher = ModelFolder.of(config.teacher)
        space = [teacher.architecture.replace(intermediate_size=size) for size in range(16, 64, 2)]
        return read_or_make_plan(config, session, teacher, data_of(test_rows), space), events, rehearsals

    return make


def test_a_short_budget_still_judges_and_tests(made):
    plan, events, _ = made(180.0, row=0.02)
    assert plan.candidates >= LEAST_CANDIDATES
    assert plan.scored(data_of(1500)) >= 1000
    assert plan.seconds["finetune"] + plan.seconds["distil"] > 0.5 * 180
    assert plan.needed_seconds > 180
    planned, hint = (event for event in events if event["name"] in ("planned", "hint"))
    assert planned["detail"].startswith(f"teacher {plan.teacher_passes:.1f} epochs, ")
    assert planned["detail"].endswith(" test rows")
    assert hint["detail"].startswith("--budget ") and "the teacher 1 epoch and the student 2 epochs" in hint["detail"]


def test_the_budget_that_it_hints_at_suffices(made):
    short, *_ = made(180.0, row=0.02)
    enough, events, _ = made(short.needed_seconds * 1.02, row=0.02, out="second")
    assert enough.needed_seconds is None and enough.teacher_passes >= 0.99 and enough.student_passes >= 1.98
    assert "hint" not in [event["name"] for event in events]


def test_what_trainings_do_not_need_goes_to_the_search(made):
    plan, *_ = made(3600.0, row=0.001, finetune={"epochs": 2.0}, distil={"epochs": 3.0})
    assert plan.teacher_passes == pytest.approx(2.0) and plan.student_passes == pytest.approx(3.0)
    assert plan.seconds["extract"] > 0.5 * 3600
    assert plan.test_rows is None


def test_the_whole_is_no_more_than_the_budget(made):
    for number, (seconds, row) in enumerate([(180.0, 0.005), (300.0, 0.02), (1800.0, 0.02), (7200.0, 0.1)]):
        plan, *_ = made(seconds, row, out=f"out{number}")
        assert sum(plan.seconds.values()) == pytest.approx(seconds, rel=1e-6)


def test_long_tests_are_sampled_but_never_below_a_thousand(made):
    plan, *_ = made(300.0, row=0.5, test_rows=50_000)
    assert plan.test_rows == 1000
    plan, *_ = made(300.0, row=0.001, test_rows=50_000, out="fast")
    assert 1000 < plan.test_rows < 50_000


def test_a_resumed_run_rehearses_nothing(made, tmp_path):
    first, _, rehearsals = made(300.0, row=0.02)
    again, events, _ = made(100.0, row=9.0)
    assert again == first and len(rehearsals) == 1
    assert json.loads((tmp_path / "out/plan.json").read_text())["candidates"] == first.candidates
    assert [event["name"] for event in events].count("planned") == 1


def test_without_a_budget_the_recipe_is_the_plan(made):
    plan, events, rehearsals = made(float("inf"), row=1.0, distil={"max_steps": 90, "batch_size": 200})
    assert not rehearsals and plan.test_rows is None and plan.needed_seconds is None
    assert plan.student_passes == 3.0
    assert [event["detail"] for event in events] == [
        "teacher 4 epochs, 12 candidates, student 3 epochs, 1,500 test rows"
    ]


def test_a_trained_teacher_leaves_its_time_to_the_student(made, tmp_path):
    untrained, *_ = made(300.0, row=0.02)
    folder = tiny.teacher(tmp_path / "trained", labels=("a", "b"))
    plan, *_ = made(300.0, row=0.02, out="second", teacher=str(folder))
    assert plan.teacher_passes is None and plan.student_passes > 1.5 * untrained.student_passes
    assert plan.lines(data_of(1500))[0].startswith(f"{plan.candidates} candidates")


def test_no_time_at_all(made):
    with pytest.raises(BudgetError, match="before anything began"):
        made(0.0, row=0.02)


def test_what_fell_short_is_named():
    search = {"candidates": [1, 2], "space": 24}
    assert shortfalls(search, 400, 1500) == [
        "the search judged 2 candidates, fewer than 6: give a longer budget",
        "400 of 1,500 test rows were scored, fewer than 1,000",
    ]
    assert shortfalls({"candidates": [1] * 6, "space": 24}, 1000, 1500) == []
    assert shortfalls({"candidates": [1, 2], "space": 2}, 400, 400) == []
    assert CompressionPlan(student_passes=1.0, candidates=1).scored(SimpleNamespace(test=range(7))) == 7


def test_the_floor_of_many_classes_is_in_the_plan(made, monkeypatch):
    two, _, _ = made(600.0, row=0.01, out="two")
    many = dataclasses.replace(TASK, labels=tuple(f"class {number}" for number in range(77)))
    monkeypatch.setattr(sys.modules[__name__], "TASK", many)
    plan, _, _ = made(600.0, row=0.01, out="many")
    assert plan.seconds["deliver"] - two.seconds["deliver"] == pytest.approx(COUNTED_ROW * ROWS * 76)
