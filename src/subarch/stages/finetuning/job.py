"""What a training is about: data, a model, and perhaps its teacher."""

from __future__ import annotations

from dataclasses import dataclass

from subarch.inputs.models import ModelFolder
from subarch.tasks.base import TaskData


@dataclass(frozen=True, kw_only=True)
class Job:
    """Data, the model that learns from them, and the teacher that it imitates."""

    data: TaskData
    model: ModelFolder
    teacher: ModelFolder | None = None
