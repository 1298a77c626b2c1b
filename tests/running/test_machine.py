import json
import os

import pytest

from subarch.running.machine import describe_machine

INTEL = """processor\t: 0
model name\t: Some Xeon @ 2.00GHz
physical id\t: 0
core id\t: 0
flags\t\t: fpu avx2 avx512_bf16 amx_tile

processor\t: 1
model name\t: Some Xeon @ 2.00GHz
physical id\t: 0
core id\t: 0
flags\t\t: fpu avx2 avx512_bf16 amx_tile

processor\t: 2
model name\t: Some Xeon @ 2.00GHz
physical id\t: 0
core id\t: 1
flags\t\t: fpu avx2 avx512_bf16 amx_tile
"""

ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd bf16

processor\t: 1
BogoMIPS\t: 243.75
Features\t: fp asimd bf16
"""


def test_this_machine():
    machine = describe_machine()
    assert set(machine) == {"cpu", "physical_cores", "threads", "memory_bytes", "bf16", "platform", "python"}
    assert machine["cpu"]
    assert 1 <= machine["threads"] <= os.cpu_count()
    assert machine["physical_cores"] >= 1
    assert machine["memory_bytes"] is None or machine["memory_bytes"] > 2**26
    assert json.loads(json.dumps(machine)) == machine


def test_threads_of_a_core_are_one_core():
    machine = describe_machine(INTEL)
    assert machine["cpu"] == "Some Xeon @ 2.00GHz"
    assert machine["physical_cores"] == 2
    assert machine["bf16"]


def test_arm_names_no_cores():
    machine = describe_machine(ARM)
    assert machine["cpu"]
    assert machine["physical_cores"] == 2
    assert machine["bf16"]


@pytest.mark.parametrize("flags", ["fpu avx2 avx512f", "fpu avx512_bf16x", ""])
def test_old_processors_have_no_bf16(flags):
    assert not describe_machine(f"processor\t: 0\nflags\t: {flags}\n")["bf16"]


def test_no_cpuinfo():
    machine = describe_machine("")
    assert machine["cpu"]
    assert machine["physical_cores"] == machine["threads"]
    assert not machine["bf16"]
