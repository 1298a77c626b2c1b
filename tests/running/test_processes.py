import copy
import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from subarch.errors import DataError, SubarchError
from subarch.running.processes import available_processes, map_in_order


def test_one_process_is_this_one_and_draws_lazily():
    drawn = []
    items = (drawn.append(number) or number for number in range(9))
    found = map_in_order(lambda: lambda item: (item, os.getpid()), items, 1)
    assert next(found) == (0, os.getpid()) and drawn == [0]


def test_order_is_kept_and_no_more_is_drawn_than_the_processes_take():
    drawn = []
    items = (drawn.append(number) or number for number in range(20))
    found = map_in_order(functools.partial(functools.partial, pow, 2), items, 2)
    assert next(found) == 1 and len(drawn) == 4
    assert list(found) == [2**number for number in range(1, 20)]


def test_the_environment_is_set_in_the_others_alone():
    make = functools.partial(functools.partial, os.getenv)
    assert list(map_in_order(make, ["SUBARCH_TEST"], 2, {"SUBARCH_TEST": "1"})) == ["1"]
    assert "SUBARCH_TEST" not in os.environ


def test_errors_come_back_with_their_hint():
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(functools.partial(functools.partial, divmod, 1), [1, 0], 2))
    error = DataError("broken", "mend it")
    again = copy.copy(error)  # goes the way of pickling
    assert (again.message, again.hint) == ("broken", "mend it")


def test_a_process_that_dies_is_one_line():
    with pytest.raises(SubarchError, match="a worker process died"):
        list(map_in_order(functools.partial(functools.partial, os._exit), [3, 4, 5], 2))


def test_killed_it_leaves_no_process_behind():
    program = (
        "import functools, os, time\n"
        "from subarch.running.processes import map_in_order\n"
        "if __name__ == '__main__':\n"
        "    found = map_in_order(functools.partial(functools.partial, eval), ['__import__(\"os\").getpid()'] * 9, 2)\n"
        "    print(next(found), flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        worker = int(process.stdout.readline())
        os.kill(worker, 0)
        process.send_signal(signal.SIGKILL)
        limit = time.monotonic() + 20
        while alive(worker):
            assert time.monotonic() < limit
            time.sleep(0.05)


def alive(number):
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_there_is_a_processor():
    assert available_processes() >= 1
