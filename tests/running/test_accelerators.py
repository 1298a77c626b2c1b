from types import SimpleNamespace

import pytest
import torch

from subarch.running.accelerators import held_to_share, taken_by_others, visible_accelerators
from subarch.running.executor import WorkerLost
from subarch.running.faults import is_configurations_fault

GIB = 2**30
MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.1 GiB is free."
)


@pytest.mark.parametrize(
    ("message", "held", "others"),
    [(MESSAGE, 10 * GIB, True), (MESSAGE, 18.5 * GIB, False), ("CUDA out of memory", 0, False)],
    ids=["below its share", "beyond its share", "nobody knows"],
)
def test_whose_want_of_memory_it_is(message, held, others):
    assert taken_by_others(message, held, 20 * GIB) is others


@pytest.fixture
def accelerator(monkeypatch):
    """One of 80 GiB, of which this process had 10 at most."""
    made = SimpleNamespace(fraction=None, emptied=0)

    def empty():
        made.emptied += 1

    functions = {
        "is_available": lambda: True,
        "set_per_process_memory_fraction": lambda share: setattr(made, "fraction", share),
        "reset_peak_memory_stats": lambda: None,
        "current_device": lambda: 0,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=80 * GIB),
        "max_memory_reserved": lambda: 10 * GIB,
        "empty_cache": empty,
    }
    for name, function in functions.items():
        monkeypatch.setattr(torch.cuda, name, function)
    return made


def test_a_neighbours_appetite_is_no_fault_of_a_trial(accelerator):
    with pytest.raises(WorkerLost, match="below this one's share of 25%") as caught, held_to_share(0.25):
        raise torch.OutOfMemoryError(MESSAGE)
    assert not is_configurations_fault(caught.value)
    assert accelerator.fraction == 0.25 and accelerator.emptied == 1


@pytest.mark.parametrize("share", [0.125, 1.0])
def test_what_is_too_large_for_its_share_is(accelerator, share):
    with pytest.raises(torch.OutOfMemoryError) as caught, held_to_share(share):
        raise torch.OutOfMemoryError(MESSAGE)
    assert is_configurations_fault(caught.value) and accelerator.emptied == 1


def test_accelerators_are_those_that_this_process_sees(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_accelerators() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-ab,9")
    assert visible_accelerators() == ("3", "GPU-ab")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert visible_accelerators() == ()
