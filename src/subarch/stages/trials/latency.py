"""How long students take: measured once for a list of architectures, else student by student."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.deploy.forward import Forward
from subarch.deploy.timing import measure_latency
from subarch.errors import ConfigError
from subarch.stages.extraction.settings import TimingConfig
from subarch.stages.extraction.timing import time_in_turn
from subarch.stages.trials.params import apply_params, possible_values
from subarch.stages.trials.settings import SearchConfig
from subarch.stages.trials.student import SIZES, Donor, architecture_of
from subarch.storage import read_json, write_json
from subarch.tasks.encode import pad
from subarch.training.classifier import EncodedData

TABLE = "latency.json"
MOST_ARCHITECTURES = 60
"""More are measured student by student."""
REQUESTS = 8
"""Validation examples that are timed, one at a time, evenly spread over the lengths that occur."""
REPEATS = 9
WARMUP = 2
NORMAL_QUARTILES = 1.349
"""Distance of the quartiles of a normal distribution, in standard deviations."""

Timed = tuple[float, float]
"""Milliseconds for one input: the median over rounds, and their spread as a standard deviation."""
Arrays = dict[str, np.ndarray]


def size_key(architecture: Architecture) -> str:
    """What of an architecture its latency follows from: a smaller vocabulary makes nothing faster."""
    sizes = [getattr(architecture, name) for name in (*SIZES, "embedding_width")]
    return "x".join(str(size) for size in sizes)


def table_architectures(config: SearchConfig, teacher: Architecture) -> list[Architecture] | None:
    """Every architecture of a search that is judged by its latency; None where they are too many, or it is not."""
    metric = config.metrics.get("latency_ms")
    if metric is None or metric.store:
        return None
    names = [f"student.{name}" for name in (*SIZES, "embedding_size", "start")]
    options = [possible_values(config, name) for name in names]
    found: dict[str, Architecture] = {}
    for values in itertools.product(*(option for option in options if option is not None)):
        if None in options or len(found) > MOST_ARCHITECTURES:
            return None
        given = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        try:
            architecture = architecture_of(apply_params(config, given).student, teacher)
        except ConfigError:
            continue  # a trial of it will fail
        found.setdefault(size_key(architecture), architecture)
    return list(found.values()) if 0 < len(found) <= MOST_ARCHITECTURES else None


def measure_table(donor: Donor, architectures: Sequence[Architecture], data: EncodedData, folder: Path) -> None:
    """Time all of them in turn, on one thread, and write the table; nothing where it is there already."""
    if (folder / TABLE).exists():
        return
    timing = TimingConfig(repeats=REPEATS, warmup=WARMUP)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, found = time_in_turn(timing, donor.model, architectures, donor.fresh, requests_of(data))
    table = {
        size_key(architecture): [each.latency_ms, (each.high_ms - each.low_ms) / NORMAL_QUARTILES]
        for architecture, each in zip(architectures, found, strict=True)
    }
    write_json(folder / TABLE, table)


def read_table(folder: Path) -> Mapping[str, Timed]:
    """The table, by `size_key`; empty where none was measured."""
    path = folder / TABLE
    return {key: (ms, spread) for key, (ms, spread) in read_json(path).items()} if path.exists() else {}


def time_student(student: PreTrainedModel, data: EncodedData) -> Timed:
    """Time one student on this machine's processor, in fp32 on one thread."""
    device = torch.device("cpu")
    forward = Forward(student.to(device).eval(), device)
    requests = [forward.inputs(request) for request in requests_of(data)]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = measure_latency({"student": (forward, requests)}, repeats=REPEATS, warmup=WARMUP)["student"]
    finally:
        torch.set_num_threads(before)
    return found.median_ms, (found.high_ms - found.low_ms) / NORMAL_QUARTILES


def requests_of(data: EncodedData) -> list[Arrays]:
    """Single inputs at evenly spaced quantiles of the length."""
    order = np.argsort(data.encoded.lengths, kind="stable")
    count = min(REQUESTS, len(order))
    chosen = order[((np.arange(count) + 0.5) / count * len(order)).astype(int)]
    requests = [pad(data.encoded, np.asarray([index]), data.pad_token_id) for index in chosen]
    return [{name: array for name, array in request.items() if name != "labels"} for request in requests]
