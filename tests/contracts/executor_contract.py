"""What every executor promises; a test class inherits `ExecutorContract` and says how to make its own.

`make(workers)` may give fewer where the executor has no more. The functions stand at the top of this module, since they
travel to other processes.
"""

import os
import random
import time
from typing import ClassVar

import pytest

from subarch.errors import InterruptedRun
from subarch.running.executor import Cancelled


def double(number):
    return 2 * number


def refuse_odd(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


class Picky(Exception):
    def __init__(self, one, two):  # unlike what pickle expects
        super().__init__(f"{one} and {two}")


def raise_what_cannot_travel(number):
    raise Picky(number, "more")


def return_what_cannot_travel(number):
    return (yield number)


def stop_at_two(number):
    if number == 2:
        raise InterruptedRun("stopped by the user")
    return number


def press_ctrl_c(number):
    raise KeyboardInterrupt


def draw(seed):
    return random.Random(seed).random()


def die_at_two(number):
    if number == 2:
        os._exit(7)
    return number


def report(number, tell):
    for step in range(number):
        tell({"step": step})
    return number


def report_and_die(number, tell):
    tell({"step": 0})
    os._exit(7)


def report_for_ever(number, tell):
    for step in range(10_000):
        tell({"step": step})
        time.sleep(0.001)


def report_and_give_up(number, tell):
    try:
        report_for_ever(number, tell)
    except Cancelled:
        return "partial"


def report_then_refuse(number, tell):
    tell({"step": 0})
    refuse_odd(number)


def sleep_through(seconds, tell):
    time.sleep(seconds)
    return seconds


def leave_a_mark(folder, tell):
    (folder / "began").touch()
    try:
        while True:
            tell({})
            time.sleep(0.01)
    finally:
        (folder / "ended").touch()


def break_accelerator(number):
    raise RuntimeError(f"CUDA error: an illegal memory access was encountered, item {number} of process {os.getpid()}")


def by_item(outcomes):
    return {outcome.item: outcome for outcome in outcomes}


class Again:
    """Gives 1, and once more where its outcome says so; has nothing in between."""

    def __init__(self):
        self.waiting = [1]

    def __iter__(self):
        return self

    def __next__(self):
        if not self.waiting:
            raise StopIteration
        return self.waiting.pop()


class ExecutorContract:
    items: ClassVar[list[int]] = [1, 2, 3, 4]
    workers_die = True
    """Whether items run in processes that may die without the driver."""

    def make(self, workers=2):
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

    def test_outcomes_hold_the_very_item(self):
        items = [[1], [2]]
        found = list(self.make().map(double, items))
        assert {id(outcome.item) for outcome in found} == {id(item) for item in items}
        assert all(outcome.value == outcome.item * 2 for outcome in found)

    def test_the_number_of_workers_changes_no_result(self):
        found = [
            {seed: outcome.result() for seed, outcome in by_item(self.make(workers).map(draw, range(5))).items()}
            for workers in (1, 2)
        ]
        assert found[0] == found[1] == {seed: draw(seed) for seed in range(5)}

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

    def test_an_error_of_any_class_comes_back(self):
        (failed,) = self.make().map(raise_what_cannot_travel, [3])
        assert "3 and more" in str(failed.error) and "Picky" in failed.traceback

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
        assert 3 <= len(drawn) <= 3 + executor.workers

    def test_an_item_may_come_again(self):
        again = Again()
        values = []
        for outcome in self.make().map(refuse_odd, again):
            values.append(outcome.failed)
            if len(values) < 3:
                again.waiting.append(1)
        assert values == [True] * 3

    def test_events_come_in_order_before_the_outcome(self):
        heard = []
        executor = self.make()
        for outcome in executor.map(report, self.items, on_event=lambda item, event: heard.append((item, event))):
            heard.append((outcome.item, outcome.result()))
        for item in self.items:
            own = [what for number, what in heard if number == item]
            assert own == [*({"step": step} for step in range(item)), item]

    def test_events_come_before_a_failure_too(self):
        heard = []
        (failed,) = self.make().map(report_then_refuse, [3], on_event=lambda item, event: heard.append(event))
        assert heard == [{"step": 0}] and isinstance(failed.error, ValueError)

    def test_true_cancels_at_the_next_event(self):
        heard = []

        def stop_the_odd_ones_at_three(item, event):
            heard.append((item, event["step"]))
            return bool(item % 2) and event["step"] == 3

        outcomes = by_item(self.make().map(report, [4, 5, 7], on_event=stop_the_odd_ones_at_three))
        assert outcomes[4].result() == 4
        for item in (5, 7):
            assert isinstance(outcomes[item].error, Cancelled)
            assert [step for number, step in heard if number == item] == [0, 1, 2, 3]

    def test_a_cancelled_item_may_answer(self):
        found = self.make().map(report_and_give_up, [1, 2], on_event=lambda item, event: event["step"] == 2)
        assert [outcome.result() for outcome in found] == ["partial", "partial"]

    def test_an_error_of_the_driver_ends_the_map(self):
        def refuse(item, event):
            raise OSError("the record is gone")

        with pytest.raises(OSError, match="the record is gone"):
            list(self.make().map(report_for_ever, self.items, on_event=refuse))

    def test_closing_cancels_what_runs(self, tmp_path):
        folders = [tmp_path / "0", tmp_path / "1"]
        for folder in folders:
            folder.mkdir()
        first = True

        def cancel_the_first(item, event):
            nonlocal first
            cancelled, first = first, False
            return cancelled

        outcomes = self.make().map(leave_a_mark, folders, on_event=cancel_the_first)
        assert isinstance(next(outcomes).error, Cancelled)
        outcomes.close()
        assert all((folder / "ended").exists() == (folder / "began").exists() for folder in folders)

    def test_the_death_of_a_worker_is_one_items_own(self):
        if not self.workers_die:
            pytest.skip("it would be our own")
        outcomes = by_item(self.make().map(die_at_two, self.items))
        assert type(outcomes[2].error).__name__ == "WorkerLost" and "WorkerLost" in outcomes[2].traceback
        assert [outcomes[item].result() for item in (1, 3, 4)] == [1, 3, 4]

    def test_a_worker_whose_accelerator_is_broken_takes_no_further_item(self):
        if not self.workers_die:
            pytest.skip("it would be ours")
        first, second = self.make(1).map(break_accelerator, [1, 2])
        assert all("illegal memory access" in str(outcome.error) for outcome in (first, second))
        assert str(first.error).rpartition(" ")[2] != str(second.error).rpartition(" ")[2]
