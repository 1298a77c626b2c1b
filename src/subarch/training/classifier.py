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

from subarch.storage import replacing_file, storage_errors
from subarch.tasks.base import Task
from subarch.tasks.encode import Encoded, bucketed_batches, pad
from subarch.tasks.metrics import METRICS, compute
from subarch.training.loop import Batches
from subarch.training.losses import Batch, DistillationLoss, Loss, RegressionLoss, task_loss
from subarch.training.precision import cast_weights, resolve_precision
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

    What is known lies on disk and is saved with every checkpoint, so that a resumed run sees the very same numbers.
    """

    teacher: PreTrainedModel
    data: EncodedData
    path: Path
    """File of the logits; the last hidden layer goes beside it."""
    with_hidden: bool = False
    """Whether the last hidden layer is kept too: 2 bytes per token and dimension."""
    values: np.ndarray = field(init=False)
    """Shape (examples, classes or 1); NaN where not computed yet."""
    hidden: np.ndarray | None = field(init=False, default=None)
    """Shape (tokens, hidden_size), float16, mapped from disk; in the order of the encoded tokens."""

    def __post_init__(self) -> None:
        device = next(self.teacher.parameters()).device
        cast_weights(self.teacher, resolve_precision("auto", device)).eval()
        shape = (len(self.data.encoded), int(self.teacher.config.num_labels))
        self.values = np.full(shape, np.nan, dtype=np.float32)
        if self.with_hidden:
            size = (len(self.data.encoded.input_ids), int(self.teacher.config.hidden_size))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            known = self._hidden_path.exists() and self.path.exists()
            with storage_errors(self._hidden_path):
                self.hidden = np.memmap(self._hidden_path, np.float16, "r+" if known else "w+", shape=size)
            if not known:
                return
        if self.path.exists():
            self.values = load_file(self.path)["outputs"]

    @torch.no_grad()  # not inference_mode: its tensors cannot take part in the student's backward pass
    def __call__(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """`teacher_logits` (batch, classes or 1) of these examples, and with hidden layers `teacher_hidden`."""
        fresh = indices[np.isnan(self.values[indices, 0])]
        if len(fresh):
            self._compute(fresh)
        found = {"teacher_logits": torch.from_numpy(self.values[indices])}
        if self.hidden is not None:
            offsets, lengths = self.data.encoded.offsets, self.data.encoded.lengths[indices]
            padded = np.zeros((len(indices), int(lengths.max()), self.hidden.shape[1]), dtype=np.float16)
            for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
                padded[row, :length] = self.hidden[offsets[index] : offsets[index] + length]
            found["teacher_hidden"] = torch.from_numpy(padded)
        return found

    def _compute(self, indices: np.ndarray) -> None:
        inputs = dict(self.data.batch(indices))
        inputs.pop("labels", None)
        device = next(self.teacher.parameters()).device
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        output = self.teacher(**moved, output_hidden_states=self.hidden is not None)
        self.values[indices] = output.logits.float().cpu().numpy()
        if self.hidden is not None:
            last = output.hidden_states[-1].half().cpu().numpy()
            offsets, lengths = self.data.encoded.offsets, self.data.encoded.lengths
            for row, index in enumerate(indices):
                self.hidden[offsets[index] : offsets[index + 1]] = last[row, : lengths[index]]

    def save(self) -> None:
        """Write what is known so far; the hidden layers first, since the logits say which of them are known."""
        if isinstance(self.hidden, np.memmap):
            self.hidden.flush()
        with replacing_file(self.path) as temporary:
            save_file({"outputs": self.values}, temporary)

    @property
    def _hidden_path(self) -> Path:
        return self.path.with_suffix(".hidden")


def training_batches(
    data: EncodedData,
    *,
    batch_size: int,
    seed: int,
    teacher: Callable[[np.ndarray], Batch] | None = None,
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


def _with_teacher(data: EncodedData, indices: np.ndarray, teacher: Callable[[np.ndarray], Batch] | None) -> Batch:
    batch = dict(data.batch(indices))
    if teacher is not None:
        batch |= teacher(indices)
    return batch


def scorer(task: Task, data: EncodedData) -> Callable[[nn.Module], float]:
    """The task's main metric on a split, as a number where higher is better."""
    sign = 1.0 if METRICS[task.main_metric].higher_is_better else -1.0

    def score(model: nn.Module) -> float:
        logits = predict(model, data.encoded, data.pad_token_id)
        assert data.encoded.labels is not None
        return sign * compute(task.kind, (task.main_metric,), logits, data.encoded.labels)[task.main_metric]

    return score


def loss_for(task: Task, labels: np.ndarray) -> Loss:
    """The task's own loss."""
    variance = _variance(task, labels)
    return task_loss if variance is None else RegressionLoss(variance=variance)


def distillation_loss_for(
    task: Task, labels: np.ndarray, *, weight: float = 1.0, temperature: float = 1.0, hidden_weight: float = 0.0
) -> Loss:
    """The distillation loss that contains the task's own."""
    return DistillationLoss(
        task=loss_for(task, labels),
        regression_variance=_variance(task, labels),
        weight=weight,
        temperature=temperature,
        hidden_weight=hidden_weight,
    )


def _variance(task: Task, labels: np.ndarray) -> float | None:
    return float(np.var(labels)) or 1.0 if task.kind == "regression" else None
