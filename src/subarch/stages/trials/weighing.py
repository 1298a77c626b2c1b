"""Which of the teacher's parts its task needs, and which of its layers can be spared: measured once for all trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from subarch.stages.trials.student import Donor
from subarch.stages.trials.views import View
from subarch.storage import read_json, replacing_file, write_json
from subarch.tasks.base import Array, Task
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData, distillation_loss_for, loss_for, training_batches
from subarch.training.importance import Importance, measure_importance
from subarch.training.loop import INPUTS
from subarch.training.losses import Batch, Loss
from subarch.training.skipping import rank_by_skipping
from subarch.training.span import SpanModel, span_distillation_loss, span_loss

PARTS = "importance.safetensors"
ORDER = "layers.json"
CALIBRATION_TOKENS = 4096
"""Tokens of the training data by which the teacher is weighed and students are corrected; ours."""
RANKING_ROWS = 32
"""Rows of them on which layers are left out; ours."""
CALIBRATION_BATCH = 8
_SCORES = ("hidden", "embedding", "attention", "intermediate")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a search needs to know of its teacher."""

    seed: int
    """Of the order of the training data, whose first rows are looked at."""
    order: bool
    """Whether layers are chosen by importance."""


class _Readable(nn.Module):
    """A teacher of any kind, as `measure_importance` takes it: what it does not read is left out of its inputs, its
    outputs are `logits`, and its parameters have their own names."""

    def __init__(self, model: Any, *, spans: bool) -> None:
        super().__init__()
        self.model, self.reading = model, SpanModel(model) if spans else model

    def forward(self, **inputs: Tensor) -> Any:
        return self.reading(**{name: inputs[name] for name in INPUTS if name in inputs})

    def named_parameters(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return self.model.named_parameters(*args, **options)  # type: ignore[no-any-return]

    def get_submodule(self, target: str) -> nn.Module:
        return self.model.get_submodule(target)  # type: ignore[no-any-return]


def weigh(donor: Donor, view: View, groups: Array | None, folder: Path, wanted: Wanted) -> None:
    """Measure the importance of the teacher's parts, and the order in which its layers can be spared.

    Args:
        donor: The teacher, in fp32.
        view: The data as it sees them.
        groups: Of the training rows, where they are answers to choose from.
        folder: Where the files go; what is there already is not measured again.
        wanted: What is measured.
    """
    if (folder / PARTS).exists() and ((folder / ORDER).exists() or not wanted.order):
        return
    batches = list(_calibration(view.train, groups, wanted.seed))
    task_loss, imitation = _losses(donor.task, view.train)
    readable = _Readable(donor.model, spans=donor.task.kind == "span")
    importance = measure_importance(readable, donor.teacher.architecture, batches, task_loss)
    if wanted.order:
        write_json(folder / ORDER, rank_by_skipping(_calibrating(donor, batches, imitation), RANKING_ROWS))
    tensors = {name: torch.from_numpy(getattr(importance, name)) for name in _SCORES}
    with replacing_file(folder / PARTS) as temporary:
        save_file(tensors, temporary)


def read_importance(folder: Path) -> tuple[Importance | None, tuple[int, ...] | None]:
    """What `weigh` found: importance, and the teacher's layers, the most dispensable first; None for what it did not
    measure."""
    order = tuple(read_json(folder / ORDER)) if (folder / ORDER).exists() else None
    return _parts(folder / PARTS), order


def _parts(path: Path) -> Importance | None:
    if not path.exists():
        return None
    return Importance(**{name: tensor.numpy() for name, tensor in load_file(path).items()})


def calibration_of(donor: Donor, train: EncodedData, groups: Array | None, seed: int) -> Calibration:
    """The rows by which the teacher was weighed, for correcting its students."""
    return _calibrating(donor, list(_calibration(train, groups, seed)), _losses(donor.task, train)[1])


def _calibration(train: EncodedData, groups: Array | None, seed: int) -> Iterator[Batch]:
    total = 0
    for make in training_batches(train, batch_size=CALIBRATION_BATCH, seed=seed, groups=groups).epoch(0):
        batch = make()
        total += int(batch["attention_mask"].sum())
        yield batch
        if total >= CALIBRATION_TOKENS:
            return


def _losses(task: Task, train: EncodedData) -> tuple[Loss, Loss]:
    """The task's loss, and the divergence from `teacher_logits`."""
    if task.kind == "span":
        return span_loss, span_distillation_loss(weight=1.0, temperature=1.0, hidden_weight=0.0)
    labels = train.encoded.labels
    assert labels is not None
    return loss_for(task, labels), distillation_loss_for(task, labels)


def _calibrating(donor: Donor, batches: Sequence[Batch], imitation: Loss) -> Calibration:
    return Calibration(
        teacher=donor.model.eval(),
        architecture=donor.teacher.architecture,
        batches=batches,
        outputs=partial(_answers, spans=donor.task.kind == "span"),
        divergence=imitation,
    )


def _answers(model: nn.Module, batch: Batch, *, spans: bool) -> Tensor:
    logits: Tensor = _Readable(model, spans=spans)(**batch).logits
    return logits
