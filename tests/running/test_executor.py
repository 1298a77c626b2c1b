import pytest

from contracts.executor_contract import ExecutorContract, report
from subarch.errors import InterruptedRun
from subarch.running.executor import Executor, InProcessExecutor, Outcome


class TestInProcessExecutor(ExecutorContract):
    workers_die = False

    def make(self, workers=2):
        return InProcessExecutor()


def test_order_is_kept():
    executor: Executor = InProcessExecutor()
    assert [outcome.item for outcome in executor.map(str, [3, 1, 2])] == [3, 1, 2]


def test_next_item_may_depend_on_the_last_outcome():
    values = []
    outcomes = InProcessExecutor().map(lambda n: n * 2, iter(lambda: (values or [1])[-1], 16))
    for outcome in outcomes:
        values.append(outcome.result())
    assert values == [2, 4, 8, 16]


def test_the_driver_may_stop_everything_from_within_an_event():
    def stop(item, event):
        raise InterruptedRun("enough")

    with pytest.raises(InterruptedRun):
        list(InProcessExecutor().map(report, [1, 2], on_event=stop))


def test_none_is_a_value():
    assert Outcome(item=1, value=None).result() is None


def test_outcome_cannot_change():
    with pytest.raises(AttributeError):
        Outcome(item=1).value = 2
