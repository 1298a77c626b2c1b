import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from contracts.executor_contract import (
    ExecutorContract,
    report,
    report_and_die,
    report_for_ever,
    return_what_cannot_travel,
    sleep_through,
)
from subarch.errors import ConfigError, InterruptedRun
from subarch.running.executor import WorkerLost
from subarch.running.process_executor import ProcessExecutor


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert not multiprocessing.active_children()


class TestProcessExecutor(ExecutorContract):
    def make(self, workers=2):
        return ProcessExecutor(workers)


def test_a_value_that_cannot_travel_is_a_failure():
    failed, fine = ProcessExecutor(1).map(return_what_cannot_travel, [1, 2])
    assert "pickle" in str(failed.error) and fine.failed


def test_a_function_that_cannot_travel_is_refused_and_leaves_nothing():
    with pytest.raises((AttributeError, TypeError, ValueError)):
        list(ProcessExecutor(1).map(lambda item: item, [1]))


def test_a_kill_names_its_signal_and_the_place_is_taken_again():
    lost, fine = ProcessExecutor(1).map(eval, ["__import__('os').kill(__import__('os').getpid(), 9)", "1"])
    assert isinstance(lost.error, WorkerLost) and "SIGKILL" in lost.error.message
    assert fine.result() == 1


def test_processes_serve_many_items():
    found = [outcome.result() for outcome in ProcessExecutor(2).map(eval, ["__import__('os').getpid()"] * 6)]
    assert len(set(found)) <= 2 and os.getpid() not in found


def test_what_a_worker_told_before_it_died_is_heard():
    heard = []
    (lost,) = ProcessExecutor(1).map(report_and_die, [1], on_event=lambda item, event: heard.append(event))
    assert isinstance(lost.error, WorkerLost) and "exit code 7" in lost.error.message and heard == [{"step": 0}]


def test_a_process_that_died_while_it_waited_costs_no_item():
    outcomes = ProcessExecutor(1).map(eval, ["__import__('os').getpid()"] * 2)
    first = next(outcomes).result()
    os.kill(first, signal.SIGKILL)
    # Until its last thread is gone it still holds its end of the line, although its first one is a zombie by then.
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert next(outcomes).result() != first
    outcomes.close()


def test_threads_and_environment_are_set_before_anything_is_imported(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    executor = ProcessExecutor(1, threads_per_worker=3, environment={"SUBARCH_TEST": "1"})
    question = "[__import__('os').environ[name] for name in ('OMP_NUM_THREADS', 'SUBARCH_TEST')]"
    assert [outcome.result() for outcome in executor.map(eval, [question])] == [["3", "1"]]
    assert os.environ["OMP_NUM_THREADS"] == "7" and "SUBARCH_TEST" not in os.environ


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 1, "threads_per_worker": 0}])
def test_numbers_are_above_zero(wrong):
    with pytest.raises(ConfigError, match="is 0, expected 1 or more"):
        ProcessExecutor(**wrong)


def test_ctrl_c_ends_the_map_and_cancels():
    verdicts = []

    def press(item, event):
        if event["step"] == 3 and not verdicts:
            verdicts.append(item)
            os.kill(os.getpid(), signal.SIGINT)

    start = time.monotonic()
    with pytest.raises(InterruptedRun, match="interrupted while workers ran"):
        list(ProcessExecutor(1).map(report_for_ever, [1, 2], on_event=press))
    assert time.monotonic() - start < 5  # far from the 10,000 steps, and from the end of the grace


def test_ctrl_c_that_comes_with_an_outcome_is_not_forgotten():
    def press_as_it_ends(item, event):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)  # in which its outcome arrives

    outcomes = ProcessExecutor(1).map(report, [1, 1], on_event=press_as_it_ends)
    assert next(outcomes).result() == 1
    with pytest.raises(InterruptedRun):
        next(outcomes)


def test_what_does_not_listen_is_ended(monkeypatch):
    monkeypatch.setattr("subarch.running.process_executor._GRACE", 0.3)
    outcomes = ProcessExecutor(2).map(sleep_through, [0, 60], on_event=print)
    assert next(outcomes).result() == 0
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 10


def run_script(tmp_path, body):
    script = tmp_path / "script.py"
    script.write_text("from subarch.running.process_executor import ProcessExecutor\n" + body)
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


SLEEPER = "__import__('time').sleep(60)"


def test_workers_end_with_a_killed_driver(tmp_path):
    body = (
        "if __name__ == '__main__':\n"
        f"    items = [\"__import__('os').getpid()\", {SLEEPER!r}]\n"
        "    outcomes = ProcessExecutor(1).map(eval, items)\n"
        "    print(next(outcomes).result(), flush=True)\n"
        "    next(outcomes)\n"
    )
    with run_script(tmp_path, body) as driver:
        worker = int(driver.stdout.readline())
        assert alive(worker)
        driver.kill()
        limit = time.monotonic() + 20
        while alive(worker):
            assert time.monotonic() < limit
            time.sleep(0.02)


def test_an_iterator_left_open_keeps_no_driver_from_ending(tmp_path):
    body = "if __name__ == '__main__':\n    outcomes = ProcessExecutor(2).map(eval, ['1'] * 9)\n    next(outcomes)\n"
    with run_script(tmp_path, body) as driver:
        assert driver.wait(20) == 0 and driver.stderr.read() == ""


def test_an_unguarded_script_is_told_so(tmp_path):
    with run_script(tmp_path, "list(ProcessExecutor(1).map(eval, ['1']))\n") as driver:
        assert driver.wait(20) == 1
        last = driver.stderr.read().splitlines()
    assert "could not start: exit code 1" in last[-2] and "__main__" in last[-1]


def test_a_ctrl_c_of_the_terminal_reaches_the_driver_alone(tmp_path):
    body = (
        "from subarch.errors import InterruptedRun\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        f"        list(ProcessExecutor(2).map(eval, [{SLEEPER!r}] * 2))\n"
        "    except InterruptedRun as error:\n"
        "        print(error.message)\n"
    )
    with run_script(tmp_path, body) as driver:
        driver.stdout.readline()
        time.sleep(0.15)  # the workers are about to start, or have
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(20) == 0
        assert "interrupted" in driver.stdout.read() and driver.stderr.read() == ""


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_worker_sees_one_accelerator_also_in_place_of_a_lost_one():
    executor = ProcessExecutor(2, accelerators=("GPU-a", "GPU-b"))
    seen = "(__import__('time').sleep(0.2), __import__('os').environ['CUDA_VISIBLE_DEVICES'])[1]"
    died = "__import__('os')._exit(7)"
    outcomes = {outcome.item: outcome for outcome in executor.map(eval, [died, seen, f"[{seen}]", f"({seen},)"])}
    assert isinstance(outcomes[died].error, WorkerLost)
    found = [outcomes[seen].result(), *outcomes[f"[{seen}]"].result(), *outcomes[f"({seen},)"].result()]
    assert set(found) == {"GPU-a", "GPU-b"}


def test_without_accelerators_the_variable_stays(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    question = "__import__('os').environ['CUDA_VISIBLE_DEVICES']"
    assert [outcome.result() for outcome in ProcessExecutor(1).map(eval, [question])] == ["5"]
