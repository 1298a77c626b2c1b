"""What a trial reports, and which of it is a function of its configuration, so that no search needs to learn it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_config
from subarch.arch.costs import flops, parameters
from subarch.arch.families import axes_of, family_of, layer_of, rename_layer
from subarch.errors import ConfigError
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import KINDS, kind_of
from subarch.optimize.domain import Params
from subarch.stages.trials.latency import read_table, size_key
from subarch.stages.trials.params import possible_values
from subarch.stages.trials.settings import SearchConfig
from subarch.stages.trials.student import SIZES, StudentConfig, architecture_of
from subarch.stages.trials.views import vocabulary_size
from subarch.tasks.base import Task

Tensors = tuple[tuple[str, tuple[str | int, ...]], ...]
"""Name and dimensions of each: an axis, or a length that is always the same."""
Known = dict[str, Callable[[Params], float]]

COSTS = ("num_parameters", "encoder_parameters", "flops", "model_bytes", "latency_ms")
"""Measured where the search asks for them."""
_QUALITIES = (
    "accuracy",
    "f1",
    "f1_macro",
    "f1_answers",
    "matthews_correlation",
    "pearson",
    "spearman",
    "rmse",
    "exact_match",
    "gender_parity",
)
METRICS = ("score", *_QUALITIES, *(name for kind in KINDS.values() for name in kind.further_metrics), *COSTS)
"""Every name that a trial of some task can report."""
_SHAPING = (*SIZES, "embedding_size", "vocabulary", "start")
"""Settings that a student's size depends on."""


def metrics_of(task: Task) -> tuple[str, ...]:
    """What a trial of this task can report; "score" is another name of its main metric."""
    return ("score", *task.metrics, *kind_of(task).further_metrics, *COSTS)


def counted_length(task: Task, teacher: Architecture, max_length: int | None) -> int:
    """Tokens of the input whose operations are counted: the longest that a student is given."""
    return min(max_length or task.max_length, teacher.max_length)


def operations(architecture: Architecture, task: Task, length: int) -> int:
    """Floating-point operations of one forward pass on one input (Bort, Lemma 1), its head included."""
    return flops(architecture, length, kind_of(task).head, task.num_outputs)


@dataclass(frozen=True)
class Skeleton:
    """Names and axes of a model's tensors, from which its size follows for any architecture."""

    family: str
    outside: Tensors
    first: Tensors
    other: Tensors
    """Of the second layer, as all further ones are."""

    @classmethod
    def of(cls, teacher: ModelFolder, task: Task) -> Skeleton:
        """That of the students of a teacher; a model of two layers is built, without any weights."""
        whole = teacher.architecture
        two = whole.keep_layers(range(2)) if whole.num_hidden_layers > 1 else whole.replace(num_hidden_layers=2)
        config = build_config(two, teacher.config, num_labels=task.num_outputs)
        with torch.device("meta"):
            model = kind_of(task).build(config, empty=True)
        family = family_of(whole.family)
        found: dict[int | None, list[Any]] = {None: [], 0: [], 1: []}
        for name, tensor in model.state_dict().items():
            axes = axes_of(family, name)
            sizes = tuple(axis or size for axis, size in zip(axes, tensor.shape, strict=True))
            found[layer_of(family, name)].append((name, sizes))
        return cls(whole.family, tuple(found[None]), tuple(found[0]), tuple(found[1]))

    def shapes(self, architecture: Architecture) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Every tensor's name and shape."""
        sizes: dict[Any, Any] = dict(architecture.axis_sizes())
        family = family_of(self.family)
        for name, axes in self.outside:
            yield name, tuple(sizes.get(axis, axis) for axis in axes)
        for layer in range(architecture.num_hidden_layers):
            for name, axes in self.first if layer == 0 else self.other:
                yield rename_layer(family, name, layer), tuple(sizes.get(axis, axis) for axis in axes)

    def num_parameters(self, architecture: Architecture) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(shape) for _, shape in self.shapes(architecture))

    def model_bytes(self, architecture: Architecture) -> int:
        """Bytes of the safetensors file: the numbers in fp32 and the header, which names them in order."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, shape in sorted(self.shapes(architecture)):
            start, end = end, end + 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
        length = len(json.dumps(header, separators=(",", ":")).encode())
        return 8 + math.ceil(length / 8) * 8 + end


def known_metrics(config: SearchConfig, teacher: ModelFolder, task: Task, shared: Path | None = None) -> Known:
    """The metrics among `COSTS` that are exact functions of a configuration.

    Sizes that cannot be cost infinitely much. `num_parameters` and `model_bytes` are left out where the share of the
    vocabulary is searched as a range, or below 1 and not cut yet: how many tokens are kept depends on the data.
    `latency_ms` is known where `prepare_shared` measured it for all architectures.

    Args:
        config: The search.
        teacher: Its teacher, fine-tuned or not.
        task: What is asked.
        shared: Folder of `prepare_shared`.
    """
    skeleton = Skeleton.of(teacher, task)
    length = counted_length(task, teacher.architecture, config.max_length)
    sizes = _vocabulary_sizes(config, teacher, shared)
    table = {} if shared is None else read_table(shared)
    measures: dict[str, Callable[[Architecture], float]] = {
        "encoder_parameters": lambda found: parameters(found).encoder,
        "flops": lambda found: operations(found, task, length),
    }
    if sizes is not None:
        measures |= {"num_parameters": skeleton.num_parameters, "model_bytes": skeleton.model_bytes}
    if table:
        measures["latency_ms"] = lambda found: table[size_key(found)][0]

    @lru_cache(maxsize=4096)
    def architecture(values: tuple[Any, ...]) -> Architecture | None:
        student: StudentConfig = dataclasses.replace(config.student, **dict(zip(_SHAPING, values, strict=True)))
        try:
            return architecture_of(student, teacher.architecture, (sizes or {}).get(student.vocabulary))
        except ConfigError:
            return None

    def known(measure: Callable[[Architecture], float]) -> Callable[[Params], float]:
        cached = lru_cache(maxsize=4096)(measure)

        def value(params: Params) -> float:
            given = (params.get(f"student.{name}", getattr(config.student, name)) for name in _SHAPING)
            found = architecture(tuple(given))
            return math.inf if found is None else float(cached(found))

        return value

    return {name: known(measure) for name, measure in measures.items()}


def _vocabulary_sizes(config: SearchConfig, teacher: ModelFolder, shared: Path | None) -> Mapping[float, int] | None:
    """Tokens by share; None unless all are known."""
    found: dict[float, int | None] = {}
    for share in possible_values(config, "student.vocabulary") or (None,):
        whole = share is not None and float(share) >= 1
        if share is None or (shared is None and not whole):
            return None
        found[float(share)] = vocabulary_size(teacher, (shared or Path()) / "views", float(share))
    return None if None in found.values() else found  # type: ignore[return-value]
