"""How the time of a budget is shared out among the iterations of Agora."""

import pytest

from subarch.stages.growth.academy import trainings_to_come


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
