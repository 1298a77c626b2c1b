import os
import threading

from contracts.executor_contract import double, press_ctrl_c, report, report_for_ever, return_what_cannot_travel
from subarch.running.executor import Cancelled
from subarch.running.ray_worker import RayWorker


def worker_with(function):
    worker = RayWorker()
    worker.load(function)
    return worker


def running(worker, number, item):
    """Runs the item in another thread, as Ray does; joined, the list holds its answer."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(worker.run(number, item, True)))
    thread.start()
    return thread, answers


def test_items_without_events():
    worker = worker_with(double)
    assert [worker.run(number, number, False).value for number in range(3)] == [0, 2, 4]


def test_what_ends_the_map_is_an_answer():
    assert isinstance(worker_with(press_ctrl_c).run(0, 1, False), KeyboardInterrupt)


def test_a_value_that_cannot_travel_is_a_failure():
    assert worker_with(return_what_cannot_travel).run(0, 1, False).failed


def test_events_alternate_with_answers():
    worker = worker_with(report)
    for number in range(3):
        thread, answers = running(worker, number, 3)
        heard = [worker.next_event(number, None)]
        while heard[-1] is not None:
            heard.append(worker.next_event(number, False))
        thread.join()
        assert heard == [{"step": 0}, {"step": 1}, {"step": 2}, None] and answers[0].value == 3


def test_an_answer_or_a_word_in_between_cancels():
    worker = worker_with(report_for_ever)
    thread, answers = running(worker, 0, 1)
    assert worker.next_event(0, None) == {"step": 0} and worker.next_event(0, True) is None
    thread.join()
    again, more = running(worker, 1, 1)
    worker.next_event(1, None)
    worker.cancel(1)
    again.join()
    assert isinstance(answers[0].error, Cancelled) and isinstance(more[0].error, Cancelled)


def test_who_asks_for_no_accelerator_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    RayWorker()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    RayWorker(hidden=True)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
