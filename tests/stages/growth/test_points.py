"""Which points are new, and how many of them a deadline lets be made."""

import numpy as np

from stages import tiny_agora
from subarch.api import configured
from subarch.running.budget import Deadline
from subarch.stages.growth import points
from subarch.stages.growth.admission import prepared
from subarch.stages.growth.points import Known, PointMaker
from subarch.stages.growth.settings import AgoraConfig
from subarch.stages.growth.transforming import transformations_for
from subarch.stages.inputs import ModelFolder, aligned, load_data
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


class Stopped:
    """A clock that stands still for so many looks, and then jumps past every deadline."""

    def __init__(self, looks):
        self.looks = looks

    def __call__(self):
        self.looks -= 1
        return 0.0 if self.looks > 0 else 1e9


def test_a_deadline_cuts_off_what_is_not_made_yet(monkeypatch, school):
    monkeypatch.setattr(points, "CHUNK", 5)
    maker, data = maker_of(school("classes"))
    wrong = data.validation.take(np.arange(20))
    whole = maker.around_mistakes(wrong, np.random.default_rng(0))
    clock = Stopped(4)
    some = maker.around_mistakes(wrong, np.random.default_rng(0), Deadline.after(10.0, clock))
    sources = {name: set(each.examples.columns["source"]) for name, each in (("whole", whole), ("some", some))}
    assert 0 < len(sources["some"]) <= 10 < len(sources["whole"])


def maker_of(given):
    (config,) = configured("finetune", tiny_agora.settings(given, "unused", agora={"force": True})).args
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
