"""One of several classes."""

from __future__ import annotations

from subarch.kinds.rows import RowKind
from subarch.tasks.base import Array
from subarch.training.losses import Divergence, Loss, task_loss
from subarch.training.socrates import Answers, classes_said


class Classification(RowKind):
    """A logit for each class."""

    name = "classification"
    expected = None
    problem_type = "single_label_classification"

    has_classes = True

    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The likeliest class, and its probability."""
        return classes_said(outputs)

    def task_loss(self, labels: Array | None) -> Loss:
        """Cross-entropy."""
        return task_loss

    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """T²·KL of the classes."""
        return Divergence(temperature=temperature)
