"""What every executor promises; a test class inherits `ExecutorContract` and says how to make its own."""

from typing import ClassVar

import pytest

from subarch.errors import InterruptedRun


def double(number):
    return 2 * number


def refuse_odd(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def stop_at_two(number):
    if number == 2:
        raise InterruptedRun("stopped by the user")
    return number


def press_ctrl_c(number):
    raise KeyboardInterrupt


def by_item(outcomes):
    return {outcome.item: outcome for outcome in outcomes}


class ExecutorContract:
    items: ClassVar[list[int]] = [1, 2, 3, 4]

    def make(self):
        raise NotImplementedError

    def test_every_item_has_its_value(self):
        outcomes = list(self.make().map(double, self.items))
        assert sorted((outcome.item, outcome.result()) for outcome in outcomes) == [
            (1, 2),
            (2, 4),
            (3, 6),
            (4, 8),
        ]
        assert not any(outcome.failed for outcome in outcomes)

    def test_nothing_in_nothing_out(self):
        assert list(self.make().map(double, [])) == []

    def test_a_failure_is_one_items_own(self):
        outcomes = by_item(self.make().map(refuse_odd, self.items))
        assert {item for item, outcome in outcomes.items() if outcome.failed} == {1, 3}
        assert outcomes[4].result() == 4

    def test_a_failure_tells_where(self):
        failed = by_item(self.make().map(refuse_odd, [3]))[3]
        assert failed.value is None
        assert isinstance(failed.error, ValueError)
        assert "refuse_odd" in failed.traceback
        assert "ValueError: 3 is odd" in failed.traceback
        with pytest.raises(ValueError, match="3 is odd"):
            failed.result()

    def test_the_users_stop_ends_the_map(self):
        with pytest.raises(InterruptedRun):
            list(self.make().map(stop_at_two, self.items))
        with pytest.raises(KeyboardInterrupt):
            list(self.make().map(press_ctrl_c, self.items))

    def test_items_are_drawn_as_outcomes_come(self):
        drawn = []

        def endless():
            while True:
                drawn.append(len(drawn))
                yield drawn[-1]

        executor = self.make()
        outcomes = executor.map(double, endless())
        for _ in range(3):
            next(outcomes)
        outcomes.close()
        assert len(drawn) <= 3 + executor.workers
