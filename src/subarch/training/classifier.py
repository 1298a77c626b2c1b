"""Batches, scores and teacher outputs for classifiers and regressors: what the loop is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from safetensors.numpy import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from subarch.storage import replacing_file
from subarch.tasks.base import Task
from subarch.tasks.encode import Encoded, bucketed_batches, pad
from subarch.tasks.metrics import METRICS, compute
from subarch.training.loop import Batches
from subarch.training.losses import Batch, DistillationLoss, Loss, RegressionLoss, task_loss
from subarch.training.precision import resolve_precision
from subarch.training.predict import predict, to_tensors


@dataclass(frozen=True, kw_only=True)
class EncodedData:
    """One split as one model's tokenizer sees it."""

    encoded: Encoded
    pad_token_id: int

    def batch(self, indices: np.ndarray) -> Batch:
        """The examples at `indices` as padded tensors."""
        return to_tensors(pad(self.encoded, indices, self.pad_token_id))


@dataclass(kw_only=True)
class TeacherOutputs:
    """The teacher's outputs on the training split: each is computed once, when a batch first needs it.

    They are kept in fp32 and saved beside the run, so that the search and the distillation share them and a resumed
    run sees the very same numbers.
    """

    teacher: PreTrainedModel
    data: EncodedData
    path: Path
    values: np.ndarray = field(init=False)
    """Shape (examples, classes or 1); NaN where not computed yet."""

    def __post_init__(self) -> None:
        device = next(self.teacher.parameters()).device
        self.teacher = self.teacher.to(resolve_precision("auto", device)).eval()
        shape = (len(self.data.encoded), int(self.teacher.config.num_labels))
        self.values = np.full(shape, np.nan, dtype=np.float32)
        if self.path.exists():
            self.values = load_file(self.path)["outputs"]

    @torch.inference_mode()
    def __call__(self, indices: np.ndarray) -> torch.Tensor:
        """Outputs for these examples, shape (len(indices), classes or 1)."""
        if np.isnan(self.values[indices, 0]).any():
            inputs = dict(self.data.batch(indices))
            inputs.pop("labels", None)
            device = next(self.teacher.parameters()).device
            logits = self.teacher(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits
            fresh = np.isnan(self.values[indices, 0])
            self.values[indices[fresh]] = logits.float().cpu().numpy()[fresh]
        return torch.from_numpy(self.values[indices])

    def save(self) -> None:
        """Write what is known so far."""
        with replacing_file(self.path) as temporary:
            save_file({"outputs": self.values}, temporary)


def training_batches(
    data: EncodedData,
    *,
    batch_size: int,
    seed: int,
    teacher: Callable[[np.ndarray], torch.Tensor] | None = None,
) -> Batches:
    """Length-bucketed batches, the same for the same seed; with the teacher's outputs if there is one."""
    state = PartialState()

    def indices_of(number: int) -> list[np.ndarray]:
        return bucketed_batches(
            data.encoded.lengths,
            batch_size=batch_size,
            seed=seed,
            epoch=number,
            rank=state.process_index,
            world_size=state.num_processes,
        )

    def epoch(number: int) -> Iterator[Callable[[], Batch]]:
        for indices in indices_of(number):
            yield lambda indices=indices: _with_teacher(data, indices, teacher)  # type: ignore[misc]

    return Batches(len(indices_of(0)), epoch)


def _with_teacher(
    data: EncodedData, indices: np.ndarray, teacher: Callable[[np.ndarray], torch.Tensor] | None
) -> Batch:
    batch = dict(data.batch(indices))
    if teacher is not None:
        batch["teacher_logits"] = teacher(indices)
    return batch


def scorer(task: Task, data: EncodedData) -> Callable[[nn.Module], float]:
    """The task's main metric on a split, as a number where higher is better."""
    sign = 1.0 if METRICS[task.main_metric].higher_is_better else -1.0

    def score(model: nn.Module) -> float:
        logits = predict(model, data.encoded, data.pad_token_id)
        assert data.encoded.labels is not None
        return sign * compute(task.kind, (task.main_metric,), logits, data.encoded.labels)[task.main_metric]

    return score


def loss_for(task: Task, labels: np.ndarray, *, weight: float | None = None, temperature: float = 1.0) -> Loss:
    """The task's loss, or with a `weight` the distillation loss that contains it."""
    variance = float(np.var(labels)) or 1.0 if task.kind == "regression" else None
    plain: Loss = task_loss if variance is None else RegressionLoss(variance=variance)
    if weight is None:
        return plain
    return DistillationLoss(task=plain, regression_variance=variance, weight=weight, temperature=temperature)
