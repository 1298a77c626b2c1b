"""A training under a budget reads what it has time for."""

import numpy as np
import pytest

from stages import tiny
from subarch.inputs.data import DataConfig
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.finetuning import rationing
from subarch.stages.finetuning.rationing import ration
from subarch.stages.finetuning.settings import ROWS_READ, FinetuneConfig
from subarch.tasks.base import Examples, Task, TaskData

TASK = Task(
    name="t", kind="classification", labels=("a", "b"), text="text", label="label", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip


class Clocked:
    """A model that takes a second for ten examples."""

    def __init__(self, monkeypatch):
        self.now, self.read = 0.0, []
        monkeypatch.setattr(rationing.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(rationing, "TIMED", 10)

    def tokenise(self, task, examples, max_length):
        self.now += len(examples) / 10
        self.read.append(len(examples))


@pytest.fixture
def model(monkeypatch):
    return Clocked(monkeypatch)


def setting(tmp_path, model, seconds):
    texts, _ = tiny.sentences(200, 0)
    rows = Examples(texts, None, np.arange(200) % 2)
    told = []
    session = Session(on_event=told.append, deadline=Deadline.after(seconds, lambda: model.now))
    config = FinetuneConfig(model="m", out=tmp_path, data=DataConfig(task="t"))
    return config, session, TaskData(TASK, rows, rows, rows), told


def test_many_examples_are_read_as_far_as_there_is_time(tmp_path, model):
    config, session, data, told = setting(tmp_path, model, 12)
    few = ration(config, session, data, (model,))
    assert len(few.train) == 30 and few.validation is data.validation and model.read == [10]
    assert "time for 30 of the 200 examples" in told[0]["detail"]


def test_a_training_that_goes_on_has_the_same_examples(tmp_path, model):
    config, session, data, told = setting(tmp_path, model, 12)
    few = ration(config, session, data, (model,))
    assert (tmp_path / ROWS_READ).exists()
    again = ration(config, setting(tmp_path, model, 1000)[1], data, (model,))
    assert again.train.texts == few.train.texts and len(told) == 1 and model.read == [10]


@pytest.mark.parametrize("seconds", [None, 100])
def test_with_time_enough_all_are_read(tmp_path, model, seconds):
    config, session, data, told = setting(tmp_path, model, seconds)
    assert ration(config, session, data, (model,)) is data
    assert not told and not (tmp_path / ROWS_READ).exists()


def test_there_are_always_a_few(tmp_path, model):
    config, session, data, _ = setting(tmp_path, model, 0)
    assert len(ration(config, session, data, (model,)).train) == 10


def test_what_two_models_read_takes_the_time_of_both(tmp_path, model):
    config, session, data, _ = setting(tmp_path, model, 24)
    assert len(ration(config, session, data, (model, model)).train) == 30 and model.read == [10, 10]
