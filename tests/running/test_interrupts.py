import os
import signal
import subprocess
import sys
import threading

import pytest

from subarch.running.interrupts import saving_on_interrupt


def send(signum=signal.SIGINT):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_asks(signum):
    with saving_on_interrupt() as stop_requested:
        assert not stop_requested()
        send(signum)
        assert stop_requested()


def test_second_signal_stops():
    with pytest.raises(KeyboardInterrupt), saving_on_interrupt():
        send(signal.SIGTERM)
        send(signal.SIGINT)


@pytest.mark.parametrize("presses", [0, 1, 2])
def test_handlers_come_back(presses):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        with saving_on_interrupt():
            for _ in range(presses):
                send()
    except KeyboardInterrupt:
        assert presses == 2
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outer_block_knows_what_the_inner_one_got():
    with saving_on_interrupt() as outer:
        with saving_on_interrupt():
            pass
        assert not outer()
        with saving_on_interrupt() as inner:
            send()
            assert inner()
        assert outer()


def test_request_without_a_signal():
    with saving_on_interrupt() as stop_requested:
        stop_requested.request()
        assert stop_requested()


def test_other_threads_have_no_signals():
    seen = []

    def work():
        with saving_on_interrupt() as stop_requested:
            seen.append(stop_requested())

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_signal_that_was_off_stays_off():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with saving_on_interrupt() as stop_requested:
            send()
            assert not stop_requested()
    finally:
        signal.signal(signal.SIGINT, before)


LOOP = """
import time
from subarch.running.interrupts import saving_on_interrupt
with saving_on_interrupt() as stop_requested:
    print("ready", flush=True)
    while not stop_requested():
        time.sleep(0.01)
    print("saved", flush=True)
"""


def test_a_real_ctrl_c_lets_the_loop_save():
    process = subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "saved\n"
        assert process.wait(timeout=10) == 0
