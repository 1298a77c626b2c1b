"""Which of the teacher's parts its task needs, and which of its layers can be spared: measured once for all trials."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from subarch.kinds.registry import kind_of
from subarch.stages.trials.student import Donor
from subarch.stages.trials.views import View
from subarch.storage import read_json, replacing_file, write_json
from subarch.tasks.base import Array
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.importance import Importance, measure_importance
from subarch.training.losses import Batch
from subarch.training.skipping import rank_by_skipping

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
    kind, labels = kind_of(donor.task), view.train.encoded.labels
    network, loss = kind.network(donor.model), kind.task_loss(labels)
    importance = measure_importance(network, donor.teacher.architecture, batches, loss)
    if wanted.order:
        write_json(folder / ORDER, rank_by_skipping(_calibrating(donor, batches, labels), RANKING_ROWS))
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
    return _calibrating(donor, list(_calibration(train, groups, seed)), train.encoded.labels)


def _calibration(train: EncodedData, groups: Array | None, seed: int) -> Iterator[Batch]:
    total = 0
    for make in training_batches(train, batch_size=CALIBRATION_BATCH, seed=seed, groups=groups).epoch(0):
        batch = make()
        total += int(batch["attention_mask"].sum())
        yield batch
        if total >= CALIBRATION_TOKENS:
            return


def _calibrating(donor: Donor, batches: Sequence[Batch], labels: Array | None) -> Calibration:
    kind = kind_of(donor.task)
    return Calibration(
        teacher=donor.model.eval(),
        architecture=donor.teacher.architecture,
        batches=batches,
        outputs=kind.answers_to,
        divergence=kind.distillation_loss(labels),
    )
