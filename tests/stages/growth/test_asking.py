"""Under a budget Socrates is asked before several sets start, so that the first of them does not pay for the others."""

import itertools
import json

import pytest

from stages import tiny_agora
from subarch.api import run_stage
from subarch.errors import InterruptedRun
from subarch.running.budget import Deadline
from subarch.running.executor import InProcessExecutor
from subarch.session.session import Session
from subarch.stages.growth.academy import SPARE
from subarch.training.classifier import TeacherOutputs

LOOP = {**tiny_agora.LOOP, "max_steps": None, "epochs": 2.0}
FIXED = tiny_agora.LOOP


class Watched(InProcessExecutor):
    """How many rows Socrates was asked about in all and by each training, and the seconds that each was given.

    By its clock asking takes a second a row, and a training what it was given.
    """

    def __init__(self, seconds, monkeypatch):
        super().__init__()
        self.now, self.asked, self.trainings, self.seconds = 0.0, [], [], []
        self.deadline = Deadline(at=seconds, clock=lambda: self.now)
        compute = TeacherOutputs._compute

        def counted(outputs, indices):
            self.now += len(indices)
            self.asked += indices.tolist()
            compute(outputs, indices)

        monkeypatch.setattr(TeacherOutputs, "_compute", counted)

    def map(self, function, items):
        def trained(item):
            before, began = len(self.asked), self.now
            self.seconds.append(item.seconds)
            function(item)
            self.trainings.append(len(self.asked) - before)
            self.now = began + item.seconds

        return super().map(trained, items)


@pytest.fixture
def run(school, tmp_path, monkeypatch):
    """Runs one iteration of so many sets in so many seconds."""

    def started(seconds, sets=2, **changes):
        watched = Watched(seconds, monkeypatch)
        agora = {"sets": f"seed={','.join(map(str, range(sets)))}", "iterations": 1, "force": True}
        settings = {"loop": LOOP, **changes, "agora": {**agora, **changes.get("agora", {})}}
        given = tiny_agora.settings(school("classes"), tmp_path / "out", **settings)
        session = Session(deadline=watched.deadline, executor=watched)
        return given, session, watched

    return started


def test_no_set_pays_for_another(run):
    given, session, watched = run(1e5)
    run_stage("finetune", given, session=session)
    assert watched.trainings == [0, 0]
    assert sorted(watched.asked) == list(range(len(watched.asked)))  # each row once
    assert watched.seconds[0] == pytest.approx(watched.seconds[1], rel=SPARE)


def test_what_was_asked_is_taken_from_the_iteration_that_needed_it(run):
    seconds = 2000.0
    given, session, watched = run(seconds, agora={"iterations": 2, "last": 0.5, "growth": 0.1})
    run_stage("finetune", given, session=session)
    asked = len(set(watched.asked)) - watched.trainings[2]  # the last has a single set, and asks for itself
    first = seconds * (1 - SPARE) / 2
    assert watched.trainings[:2] == [0, 0] and watched.trainings[2] > 0
    assert watched.seconds[:2] == pytest.approx([(first - asked) / 2] * 2, rel=SPARE)
    assert watched.seconds[2] == pytest.approx((1 - SPARE) * (seconds - first), rel=SPARE)


@pytest.mark.parametrize("changes", [{"loop": FIXED}, {"sets": 1}])
def test_fixed_steps_and_a_single_set_ask_when_they_need_it(run, changes):
    given, session, watched = run(1e5, **changes)
    run_stage("finetune", given, session=session)
    assert watched.trainings[0] > 0 and sum(watched.trainings) == len(watched.asked)


def test_asking_ends_with_its_share_of_the_time_and_in_the_order_of_the_batches(run):
    """Of 100 s a fifth: two sets see each row twice. So the second set's first batch was asked for too."""
    given, session, watched = run(100.0)
    run_stage("finetune", given, session=session)
    ahead = len(watched.asked) - sum(watched.trainings)
    assert 100 * (1 - SPARE) / 5 <= ahead < 100 * (1 - SPARE) / 5 + LOOP["batch_size"]


def test_no_more_is_asked_than_the_trainings_will_see(run):
    given, session, watched = run(1e5, loop={**LOOP, "epochs": 0.25})
    run_stage("finetune", given, session=session)
    steps = json.loads((given["out"] / "trainings/01-0-000/training.json").read_text())["steps"]
    assert watched.trainings == [0, 0]
    assert steps == 2 and steps * LOOP["batch_size"] < len(watched.asked) <= 2 * steps * LOOP["batch_size"]


def test_interrupted_while_asking_it_goes_on(run):
    given, session, watched = run(1e5)
    asked = itertools.count()
    stopping = Session(
        deadline=session.deadline, executor=watched, stop_requested=lambda: len(watched.asked) > 0 < next(asked)
    )
    with pytest.raises(InterruptedRun, match="while the teacher was asked"):
        run_stage("finetune", given, session=stopping)
    assert not watched.trainings and 0 < len(watched.asked) < 100
    run_stage("finetune", given, session=session)
    assert watched.trainings == [0, 0]
