"""What a training asks a teacher, for every kind of task."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from subarch.training.losses import Batch


class TeacherAnswers(Protocol):
    """A teacher's answers to the training rows, computed when a batch first needs them and kept on disk."""

    def __call__(self, indices: np.ndarray) -> Batch:
        """`teacher_logits` of these rows, and `teacher_hidden` (batch, length, layers, width) where layers are kept."""
        ...

    def save(self) -> None:
        """Write what is known so far."""
        ...

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """The teacher's layers that are kept, from 1 (-1 the last)."""
        ...
