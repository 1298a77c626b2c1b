"""A real number."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from subarch.kinds.base import Tokenised
from subarch.kinds.floors.baseline import Floors, Read, whole
from subarch.kinds.rows import RowKind
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.scoring.metrics import METRICS
from subarch.training.losses import Loss, OutputDistance, RegressionLoss
from subarch.training.socrates import Answers, graded, numbers_said

_ERROR = "squared distance from the teacher, in units of its variance"


class Regression(RowKind):
    """One output, the number itself."""

    name = "regression"
    words = "regression"
    expected = "one real-valued output"
    problem_type = "regression"
    outputs_note = "One real-valued output."
    error_names: ClassVar[dict[str, str]] = {"kl": _ERROR, "cross-entropy": _ERROR}

    has_numbers = True
    worth_name = "a correlation"

    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The numbers."""
        return numbers_said(outputs)

    def wrong(self, found: Array, examples: Examples, scale: Array | None = None) -> Array:
        """A number is right where it rounds to the same step as the label (`socrates.graded`)."""
        assert examples.labels is not None
        ends = examples.labels if scale is None else scale
        return np.asarray(graded(found, ends) != graded(examples.labels, ends))

    def worth(self, outputs: Array, examples: Examples) -> float:
        """Pearson's correlation."""
        return float(METRICS["pearson"].function(outputs[:, 0].astype(np.float64), np.asarray(examples.labels)))

    def start_head(self, model: PreTrainedModel, train: Examples) -> None:
        """The last bias is the mean answer."""
        if train.labels is None:
            return
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        with torch.no_grad():
            last.bias.fill_(float(train.labels.mean()))

    def task_loss(self, labels: Array | None) -> Loss:
        """Squared error in units of the labels' variance."""
        return RegressionLoss(variance=_variance(labels))

    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """Squared distance from the teacher, in the same units."""
        return OutputDistance(variance=_variance(labels))

    def errors(self, student: Array, teacher: Array, rows: Tokenised, groups: Array | None, error: str) -> Array:
        """(N,) squared distance over the teacher's variance: a number is no distribution, whatever `error` says."""
        found: Array = np.square(student - teacher).mean(-1) / (float(np.var(teacher)) or 1.0)
        return found

    def floors(self, data: TaskData, read: Read = whole) -> Floors:
        """The mean number, and tf-idf with ridge regression."""
        from subarch.kinds.floors import words  # scikit-learn takes a second, which only this must pay

        return Floors(commonest=words.mean(data), simple=words.tfidf(data, words.RIDGE, read))


def _variance(labels: Array | None) -> float:
    assert labels is not None
    return float(np.var(labels)) or 1.0
