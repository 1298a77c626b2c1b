"""Which of the teacher's parts its task needs, and which of its layers can be spared: measured once for all trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from subarch.stages.trials.student import Donor
from subarch.stages.trials.views import View
from subarch.storage import read_json, replacing_file, write_json
from subarch.students.weighing import calibration_of, importance_of, layer_order
from subarch.tasks.base import Array
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData
from subarch.training.importance import Importance

PARTS = "importance.safetensors"
ORDER = "layers.json"
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
    labels = view.train.encoded.labels
    calibration = calibration_for(donor, view.train, groups, wanted.seed)
    importance = importance_of(calibration, donor.task, labels)
    if wanted.order:
        write_json(folder / ORDER, layer_order(calibration))
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


def calibration_for(donor: Donor, train: EncodedData, groups: Array | None, seed: int) -> Calibration:
    """The rows by which the teacher was weighed, for correcting its students."""
    return calibration_of(donor.task, donor.model, donor.teacher.architecture, train, groups, seed)
