"""Which of a teacher's parts its task needs, and which of its layers can be spared, by a few rows of training data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.kinds.registry import kind_of
from subarch.running.budget import Deadline
from subarch.tasks.base import Array, Task
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.importance import Importance, measure_importance
from subarch.training.losses import Batch
from subarch.training.skipping import rank_by_skipping

CALIBRATION_TOKENS = 4096
"""Tokens of the training data by which a teacher is weighed and its students are corrected; ours."""
CALIBRATION_BATCH = 16
RANKING_ROWS = 32
"""Rows of them on which layers are left out; ours."""


def calibration_of(
    task: Task, model: PreTrainedModel, architecture: Architecture, train: EncodedData, groups: Array | None, seed: int
) -> Calibration:
    """The first rows of a training, with what the teacher makes of them.

    Args:
        task: What is asked.
        model: The teacher, in fp32, on the CPU.
        architecture: Its sizes.
        train: The training data as it reads them, with labels.
        groups: Of the rows that have to share a batch.
        seed: Of the order of the data.
    """
    kind = kind_of(task)
    return Calibration(
        teacher=model.eval(),
        architecture=architecture,
        batches=tuple(_rows(train, groups, seed)),
        outputs=kind.answers_to,
        divergence=kind.distillation_loss(train.encoded.labels),
    )


def importance_of(
    calibration: Calibration, task: Task, labels: np.ndarray | None, deadline: Deadline | None = None
) -> Importance:
    """Importance of the teacher's parts to its task; by fewer rows once `deadline` has passed."""
    kind = kind_of(task)
    network, loss = kind.network(calibration.teacher), kind.task_loss(labels)
    return measure_importance(network, calibration.architecture, calibration.batches, loss, deadline)


def layer_order(calibration: Calibration) -> list[int]:
    """The teacher's layers, the most dispensable first."""
    return rank_by_skipping(calibration, RANKING_ROWS)


def _rows(train: EncodedData, groups: Array | None, seed: int) -> Iterator[Batch]:
    total = 0
    for make in training_batches(train, batch_size=CALIBRATION_BATCH, seed=seed, groups=groups).epoch(0):
        batch = make()
        yield batch
        total += int(batch["attention_mask"].sum())
        if total >= CALIBRATION_TOKENS:
            return
