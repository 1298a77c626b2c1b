"""How the time of a budget is shared out among the iterations of Agora, and what a mistake is."""

from types import SimpleNamespace

import numpy as np
import pytest

from subarch.stages.growth import academy
from subarch.stages.growth.academy import TaskAcademy, trainings_to_come
from subarch.tasks.base import Examples


def shares(sets, rounds, last):
    """Of the time, what each iteration gets when its sets halve each time."""
    left, found = 1.0, []
    for iteration in range(1, rounds + 1):
        share = left * sets / (sets + trainings_to_come(sets, rounds - iteration, last))
        found.append(share)
        left, sets = left - share, max(1, sets // 2)
    return found


def test_the_last_iteration_has_all_that_is_left():
    assert trainings_to_come(3, 0, 0.5) == 0


@pytest.mark.parametrize("sets", [2, 5])
@pytest.mark.parametrize("last", [1 / 3, 2 / 3])
def test_of_two_iterations_the_last_has_its_share(sets, last):
    assert shares(sets, 2, last) == pytest.approx([1 - last, last])


@pytest.mark.parametrize(("sets", "rounds"), [(4, 3), (1, 5), (8, 4)])
def test_each_iteration_has_more_than_the_one_before_and_all_of_them_have_all(sets, rounds):
    found = shares(sets, rounds, 2 / 3)
    assert found == sorted(found) and sum(found) == pytest.approx(1.0)
    assert found[-1] > 0.4 and found[0] > 0.05


def test_mistakes_about_numbers_are_judged_on_the_scale_of_all_labels(monkeypatch):
    """The part of E that grows may not reach the ends of the scale, 0 and 5, whose steps are 0.2."""
    growing = Examples(["a", "b"], None, np.array([2.0, 2.5], dtype=np.float32), None, {"id": ["a", "b"]})
    task = SimpleNamespace(kind="regression")
    for train, mistaken in (([0.0, 5.0], ["b"]), ([2.0, 2.5], ["a"])):
        data = SimpleNamespace(task=task, train=Examples(["x", "y"], None, np.array(train)), validation=growing)
        outputs = np.array([[2.05], [2.9]], dtype=np.float32)
        monkeypatch.setattr(academy, "expansion_outputs", lambda place, outputs=outputs: outputs)
        place = SimpleNamespace(data=data, growing=growing, place_of=lambda best: None)
        assert TaskAcademy.mistakes(place, None).columns["id"] == mistaken
