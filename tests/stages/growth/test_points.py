"""Which points are new, and how many of them a deadline lets be made."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stages import tiny_agora
from subarch.api import configured
from subarch.inputs.data import load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.running.budget import Deadline
from subarch.stages.growth import points
from subarch.stages.growth.admission import prepared
from subarch.stages.growth.points import Known, PointMaker
from subarch.stages.growth.settings import AgoraConfig
from subarch.stages.growth.transforming import transformations_for
from subarch.tasks.base import Examples


def test_other_capitals_are_new_for_what_is_made_but_not_for_what_is_found():
    known = Known().and_those_of(Examples(["A good day", "rain"]))
    made = Examples(["a good day", "rain", "A GOOD DAY", "sun"])
    assert known.unknown_rows(made).tolist() == [0, 2, 3]
    assert ("a good day", "") in known.keys


def test_a_group_is_known_only_as_a_whole():
    groups = np.asarray([0, 0, 1, 1])
    known = Known().and_those_of(Examples(["a", "a"], ["x", "y"]))
    rows = known.unknown_rows(Examples(["a", "a", "a", "a"], ["x", "y", "x", "z"], groups=groups))
    assert rows.tolist() == [2, 3]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a second for each source around which points are made."""
    labelled, now = PointMaker._labelled, [0.0]

    def slow(maker, sources, *others):
        now[0] += len(sources)
        return labelled(maker, sources, *others)

    monkeypatch.setattr(PointMaker, "_labelled", slow)
    monkeypatch.setattr(points, "FIRST_POINTS", 8)
    return lambda: now[0]


@pytest.mark.parametrize("seconds", [12.0, 24.0])
def test_a_deadline_cuts_off_what_is_not_made_yet(clock, school, seconds):
    maker, data = maker_of(school("classes"), sources="mixed", growth=10.0)
    wrong = data.validation.take(np.arange(20))
    made = maker.around_mistakes(wrong, np.random.default_rng(0), Deadline.after(seconds, clock))
    assert seconds / 2 <= clock() <= seconds + 1
    sources = set(made.examples.columns["source"])
    assert {"valid" in source for source in sources} == {True, False}  # each half had its time


def test_with_much_time_it_ends_when_there_are_enough(clock, school):
    maker, data = maker_of(school("classes"), sources="mixed", growth=0.5)
    wanted = 2 * math.ceil(0.25 * len(data.train))
    made = maker.around_mistakes(data.validation, np.random.default_rng(0), Deadline.after(1e6, clock))
    assert made.growth.added == len(made.examples) == wanted
    assert made.growth.produced < 2 * wanted
    assert clock() < len(data.validation) + len(data.train)


def test_balance_by_discarding_varies_mistakes_alone_and_by_filling_other_rows_too(school):
    """Of 40 mistakes all but two have one label; rows that were answered right have the other one."""
    found = {}
    for balance in ("discard", "fill"):
        maker, data = maker_of(school("classes"), sources="mistakes", growth=None, balance=balance)
        labels = maker._answers(data.validation).labels
        data = replace(data, validation=replace(data.validation, labels=labels))  # Socrates is right
        maker.data = data
        rows = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:2]])
        made = maker.around_mistakes(data.validation.take(rows), np.random.default_rng(0))
        counts = np.bincount(made.examples.labels, minlength=2)
        assert counts[0] == counts[1] > 0
        mistakes = {data.validation.columns["id"][row] for row in rows}
        found[balance] = len(made.examples), set(made.examples.columns["source"]) <= mistakes, made.growth.produced
    assert found["discard"][1] and not found["fill"][1]
    assert found["discard"][0] < found["fill"][0] and found["discard"][2] < found["fill"][2]


def maker_of(given, **settings):
    (config,) = configured("finetune", tiny_agora.settings(given, "unused", agora={"force": True, **settings})).args
    teacher, model = ModelFolder.of(config.teacher), ModelFolder.of(config.model)
    data = prepared(config, aligned(load_data(config.data), teacher))
    assert isinstance(config.agora, AgoraConfig)
    made = transformations_for(config.agora, data, model, teacher)
    return (
        PointMaker(
            config=config, settings=config.agora, data=data, socrates=teacher, transformations=made, mining=None
        ),
        data,
    )
