"""One of several classes."""

from __future__ import annotations

import numpy as np

from subarch.kinds.base import COUNTED_ROW
from subarch.kinds.floors.baseline import TRAIN_ROWS, Floors, Read, whole
from subarch.kinds.rows import RowKind, outputs_of
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.scoring.predictions import Predictions
from subarch.training.losses import Divergence, Loss, task_loss
from subarch.training.socrates import Answers, classes_said


class Classification(RowKind):
    """A logit for each class."""

    name = "classification"
    words = "classification"
    expected = None
    problem_type = "single_label_classification"

    has_classes = True

    def agree(self, one: Predictions, other: Predictions, examples: Examples) -> Array:
        """The same class."""
        return np.asarray(outputs_of(one).argmax(1) == outputs_of(other).argmax(1))

    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The likeliest class, and its probability."""
        return classes_said(outputs)

    def task_loss(self, labels: Array | None) -> Loss:
        """Cross-entropy."""
        return task_loss

    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """T²·KL of the classes."""
        return Divergence(temperature=temperature)

    def floors(self, data: TaskData, read: Read = whole) -> Floors:
        """The commonest class, and tf-idf with logistic regression."""
        from subarch.kinds.floors import words  # scikit-learn takes a second, which only this must pay

        return Floors(commonest=words.most_frequent(data), simple=words.tfidf(data, words.LOGISTIC, read))

    def floor_seconds(self, rows: int, outputs: int) -> float:
        """A vector of weights for each class; two classes need one."""
        return COUNTED_ROW * min(rows, TRAIN_ROWS) * (outputs if outputs > 2 else 1)
