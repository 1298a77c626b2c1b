"""The configuration of `compress`, which its parts read too."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from subarch.arch.space import SpaceConfig
from subarch.errors import BudgetError, ConfigError
from subarch.inputs.data import DataConfig
from subarch.running.budget import parse_duration
from subarch.stages.extraction.settings import ErrorName, ExtractConfig, LatencyName
from subarch.stages.finetune import DistillationConfig
from subarch.stages.growth.settings import AgoraConfig
from subarch.tasks.base import Task
from subarch.training.settings import LoopConfig

LEAST_SECONDS = 45.0
"""Below this no budget can hold: reading, exporting and timing alone take about as long."""


@dataclass(frozen=True, kw_only=True)
class DeliverConfig:
    """How the result is measured."""

    threads: int = 1
    """Threads of every runtime: one, as services run many single-threaded workers, and as a busy machine distorts
    least."""
    requests: int = 12
    """Test examples that are timed, one at a time."""
    repeats: int = 15

    def __post_init__(self) -> None:
        for name in ("threads", "requests", "repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search for an architecture: the fields of `extract` that make sense here."""

    space: SpaceConfig = field(default_factory=SpaceConfig)
    epsilon: int | None = None
    candidates: int = 12
    steps: int = 30
    error: ErrorName = "kl"
    """KL by default: with cross-entropy, the teacher's entropy hides what tells good candidates apart."""
    latency: LatencyName = "measured"
    error_examples: int = 400
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(batch_size=16, evaluations=1))

    def for_extract(self, **surroundings: Any) -> ExtractConfig:
        """The configuration of the stage."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return ExtractConfig(**own, **surroundings)


@dataclass(frozen=True, kw_only=True)
class CompressConfig:
    """What to compress for what."""

    teacher: str
    """Folder or Hub id of the encoder, fine-tuned or not."""
    out: Path
    """Folder for everything that comes of it."""
    data: DataConfig
    budget: str | None = None
    """Wall-clock promise such as 10m; without one, the steps of the recipe decide."""
    seed: int = 0
    max_length: int | None = None
    """Longest input in tokens; that of the task by default."""
    finetune: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            batch_size=16, epochs=4.0, evaluate_from=0.6, dropout=False, freeze_vocabulary=True
        )
    )
    """How the teacher is fine-tuned, if it is not yet."""
    extract: SearchConfig = field(default_factory=SearchConfig)
    distil: LoopConfig = field(
        default_factory=lambda: LoopConfig(batch_size=16, epochs=12.0, evaluate_from=0.6, freeze_vocabulary=True)
    )
    """How the student is distilled."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    agora: AgoraConfig | None = None
    """Grow the student's training data by Agora."""
    preset: str | None = None
    """agora or agora-published: settings for what is not given. The command line and `subarch.compress` apply it."""
    deliver: DeliverConfig = field(default_factory=DeliverConfig)

    def length_for(self, task: Task) -> int:
        """Longest input in tokens."""
        return self.max_length or task.max_length

    def __post_init__(self) -> None:
        self.extract.for_extract(teacher=self.teacher, out=self.out, data=self.data)  # checks the values now
        if self.budget is not None and parse_duration(self.budget) < LEAST_SECONDS:
            raise BudgetError(
                f"the budget is {self.budget}, too short for one step of each stage: expected at least "
                f"{LEAST_SECONDS:.0f}s",
                "give a longer --budget, or a recipe with fixed steps and no budget",
            )
