"""How fast training is: tokens per second, and which share of what the hardware can multiply goes into the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

from subarch.arch.architecture import Architecture
from subarch.arch.costs import flops
from subarch.errors import ConfigError, did_you_mean
from subarch.training.loop import Event

PEAK_FLOPS: Mapping[str, float] = {"v100": 125e12, "a100": 312e12, "h100": 989e12, "h200": 989e12}
"""Dense half-precision operations per second by the makers' data sheets."""
_SIDE = {"cpu": 1024, "cuda": 8192}


def step_flops(
    student: Architecture, teacher: Architecture | None, *, block_size: int, masked: float, signal: str = "logits"
) -> float:
    """Model operations per block of a training step: three times the student's forward pass, once the teacher's.

    Args:
        student: Its head decodes the masked positions only.
        teacher: Its head too, where its logits are imitated.
        block_size: Tokens of a block.
        masked: Masked positions of a block, on average.
        signal: What is imitated.
    """
    total = 3.0 * (flops(student, block_size) + masked * _head_flops(student))
    if teacher is not None:
        total += flops(teacher, block_size) + (masked * _head_flops(teacher) if signal == "logits" else 0.0)
    return total


def _head_flops(architecture: Architecture) -> int:
    """Of the masked-language head on one token."""
    return flops(architecture, 1, "masked-lm") - flops(architecture, 1)


def peak_flops(hardware: str | None, device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of named hardware, or those of a large matrix product here and now.

    Raises:
        ConfigError: Hardware that we do not know.
    """
    if hardware is None:
        return _measured(device, dtype)
    if hardware.lower() not in PEAK_FLOPS:
        raise ConfigError(f"unknown hardware {hardware!r}", did_you_mean(hardware, PEAK_FLOPS))
    return PEAK_FLOPS[hardware.lower()]


def _measured(device: torch.device, dtype: torch.dtype) -> float:
    side = _SIDE.get(device.type, 1024)
    # Random numbers, since equal ones toggle fewer transistors: an accelerator then clocks higher than it ever will.
    rng = torch.Generator(device).manual_seed(0)
    left, right = (torch.randn(side, side, device=device, dtype=dtype, generator=rng) for _ in range(2))
    best = float("inf")
    for _ in range(4):  # the first one warms up
        _wait(device)
        started = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Meter:
    """Adds `tokens_per_second` and `flops_utilisation` to the events of steps; evaluations do not count.

    Args:
        tokens: Of a step.
        operations: Of a step.
        peak: Operations per second of all devices.
    """

    def __init__(
        self, tokens: int, operations: float, peak: float, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._tokens, self._operations, self._peak, self._clock = tokens, operations, peak, clock
        self._last: float | None = None
        self.steps, self.seconds = 0, 0.0

    def __call__(self, event: Event) -> Event:
        """The event with its rates; the first step, which warms up, has none."""
        now, last = self._clock(), self._last
        self._last = now if event["event"] in ("step", "evaluation") else None
        if event["event"] != "step" or last is None or now <= last:
            return event
        self.steps += 1
        self.seconds += now - last
        return {**event, "tokens_per_second": self._tokens / (now - last), **self._utilisation(now - last)}

    @property
    def rates(self) -> dict[str, float]:
        """Both means over the steps so far; nothing after fewer than two steps."""
        if not self.steps:
            return {}
        each = self.seconds / self.steps
        return {"tokens_per_second": self._tokens / each, **self._utilisation(each)}

    def _utilisation(self, seconds: float) -> dict[str, float]:
        return {"flops_utilisation": self._operations / seconds / self._peak}
