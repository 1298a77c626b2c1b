"""Measure how long models take to answer single inputs, all in turn on the same inputs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subarch.deploy.runtime import open_runtime
from subarch.deploy.timing import Latency, measure_latency
from subarch.errors import ConfigError
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.session.output import Result, claim
from subarch.session.session import Session, seconds_left
from subarch.tasks.base import Examples, Task
from subarch.training.processes import require_one_process


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """Which models, on which inputs."""

    models: tuple[str, ...]
    """Folders (PyTorch or ONNX) or Hub ids; the first is what the others' speed-up refers to."""
    out: Path
    data: DataConfig
    threads: int = 1
    """Threads of every runtime."""
    requests: int = 12
    """Test examples, one at a time, evenly spread over the lengths that occur."""
    repeats: int = 15
    max_length: int | None = None
    """Longest input in tokens; that of the task by default."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.models:
            raise ConfigError("no models, expected at least one folder or Hub id")
        for name in ("requests", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")


def latency(config: LatencyConfig, session: Session | None = None) -> Result:
    """Time the models in turn.

    Returns:
        Metrics by model: `latency_ms` (median over repeats of the mean over requests), `latency_ms_low` and
        `latency_ms_high` (quartiles), `speedup` over the first model (median of the ratios within repeats); and
        `threads`. Tokenisation is not included.
    """
    require_one_process("latency")
    session = session or Session()
    data = load_data(config.data)
    folders = [ModelFolder.of_any(source) for source in config.models]
    paths = {source: model.path for source, model in zip(config.models, folders, strict=True)}
    with claim(config.out, "latency", config, data.fingerprint, paths) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, "latency") as run:
            started = time.monotonic()
            sample = spread_over_lengths(data.task, data.test, config.requests)
            contestants = {
                source: contestant(model, data.task, sample, config.threads, config.max_length or data.task.max_length)
                for source, model in zip(config.models, folders, strict=True)
            }
            found = in_turn(contestants, config.threads, config.repeats, seconds_left(session.deadline))
            metrics: dict[str, Any] = {"threads": config.threads}
            for name, values in found.items():
                metrics[name] = latency_numbers(values, found[config.models[0]])
                run.log({f"{name}.{key}": value for key, value in metrics[name].items()}, step=0)
        return folder.finish(metrics, {}, run.run_id, time.monotonic() - started)


def spread_over_lengths(task: Task, examples: Examples, count: int) -> Examples:
    """`count` questions at evenly spaced quantiles of the length in characters; each with all its rows."""
    pairs = examples.pairs or [""] * len(examples)
    lengths = np.asarray([len(text) + len(pair) for text, pair in zip(examples.texts, pairs, strict=True)])
    groups = kind_of(task).groups(examples)
    _, unit = np.unique(np.arange(len(examples)) if groups is None else groups, return_inverse=True)
    order = np.argsort(np.bincount(unit, lengths), kind="stable")
    positions = (np.arange(min(count, len(order))) + 0.5) / min(count, len(order)) * len(order)
    chosen = order[positions.astype(int)]
    return examples.take(chosen if groups is None else np.flatnonzero(np.isin(unit, chosen)))


def contestant(
    model: ModelFolder, task: Task, examples: Examples, threads: int, max_length: int
) -> tuple[Any, list[Any]]:
    """(answer one request, the requests): a model with examples tokenised its own way, one question a request."""
    kind, rows = kind_of(task), model.tokenise(task, examples, max_length)
    requests = [rows.request(unit) for unit in kind.units(rows, examples)]
    return open_runtime(model.path, threads, lambda path: kind.opened(path, task)), requests


def in_turn(
    contestants: Mapping[str, tuple[Any, list[Any]]], threads: int, repeats: int, seconds: float | None
) -> dict[str, Latency]:
    """Time the contestants with PyTorch on as many threads as the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return measure_latency(contestants, repeats=repeats, seconds=seconds)
    finally:
        torch.set_num_threads(before)


def latency_numbers(latency: Latency, reference: Latency) -> dict[str, float]:
    """The contract's names for a latency."""
    return {
        "latency_ms": latency.median_ms,
        "latency_ms_low": latency.low_ms,
        "latency_ms_high": latency.high_ms,
        "speedup": latency.speedup_over(reference),
    }
