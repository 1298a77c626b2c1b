"""What a budget is spent on: how long a step takes decides, and a resumed run does not ask again."""

from dataclasses import replace

import numpy as np
import pytest

from stages import tiny, tiny_agora
from subarch.api import configured, run_stage
from subarch.errors import BudgetError
from subarch.inputs.data import load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.report.answers import answer
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.finetuning import training
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.training import step_seconds
from subarch.stages.growth import plan
from subarch.stages.growth.admission import prepared
from subarch.stages.growth.plan import Plan, plan_for
from subarch.tasks.base import Examples

BY_BUDGET = {"iterations": None, "first_growth": None}
FREELY = {"max_steps": None, "epochs": 100.0, "evaluations": 1, "batch_size": 16, "checkpoint_seconds": 0.0}


@pytest.fixture
def made(school, tmp_path):
    """(configuration, job) of an Agora; D has 180 rows."""

    def make(loop=FREELY, kind="classes", **agora):
        given = tiny_agora.settings(school(kind), tmp_path / "out", agora={**BY_BUDGET, **agora}, loop=loop)
        (config,) = configured("finetune", given).args
        model, teacher = ModelFolder.of(config.model), ModelFolder.of(config.teacher)
        data = prepared(config, aligned(load_data(config.data), teacher))
        return config, Job(data=data, model=model, teacher=teacher)

    return make


@pytest.fixture
def step(monkeypatch):
    """Sets how long a step takes, in seconds, and one that asks Socrates; without it asking is an error."""
    monkeypatch.setattr(plan, "step_seconds", None)

    def takes(again, asking=None):
        monkeypatch.setattr(plan, "step_seconds", lambda *arguments: (asking or again, again))

    return takes


def within(seconds):
    return Session(deadline=Deadline(at=seconds, clock=lambda: 0.0))


@pytest.mark.parametrize(
    ("seconds", "iterations", "first_growth"),
    # 100 s for two trainings are 48.5 s each: at 1 s a step of 16 of 180 rows 4.3 passes, a third of it at first.
    [(0.1, None, 0.0), (1.0, 1, 1.0), (2.0, 1, 0.0)],
)
def test_the_passes_over_the_data_decide(made, step, seconds, iterations, first_growth):
    config, job = made()
    step(seconds)
    found = plan_for(config, within(100.0), job, sets=2)
    expected = 48.5 / seconds * 16 / len(job.data.train)
    assert (found.iterations, found.first_growth) == (iterations, first_growth)
    assert found.passes == pytest.approx(expected)
    assert (found.reason == "") == (iterations is None)
    if found.reason:
        assert f"about {expected:.1f} passes" in found.reason


def test_socrates_is_asked_once_for_all_sets(made, step):
    config, job = made()
    batches = len(job.data.train) / 16
    step(1.0, asking=3.0)
    # So long that two sets see everything twice, and a step whose answers are unknown takes 2 s longer.
    seconds = batches * (2 * 2 * 1.0 + 2.0) / 0.97
    assert plan_for(config, within(seconds), job, sets=2).passes == pytest.approx(2.0)
    assert plan_for(config, within(seconds / 6), job, sets=2).passes == pytest.approx(1 / 4)


def test_the_first_of_several_iterations_has_its_share_alone(made, step):
    """Two sets: a third of the time for both, so 16.2 of 97 s each."""
    config, job = made()
    edge = 97.0 / 6 * 16 / len(job.data.train) / 3.0
    for seconds, iterations in ((0.99 * edge, None), (1.01 * edge, 1)):
        step(seconds)
        assert plan_for(config, within(100.0), job, sets=2).iterations == iterations


@pytest.mark.parametrize(
    "agora", [{"iterations": 2}, {"first_growth": 0.5}, {"first_growth": 0.0}, {"least_passes": 0.0}]
)
def test_who_says_what_to_do_is_not_overruled(made, step, agora):
    config, job = made(**agora)
    wanted = Plan(iterations=agora.get("iterations"), first_growth=agora.get("first_growth", 0.0))
    assert plan_for(config, within(1.0), job, sets=2) == wanted


