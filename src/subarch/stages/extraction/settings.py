"""The configuration of `extract`, its presets, and what a workshop of candidates offers to the search."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import BeforeValidator

from subarch.arch.architecture import Architecture
from subarch.arch.grid import BORT_SIZES
from subarch.arch.space import SpaceConfig
from subarch.errors import ConfigError
from subarch.inputs.data import DataConfig
from subarch.inputs.models import ModelFolder
from subarch.tasks.base import Task
from subarch.training.settings import LoopConfig

ErrorName = Literal["cross-entropy", "kl"]
LatencyName = Literal["measured", "nominal"]
StartName = Literal["inherited", "random"]
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def parse_count(value: object) -> object:
    """20M, 1.5k or plain 20000000 as a whole number; what is no text passes.

    Raises:
        ConfigError: A text that is no count.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgb]?)", value.strip().lower())
    if match is None:
        raise ConfigError(f"the count is {value!r}, expected a number such as 20M", "write 20M, 500k or 20000000")
    return round(float(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True, kw_only=True)
class Theta:
    """θ, one set of hyperparameters; None takes what `loop` says."""

    learning_rate: float | None = None
    batch_size: int | None = None
    clip_norm: float | None = None
    warmup: float | None = None

    def over(self, loop: LoopConfig) -> LoopConfig:
        """The loop's settings under this θ."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(loop, **given)


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    """How î is measured: like the place where the model will run."""

    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    """Of the CPU."""
    sequence_lengths: tuple[int, ...] = ()
    """Tokens of the inputs that are timed; lengths that the held-out data has where none are given."""
    batch_size: int = 1
    """Inputs at a time; a latency is that of the whole batch."""
    repeats: int = 9
    """Counted rounds, in each of which all candidates take their turn."""
    warmup: int = 2
    """Rounds before, not counted."""

    def __post_init__(self) -> None:
        for name in ("threads", "batch_size", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"timing.{name} is {getattr(self, name)}, expected at least 1")
        if self.warmup < 0 or any(length < 1 for length in self.sequence_lengths):
            raise ConfigError("timing.warmup and timing.sequence_lengths are below what can be timed")


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Where to search and how to judge a candidate."""

    teacher: str
    """Folder or Hub id: the maximum point T. Fine-tuned on the task, or a masked language model for a corpus."""
    out: Path
    data: DataConfig | None = None
    """The task on which candidates are judged."""
    corpus: Path | None = None
    """Shards of `subarch prepare` instead: candidates are judged as masked language models, as in the paper."""
    preset: str | None = None
    """bort: the paper's settings for what is not given. The command line and `subarch.extract` apply it."""
    seed: int = 0
    max_length: int | None = None
    """Longest input of a task in tokens; by default the task's own."""
    space: SpaceConfig = field(default_factory=SpaceConfig)
    """Ξ. With a corpus the vocabulary stays, so its `vocabulary` and `max_total` do not count."""
    max_parameters: Annotated[int | None, BeforeValidator(parse_count)] = None
    """Candidates with more are left out of Ξ."""
    max_latency_ms: float | None = None
    """Candidates that take longer are left out of Ξ. All of Ξ is timed then."""
    epsilon: int | None = None
    """Every ε-th candidate is trained; None takes as many as the time allows, at most `candidates`."""
    candidates: int = 12
    """How many candidates to aim at when ε is not given."""
    steps: int = 30
    """s: training steps of each candidate; fewer where a budget is short."""
    halving: int | None = None
    """η: one of η candidates goes on to η times the steps, up to s; None trains all of them for s steps."""
    start: StartName = "inherited"
    """Candidates start from the teacher's most important weights, or from noise as in the paper."""
    thetas: tuple[Theta, ...] = ()
    """Θ; one set, the loop's own, where none is given."""
    error: ErrorName = "cross-entropy"
    """ê: cross-entropy to the teacher's outputs, the paper's form, or KL, which leaves out the teacher's entropy."""
    latency: LatencyName = "measured"
    """î: measured milliseconds, or nominal ones that follow from FLOPs and are the same in every run."""
    timing: TimingConfig = field(default_factory=TimingConfig)
    error_examples: int = 400
    """Validation examples of a task that ê is the mean over."""
    error_blocks: int = 64
    """Held-out blocks of a corpus that ê is the mean over, at their masked positions."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(evaluations=1))

    def __post_init__(self) -> None:
        given = [name for name in ("data", "corpus") if getattr(self, name) is not None]
        if len(given) != 1:
            found = "both a task and --corpus" if given else "none of --task, --train and --corpus"
            raise ConfigError(f"got {found}, expected one of them", "see subarch extract --help")
        for name in ("steps", "error_examples", "error_blocks", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.epsilon is not None and self.epsilon < 1:
            raise ConfigError(f"epsilon is {self.epsilon}, expected at least 1")
        if self.halving is not None and self.halving < 2:
            raise ConfigError(f"halving is {self.halving}, expected at least 2")
        for name in ("max_parameters", "max_latency_ms"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a number above zero")

    @property
    def nominal_length(self) -> int:
        """Longest input where nothing is read: what was given, or the usual length of a task."""
        return self.max_length or Task.max_length

    @property
    def loops(self) -> tuple[LoopConfig, ...]:
        """The loop's settings under each θ."""
        return tuple(theta.over(self.loop) for theta in self.thetas or (Theta(),))


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What was timed: milliseconds, the median over rounds and its quartiles."""

    latency_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One training of one candidate: what travels to where it runs."""

    candidate: Architecture
    theta: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class SurrogateError:
    """ê of one attempt, and what it is the mean of."""

    error: float
    interval: tuple[float, float]
    """95 %; the upper end is infinite where there is one unit only."""
    errors: tuple[float, ...]
    """What each held-out unit (a row, a block of a corpus) adds to ê, which is their mean."""
    units: str
    """Names these units: the same for all candidates that they judge."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the errors are one text, since a line for each would be long."""
        errors = " ".join(f"{error:.7g}" for error in self.errors)
        return {
            "error": self.error,
            "error_interval": json_interval(self.interval),
            "errors": errors,
            "units": self.units,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SurrogateError:
        """The inverse of `to_json`. Where nothing is known of the units, `errors` is empty."""
        low, high = value["error_interval"]
        return cls(
            error=value["error"],
            interval=(low, math.inf if high is None else high),
            errors=tuple(map(float, value.get("errors", "").split())),
            units=value.get("units", ""),
        )


def json_interval(interval: tuple[float, float]) -> list[float | None]:
    """[low, high]; None where there is no upper end, since JSON has no infinity."""
    low, high = interval
    return [low, None if math.isinf(high) else high]


def name_of_units(*arrays: np.ndarray) -> str:
    """A name that other held-out data, or another teacher's answers to it, would not have."""
    digest = sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class Workshop(Protocol):
    """Makes, trains and times candidates."""

    @property
    def teacher(self) -> ModelFolder:
        """The maximum point T."""
        ...

    def error_of(self, attempt: Attempt) -> SurrogateError:
        """Lines 7 and 8 of Algorithm 1: build, train for s steps, ê on held-out data."""
        ...

    def latencies(self, candidates: Sequence[Architecture]) -> tuple[Timing, list[Timing]]:
        """î of the teacher and of every candidate."""
        ...

    def save_student(self, candidate: Architecture, path: Path) -> None:
        """Write the candidate before any training, with its tokenizer, as a Hugging Face folder."""
        ...

    def facts(self, candidate: Architecture) -> dict[str, Any]:
        """What the result says about the chosen one and its error beside the table."""
        ...


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "bort": {
        "space": {"sizes": BORT_SIZES},
        "start": "random",
        "steps": 3,
        "epsilon": 1,
        "error": "cross-entropy",
        "timing": {"batch_size": 1, "sequence_lengths": [512]},
        # The paper's batch size, rate and clipping constant were not published: these are ours. So is no warm-up: 5 %
        # of three steps is less than one, and would only make the first a void one. Plain SGD has no weight decay.
        "loop": {
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "batch_size": 8,
            "clip_norm": 1.0,
            "warmup": 0.0,
            "schedule": "constant",
            "weight_decay": 0.0,
        },
    }
}
"""bort: Ξ, random weights, s = 3, one θ, and SGD with clipping are the paper's (arXiv 2010.10499, section 3.3); ε = 1
follows from its Table 1. What departs from it:

- ê: "cross-entropy between the last layers", read as that of the predicted words at masked positions. It cannot be the
  paper's: the W of its Table 1 imply 0.093 to 0.6 (`benchmarks/table1.py`), while ours is near 10 nats after three
  steps, so that size and latency all but decide W alone. It is computed in bf16 where the processor has it.
- î: the median of 9 rounds of one input of 512 random tokens, on one thread of the processor; the paper's is the mean
  time on a data set, on one V100.
- T: the given teacher; the paper's, RoBERTa-large, is larger and slower than all of Ξ. `extract` warns where T is not.
- Dropout is off, as in all short trainings here: three steps have no time to overfit.
"""
