"""The teacher's outputs on the training data: computed once and completely, then read by every trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.session.session import Session
from subarch.storage import read_json, write_json
from subarch.students.hidden import layers_that_fit
from subarch.tasks.base import Array, Task
from subarch.tasks.encode import ordered_batches
from subarch.training.classifier import EncodedData

FACTS = "outputs.json"
"""Written last: the outputs are complete, and these hidden layers are among them."""
VALUES = "outputs.safetensors"
MAX_TOKENS = 4096
SAVE_SECONDS = 20.0


def kept_layers(train: EncodedData, teacher: ModelFolder, wanted: Collection[int], task: Task) -> tuple[int, ...]:
    """Which of the wanted hidden layers of the teacher (from 1) fit on the disk, as far as the kind can keep them."""
    kept = layers_that_fit(kind_of(task), sorted(wanted), train, teacher)
    return tuple(teacher.architecture.num_hidden_layers if layer == -1 else layer for layer in kept)


def compute_outputs(
    teacher: ModelFolder, task: Task, train: EncodedData, layers: tuple[int, ...], folder: Path, session: Session
) -> None:
    """Compute what is not known yet, in the same batches whenever it is called; what is known is saved now and then.

    Args:
        teacher: Answers the task.
        task: What is asked.
        train: The training data as it sees them.
        layers: From `kept_layers`.
        folder: Where the files go.
        session: Told how far it is.

    Raises:
        InterruptedRun: Stopped by the user, after saving.
    """
    if (folder / FACTS).exists():
        return
    kind = kind_of(task)
    outputs = kind.teacher_answers(teacher.model_for(task), kind.stored(train), folder / VALUES, layers)
    done, saved = 0, time.monotonic()
    for indices in ordered_batches(train.encoded.lengths, MAX_TOKENS):
        outputs(indices)
        done += len(indices)
        if time.monotonic() - saved > SAVE_SECONDS or session.stop_requested():
            outputs.save()
            session.phase("asking", f"the teacher: {done:,} of {len(train.encoded):,}")
            saved = time.monotonic()
    outputs.save()
    write_json(folder / FACTS, {"hidden_layers": list(layers), "hidden_size": teacher.architecture.hidden_size})


@dataclass(frozen=True)
class KnownOutputs:
    """Gives what a batch of a trial holds of the teacher's outputs."""

    lengths: Array
    offsets: Array
    values: Array
    """(examples, classes or 1); of spans (T, 2 or more), one row a token."""
    hidden: Array | None
    """(T, layers, hidden_size)."""
    columns: tuple[int, ...]
    """Of its layers, those that are imitated."""
    by_token: bool
    """Whether `values` have a row for each token."""

    def __call__(self, indices: np.ndarray) -> dict[str, Tensor]:
        """`teacher_logits`, and `teacher_hidden` (batch, length, layers, width) where layers are imitated."""
        logits = self._padded(self.values[:, :2], indices) if self.by_token else self.values[indices]
        found = {"teacher_logits": torch.from_numpy(logits.astype(np.float32))}
        if self.hidden is not None and self.columns:
            found["teacher_hidden"] = torch.from_numpy(self._padded(self.hidden, indices)[:, :, list(self.columns)])
        return found

    def _padded(self, flat: Array, indices: np.ndarray) -> Array:
        lengths = self.lengths[indices]
        padded = np.zeros((len(indices), int(lengths.max()), *flat.shape[1:]), dtype=flat.dtype)
        for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            padded[row, :length] = flat[self.offsets[index] : self.offsets[index] + length]
        return padded


def read_outputs(train: EncodedData, imitated: Sequence[int], folder: Path, task: Task) -> Callable[[Array], Any]:
    """The outputs, from files that other processes read too.

    Args:
        train: The training data, with the teacher's offsets.
        imitated: Its layers (from 1) that the student imitates; where not all of them were kept, the last, or none.
        folder: Of `compute_outputs`.
        task: What is asked.
    """
    known, values, hidden = _mapped(folder, len(train.encoded.input_ids), kind_of(task).by_token)
    wanted = tuple(imitated) if set(imitated) <= set(known) else tuple(imitated[-1:])
    columns = tuple(known.index(layer) for layer in wanted if layer in known)
    encoded = train.encoded
    return KnownOutputs(encoded.lengths, encoded.offsets, values, hidden, columns, kind_of(task).by_token)


@lru_cache(maxsize=1)
def _mapped(folder: Path, tokens: int, by_token: bool) -> tuple[tuple[int, ...], Array, Array | None]:
    facts = read_json(folder / FACTS)
    layers, width = tuple(facts["hidden_layers"]), int(facts["hidden_size"])
    file = (folder / VALUES).with_suffix(".hidden")
    if by_token:
        flat = np.memmap(file, np.float16, "r", shape=(tokens, 2 + (width if layers else 0)))
        return layers, flat, flat[:, None, 2:] if layers else None
    values = load_file(folder / VALUES)["outputs"]
    return layers, values, np.memmap(file, np.float16, "r", shape=(tokens, len(layers), width)) if layers else None
