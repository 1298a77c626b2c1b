"""The configuration of `finetune`, which its parts read too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subarch.arch.build import HeadInit, HeadName
from subarch.errors import BudgetError, ConfigError
from subarch.inputs.data import DataConfig
from subarch.running.budget import parse_duration
from subarch.session.session import Session, seconds_left
from subarch.stages.growth.settings import AgoraConfig
from subarch.tasks.base import Task
from subarch.training.loop import LoopContext, OnEvent
from subarch.training.settings import LoopConfig

CHECKPOINT = "checkpoint.safetensors"
TEACHER_OUTPUTS = "teacher_outputs.safetensors"
ROWS_READ = "rows_read.json"
"""How many examples a training under a budget reads, where that is not all of them."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """How a student learns from its teacher."""

    weight: float = 0.9
    """Weight of imitating the teacher; the rest is the task's own loss."""
    temperature: float = 2.0
    """Softens both distributions."""
    hidden_weight: float = 4.0
    """Weight of imitating the teacher's hidden layers, token by token, as a mean over layers; only where both see the
    same tokens."""
    hidden_decay: bool = False
    """Let that weight fall to nothing in the course of the training."""
    layers: tuple[int, ...] | None = None
    """For each layer of the student, the layer of the teacher (from 1) whose output it imitates; the last alone by
    default. `compress` fills it in: where layers were left out, the one before learns to do their work too."""
    repeats: int = 2
    """How often a batch is repeated soon after it came, while the teacher's answer to it, half of the work of a first
    step, is known (data echoing, Choi et al. 2019, arXiv 1907.05550)."""
    dropout: bool = False
    """Whether the student keeps its dropout: imitating a function, it needs none."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"weight is {self.weight}, expected a share from 0 to 1")
        if self.hidden_weight < 0:
            raise ConfigError(f"hidden_weight is {self.hidden_weight}, expected 0 or more")
        if self.repeats < 1:
            raise ConfigError(f"repeats is {self.repeats}, expected at least 1")
        if self.layers is not None and (not self.layers or min(self.layers) < 1):
            raise ConfigError(f"layers is {self.layers}, expected numbers of teacher layers, from 1")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}, expected a positive number")

    @property
    def weights(self) -> dict[str, Any]:
        """What the distillation loss is made from."""
        return {
            "weight": self.weight,
            "temperature": self.temperature,
            "hidden_weight": self.hidden_weight,
            "hidden_decay": self.hidden_decay,
        }

    def require_depth(self, depth: int) -> None:
        """Raise ConfigError where `layers` names one that a teacher of so many has not."""
        if self.layers is not None and max(self.layers) > depth:
            raise ConfigError(f"layers is {self.layers}, but the teacher has {depth}")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What to fine-tune on what."""

    model: str
    """Folder or Hub id of the model to train."""
    out: Path
    """Folder for the trained model; of a suite, for one folder a task."""
    teacher: str | None = None
    """Folder or Hub id of a model that already answers the task; then its answers are distilled. Of a suite, a folder
    with one such folder a task."""
    data: DataConfig
    seed: int = 0
    max_length: int | None = None
    """Longest input in tokens; that of the task by default."""
    validation_examples: int = 2000
    """Score at most so many validation rows, a fixed sample of them, each time that the best weights are sought."""
    head: HeadName = "default"
    """Which layers of a new head are drawn: "linear" the last one alone, above what the encoder was pre-trained with;
    "two_layer" the dense layer below it too; "default" the latter only where the encoder has none."""
    head_init: HeadInit = "default"
    """How they are drawn: as the family does it, or by one of the distributions of Bort's released fine-tuning."""
    head_scale: float = 0.5
    """Scale of the latter: standard deviation, half width or gain; "xavier" has its own."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    budget: str | None = None
    """Wall-clock promise such as 10m; without one, the loop's steps or epochs decide."""
    agora: AgoraConfig | None = None
    """Grow the data by Agora, with the teacher as Socrates."""
    preset: str | None = None
    """agora or agora-published: settings for what is not given. The command line and `subarch.finetune` apply it."""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise ConfigError(f"max_length is {self.max_length}, expected at least 1")
        if self.validation_examples < 1:
            raise ConfigError(f"validation_examples is {self.validation_examples}, expected at least 1")
        if self.agora is not None and self.teacher is None:
            raise ConfigError("agora without a teacher: nobody labels the new points", "give --teacher MODEL")
        if self.budget is not None:
            parse_duration(self.budget)
        if self.head_scale <= 0:
            raise ConfigError(f"head_scale is {self.head_scale}, expected a positive number")

    @property
    def draws_head(self) -> bool:
        """Whether it says how a head is drawn."""
        return (self.head, self.head_init) != ("default", "default")

    def length_for(self, task: Task) -> int:
        """Longest input in tokens."""
        return self.max_length or task.max_length


def loop_context(
    config: FinetuneConfig, session: Session, on_event: OnEvent, before_save: Callable[[], None]
) -> LoopContext:
    """What surrounds the training of a task.

    Raises:
        BudgetError: No time for a first step.
    """
    seconds = seconds_left(session.deadline)
    if seconds == 0:
        raise BudgetError("the budget was spent before the first training step", "give a longer --budget")
    return LoopContext(
        seed=config.seed,
        checkpoint=config.out / CHECKPOINT,
        seconds=seconds,
        on_event=on_event,
        stop_requested=session.stop_requested,
        before_save=before_save,
    )
