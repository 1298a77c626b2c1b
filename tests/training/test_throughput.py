import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from subarch.arch.costs import flops
from subarch.arch.published import PUBLISHED
from subarch.errors import ConfigError
from subarch.training import throughput
from subarch.training.throughput import Meter, peak_flops, step_flops

BORT, ROBERTA = PUBLISHED["bort"].architecture, PUBLISHED["roberta-large"].architecture


def test_the_operations_of_a_step():
    alone = step_flops(BORT, None, block_size=512, masked=76)
    head = 2 * 1024**2 + 2 * 1024 * 50265
    assert alone == 3 * (flops(BORT, 512) + 76 * head)
    taught = step_flops(BORT, ROBERTA, block_size=512, masked=76)
    assert taught - alone == flops(ROBERTA, 512) + 76 * head
    related = step_flops(BORT, ROBERTA, block_size=512, masked=76, signal="relations")
    assert related - alone == flops(ROBERTA, 512)


def test_named_hardware_and_this_one():
    assert peak_flops("A100", torch.device("cpu"), torch.float32) == 312e12
    assert peak_flops(None, torch.device("cpu"), torch.float32) > 1e8
    with pytest.raises(ConfigError, match="unknown hardware 'a10'") as caught:
        peak_flops("a10", torch.device("cpu"), torch.float32)
    assert "a100" in caught.value.hint


def test_only_steps_are_measured():
    times = iter([0.0, 2.0, 7.0, 9.0])
    meter = Meter(100, 1000.0, 5000.0, clock=lambda: next(times))
    events = [meter({"event": name}) for name in ("step", "step", "evaluation", "step")]
    assert [event.get("tokens_per_second") for event in events] == [None, 50.0, None, 50.0]
    assert events[1]["flops_utilisation"] == pytest.approx(0.1)
    assert meter.rates == {"tokens_per_second": 50.0, "flops_utilisation": pytest.approx(0.1)}


def test_a_single_step_has_no_rate():
    meter = Meter(100, 1000.0, 5000.0)
    meter({"event": "step"})
    assert meter.rates == {}


class _Products(TorchDispatchMode):
    """Keeps the factors of matrix products."""

    def __init__(self):
        super().__init__()
        self.factors = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mm.default:
            self.factors += [factor.clone() for factor in args]
        return func(*args, **(kwargs or {}))


def test_the_peak_is_that_of_numbers_that_differ(monkeypatch):
    monkeypatch.setitem(throughput._SIDE, "cpu", 64)
    before = torch.get_rng_state()
    with _Products() as seen:
        peak_flops(None, torch.device("cpu"), torch.float32)
    assert len(seen.factors) >= 8
    assert all(0.8 < float(factor.std()) < 1.2 for factor in seen.factors)
    assert torch.equal(before, torch.get_rng_state())
