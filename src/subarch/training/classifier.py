"""Losses, batches, scores and teacher outputs of models with one output row a text: what the loop is handed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from subarch.arch.first_token import first_token_alone
from subarch.storage import replacing_file, reserve
from subarch.tasks.encode import Encoded, bucketed_batches, ordered_batches, pad
from subarch.training.choice import grouped_batches
from subarch.training.loop import Batches
from subarch.training.losses import (
    Batch,
)
from subarch.training.precision import cast_weights, inference_dtype
from subarch.training.predict import to_tensors
from subarch.training.processes import process_state

LARGEST = float(np.finfo(np.float16).max)
"""Of the numbers that hidden layers are kept as."""
ECHO = 32
"""Batches after which they are repeated: far enough that the model has moved on; ours."""


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
    """File of the logits; the hidden layers go beside it."""
    hidden_layers: tuple[int, ...] = ()
    """Hidden layers that are kept too, as `output_hidden_states` numbers them (-1 the last): 2 bytes per token, layer
    and dimension."""
    values: np.ndarray = field(init=False)
    """Shape (examples, classes or 1); NaN where not computed yet."""
    hidden: np.ndarray | None = field(init=False, default=None)
    """Shape (tokens, layers, hidden_size), float16, mapped from disk; in the order of the encoded tokens."""

    def __post_init__(self) -> None:
        device = process_state().device
        self.teacher.to(device)
        cast_weights(self.teacher, inference_dtype("auto", device)).eval()
        shape = (len(self.data.encoded), int(self.teacher.config.num_labels))
        self.values = np.full(shape, np.nan, dtype=np.float32)
        if self.hidden_layers:
            width = int(self.teacher.config.hidden_size)
            size = (len(self.data.encoded.input_ids), len(self.hidden_layers), width)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            known = self._hidden_path.exists() and self.path.exists()
            reserve(self._hidden_path, math.prod(size) * np.dtype(np.float16).itemsize, anew=not known)
            self.hidden = np.memmap(self._hidden_path, np.float16, "r+", shape=size)
            if not known:
                return
        if self.path.exists():
            self.values = load_file(self.path)["outputs"]

    @torch.no_grad()  # not inference_mode: its tensors cannot take part in the student's backward pass
    def __call__(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        """`teacher_logits` (batch, classes or 1); with hidden layers also `teacher_hidden` (batch, length, layers,
        width)."""
        fresh = indices[np.isnan(self.values[indices, 0])]
        if len(fresh):
            self._compute(fresh)
        found = {"teacher_logits": torch.from_numpy(self.values[indices])}
        if self.hidden is not None:
            offsets, lengths = self.data.encoded.offsets, self.data.encoded.lengths[indices]
            padded = np.zeros((len(indices), int(lengths.max()), *self.hidden.shape[1:]), dtype=np.float16)
            for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
                padded[row, :length] = self.hidden[offsets[index] : offsets[index] + length]
            found["teacher_hidden"] = torch.from_numpy(padded)
        return found

    def _compute(self, indices: np.ndarray) -> None:
        inputs = dict(self.data.batch(indices))
        inputs.pop("labels", None)
        device = next(self.teacher.parameters()).device
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        with first_token_alone(self.teacher) if self.hidden is None else nullcontext():
            output = self.teacher(**moved, output_hidden_states=self.hidden is not None)
        self.values[indices] = output.logits.float().cpu().numpy()
        if self.hidden is not None:
            wanted = [output.hidden_states[layer] for layer in self.hidden_layers]
            # Beyond float16 they would be infinite, and so the loss; none of BERT's are that large.
            kept = torch.stack(wanted, dim=2).float().clamp(-LARGEST, LARGEST).half().cpu().numpy()
            offsets, lengths = self.data.encoded.offsets, self.data.encoded.lengths
            for row, index in enumerate(indices):
                self.hidden[offsets[index] : offsets[index + 1]] = kept[row, : lengths[index]]

    def complete(self, *, max_tokens: int = 4096) -> None:
        """Compute all that is not known, in batches of similar length of at most so many padded tokens, and save it."""
        fresh = np.flatnonzero(np.isnan(self.values[:, 0]))
        for indices in ordered_batches(self.data.encoded.lengths[fresh], max_tokens):
            with torch.no_grad():
                self._compute(fresh[indices])
        if len(fresh) or not self.path.exists():
            self.save()

    def take_over(self, earlier: Path) -> None:
        """Know what the file of another one's outputs holds, whose examples are the first of these.

        Nothing happens where that one kept other hidden layers, or this one knows something already.
        """
        if not np.isnan(self.values).all():
            return
        known = load_file(earlier)["outputs"]
        if self.hidden is not None:
            size = (int(self.data.encoded.offsets[len(known)]), *self.hidden.shape[1:])
            file = earlier.with_suffix(".hidden")
            if not file.exists() or file.stat().st_size != self.hidden.itemsize * math.prod(size):
                return  # other layers were kept then
            self.hidden[: size[0]] = np.memmap(file, np.float16, "r", shape=size)
        self.values[: len(known)] = known

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
    groups: np.ndarray | None = None,
    repeats: int = 1,
) -> Batches:
    """Length-bucketed batches, the same for the same seed; with the teacher's outputs if there is one.

    Args:
        data: The training split.
        batch_size: Rows of a batch and process.
        seed: Of the order.
        teacher: Gives what else the batch of these rows holds.
        groups: (N,) ascending; rows of one group then share a batch, which numbers them in `groups`.
        repeats: How often a batch comes soon after it first came; so many epochs then show all data so often.
    """
    state = process_state()

    def indices_of(number: int) -> list[np.ndarray]:
        lengths = data.encoded.lengths
        share = {"rank": state.process_index, "world_size": state.num_processes}
        if groups is not None:
            return grouped_batches(lengths, groups, batch_size=batch_size, seeds=(seed, number), **share)
        return bucketed_batches(lengths, batch_size=batch_size, seed=seed, epoch=number, **share)

    def make(indices: np.ndarray) -> Batch:
        batch = dict(data.batch(indices))
        if groups is not None:
            batch["groups"] = torch.from_numpy(np.unique(groups[indices], return_inverse=True)[1].astype(np.int64))
        return batch if teacher is None else {**batch, **teacher(indices)}

    def epoch(number: int) -> Iterator[Callable[[], Batch]]:
        for indices in _echoed(indices_of(number // repeats), repeats, number % repeats):
            yield partial(make, indices)

    return Batches(len(indices_of(0)), epoch)


def _echoed(batches: list[np.ndarray], repeats: int, part: int) -> Iterator[np.ndarray]:
    """Every `repeats`-th stretch of batches from `part` on, each played so often (data echoing, arXiv 1907.05550)."""
    for start in range(part * ECHO, len(batches), repeats * ECHO):
        for _ in range(repeats):
            yield from batches[start : start + ECHO]
