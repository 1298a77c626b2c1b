"""î of the candidates: measured in turn with the teacher on one device, or nominal milliseconds from FLOPs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from subarch.arch.architecture import Architecture
from subarch.arch.costs import flops, parameters
from subarch.deploy.forward import Forward, timing_device
from subarch.deploy.timing import Latency, measure_latency
from subarch.stages.extraction.settings import Timing, TimingConfig

NOMINAL_FLOPS_PER_MS = 1e8
"""100 GFLOP/s: about one core of a present server processor in fp32; only ratios matter."""
HELD_PARAMETERS = 10**9
"""Parameters of the models that wait in memory at a time: 4 GB."""

Arrays = dict[str, np.ndarray]


def nominal_timings(architectures: Sequence[Architecture], lengths: Sequence[int], batch_size: int) -> list[Timing]:
    """Milliseconds that follow from FLOPs alone: the mean over inputs of these lengths."""
    found = []
    for architecture in architectures:
        ms = float(np.mean([flops(architecture, length) for length in lengths])) * batch_size / NOMINAL_FLOPS_PER_MS
        found.append(Timing(latency_ms=ms, low_ms=ms, high_ms=ms))
    return found


def time_in_turn(
    config: TimingConfig,
    teacher: nn.Module,
    candidates: Sequence[Architecture],
    build: Callable[[Architecture], nn.Module],
    requests: Sequence[Arrays],
) -> tuple[Timing, list[Timing]]:
    """Measure the teacher and all candidates, round after round, each taking its turn.

    As many as fit into `HELD_PARAMETERS` are measured together with the teacher. Where they are parted into groups, a
    candidate's time is its ratio to the teacher within its group's rounds, times the teacher's time over all groups:
    a machine that became slower meanwhile favours nobody.

    Args:
        config: Device, threads, rounds.
        teacher: T; it stays on its device.
        candidates: The others.
        build: Makes a candidate; its weights do not matter.
        requests: What one input looks like, the same for all.

    Raises:
        ConfigError: The device is not here.
    """
    device = timing_device(config.device)
    groups = list(_groups(candidates))
    # Candidates are cut from the teacher while it is timed: it stays where it is, and a copy is timed elsewhere.
    here = next(teacher.parameters()).device == device
    reference = Forward((teacher if here else deepcopy(teacher).to(device)).eval(), device)
    measured: list[dict[str, Latency]] = []
    for group in groups:
        forwards = {"teacher": reference} | {str(i): _forward(build, candidates[i], device) for i in group}
        calls = {name: (each, [each.inputs(request) for request in requests]) for name, each in forwards.items()}
        measured.append(_measure(config, calls))
    whole = _timing(np.concatenate([np.asarray(found["teacher"].rounds_ms) for found in measured]))
    if len(groups) == 1:
        return whole, [_timing(np.asarray(measured[0][str(i)].rounds_ms)) for i in groups[0]]
    timings = []
    for group, found in zip(groups, measured, strict=True):
        theirs = np.asarray(found["teacher"].rounds_ms)
        timings += [_timing(np.asarray(found[str(i)].rounds_ms) / theirs * whole.latency_ms) for i in group]
    return whole, timings


def random_requests(config: TimingConfig, vocab_size: int, seed: int = 0) -> list[Arrays]:
    """One batch of random tokens for each of the configured lengths."""
    rng = np.random.default_rng(seed)
    return [
        {
            "input_ids": rng.integers(0, vocab_size, (config.batch_size, length)),
            "attention_mask": np.ones((config.batch_size, length), dtype=np.int64),
        }
        for length in config.sequence_lengths
    ]


def _groups(candidates: Sequence[Architecture]) -> Iterator[list[int]]:
    group: list[int] = []
    held = 0
    for index, candidate in enumerate(candidates):
        count = parameters(candidate).total
        if group and held + count > HELD_PARAMETERS:
            yield group
            group, held = [], 0
        group.append(index)
        held += count
    yield group


def _forward(build: Callable[[Architecture], nn.Module], candidate: Architecture, device: torch.device) -> Forward:
    return Forward(build(candidate).to(device).eval(), device)


def _measure(
    config: TimingConfig, calls: Mapping[str, tuple[Forward, list[dict[str, torch.Tensor]]]]
) -> dict[str, Latency]:
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        return measure_latency(calls, repeats=config.repeats, warmup=config.warmup)
    finally:
        torch.set_num_threads(before)


def _timing(rounds_ms: np.ndarray) -> Timing:
    low, median, high = np.quantile(rounds_ms, (0.25, 0.5, 0.75))
    return Timing(latency_ms=float(median), low_ms=float(low), high_ms=float(high))