def test_without_a_budget_or_with_fixed_steps_nobody_asks(made, step):
    config, job = made()
    assert plan_for(config, Session(), job, sets=2) == Plan(iterations=None, first_growth=0.0)
    config, job = made(loop={**FREELY, "max_steps": 3})
    assert plan_for(config, within(1.0), job, sets=2) == Plan(iterations=None, first_growth=0.0)


def test_no_more_passes_are_asked_for_than_epochs(made, step):
    config, job = made(loop={**FREELY, "epochs": 1.0})
    step(97.0 / 6 * 16 / len(job.data.train) / 1.5)
    assert plan_for(config, within(100.0), job, sets=2).iterations is None


def test_a_single_set_is_iterated_where_there_is_time(made, step):
    config, job = made()
    step(0.01)
    assert plan_for(config, within(100.0), job, sets=1).iterations == 5
    step(2.0)
    assert plan_for(config, within(100.0), job, sets=1).iterations == 1


@pytest.mark.parametrize("kind", ["classes", "scores", "pairs"])
def test_a_rehearsal_leaves_nothing_behind(made, tmp_path, kind):
    config, job = made(kind=kind)
    before = {path.name: path.stat().st_mtime_ns for path in job.model.path.iterdir()}
    asking, again = step_seconds(config, within(60.0), job, 2, 0.5)
    assert 0 < again < 60 and 0 < asking < 60
    asking, again = step_seconds(config, within(60.0), job, 2, 1e-9)  # time for one step
    assert 0 < asking == again < 60
    assert not (tmp_path / "out").exists()
    assert {path.name: path.stat().st_mtime_ns for path in job.model.path.iterdir()} == before
    with pytest.raises(BudgetError, match="before the first training step"):
        step_seconds(config, within(0.0), job, 2, 0.5)


def test_texts_of_about_mean_length_are_rehearsed(made, monkeypatch):
    """As long as those of a training's batch, which holds texts of one length."""
    config, job = made(loop={**FREELY, "batch_size": 2})
    # 3 to 22 tokens with their ends: 9 is their mean, 4 the median.
    texts = [" ".join([tiny.GOOD[0]] * count) for count in (*[1] * 8, *[2] * 10, *[6] * 6, *[20] * 8)]
    train = Examples(texts, None, np.arange(32) % 2)

    def steps(model, batches, loss, *, config, context):
        for number, make in enumerate(batches.epoch(0)):
            widths.append(make()["input_ids"].shape[1])
            context.on_event({"event": "step", "seconds": 0.5 + number})

    widths: list[int] = []
    monkeypatch.setattr(training, "train", steps)
    asking, again = step_seconds(config, within(60.0), replace(job, data=replace(job.data, train=train)), 2, 0.5)
    assert (asking, again) == (1.0, 1.0) and len(widths) == 4  # two batches, each twice
    assert {*widths} == {8}


def test_a_budget_too_short_to_grow_is_told(school, tmp_path, monkeypatch):
    def asked(*arguments):
        calls.append(arguments)
        return 1e3, 1e3

    calls: list[tuple] = []
    monkeypatch.setattr(plan, "step_seconds", asked)
    given = tiny_agora.settings(
        school("classes"), tmp_path / "out", agora={**BY_BUDGET, "force": True}, loop={**FREELY, "epochs": 4.0},
        budget="60s",
    )  # fmt: skip
    result = run_stage("finetune", given)
    assert len(calls) == 1 and result.metrics["points"] == 0 and len(result.metrics["iterations"]) == 1
    assert tiny_agora.state(tmp_path / "out")["plan"]["iterations"] == 1
    assert "time is scarcer than data, so nothing grows" in result.metrics["plan"]
    assert result.metrics["plan"] in answer(result.to_json())
    # Killed before its result was written, it keeps to its plan.
    (tmp_path / "out/result.json").unlink()
    again = run_stage("finetune", given)
    assert len(calls) == 1 and again.metrics["plan"] == result.metrics["plan"]
