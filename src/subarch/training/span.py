"""Losses, teacher outputs and predictions of models that point at the first and the last token of an answer.

Shapes: B windows of S tokens, logits (B, S, 2) of start and end. Padding takes no part in any distribution, so that
what a window is worth does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

from subarch.storage import replacing_file, reserve
from subarch.tasks.encode import ordered_batches, pad
from subarch.tasks.windows import Windows
from subarch.training.losses import Batch, divergence, surrogate_errors
from subarch.training.precision import cast_weights, inference_dtype
from subarch.training.predict import to_tensors
from subarch.training.processes import process_state

SPAN_TOKENS = 4096
"""Padded tokens of a batch for prediction."""


class SpanModel(nn.Module):
    """A question-answering model whose start and end logits come as one `logits` (B, S, 2), as the loop takes them."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def named_parameters(self, *args: Any, **options: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """Those of the model, by its own names."""
        yield from self.model.named_parameters(*args, **options)

    def get_submodule(self, target: str) -> nn.Module:
        """One of the model's, by its own name."""
        return cast(nn.Module, self.model.get_submodule(target))

    def forward(self, **inputs: Any) -> TokenClassifierOutput:
        """`logits`, and the `hidden_states` where asked for."""
        output = self.model(**inputs)
        logits_BS2 = torch.stack((output.start_logits, output.end_logits), dim=-1)
        return TokenClassifierOutput(logits=logits_BS2, hidden_states=output.hidden_states)


def span_loss(logits_BS2: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy (nats) of start and end to `batch["labels"]` (B, 2), their tokens."""
    logits_B2S = _by_side(logits_BS2, batch["attention_mask"])
    return functional.cross_entropy(logits_B2S.flatten(0, 1), batch["labels"].flatten())


@dataclass(frozen=True, kw_only=True)
class SpanDivergence:
    """T²·KL of the teacher's and the student's distributions over the tokens, mean of start and end."""

    temperature: float

    def __call__(self, logits_BS2: Tensor, batch: Batch) -> Tensor:
        """Nats, mean over windows; `batch["teacher_logits"]` (B, S, 2) holds the teacher's outputs."""
        mask_BS = batch["attention_mask"]
        student, teacher = (_by_side(logits, mask_BS).flatten(0, 1) for logits in (logits_BS2, batch["teacher_logits"]))
        return divergence(student, teacher, self.temperature)


def span_errors(student_T2: np.ndarray, teacher_T2: np.ndarray, windows: Windows, *, kind: str) -> np.ndarray:
    """ê of the FPTAS for each question, shape (questions,): the mean over its windows, and over start and end.

    Args:
        student_T2: Start and end logits of all tokens of all windows, in their order.
        teacher_T2: The maximum point's, on the same windows.
        windows: Of the questions.
        kind: As `losses.surrogate_errors` has it.
    """
    offsets, lengths = windows.encoded.offsets, windows.encoded.lengths
    errors = np.empty(len(windows))
    for rows in ordered_batches(lengths, SPAN_TOKENS):
        column = np.arange(int(lengths[rows].max()))
        places = np.minimum(offsets[rows][:, None] + column, len(student_T2) - 1)
        padding = column >= lengths[rows][:, None]
        sides = (
            torch.from_numpy(logits[places]).masked_fill(torch.from_numpy(padding)[:, :, None], -torch.inf)
            for logits in (student_T2, teacher_T2)
        )
        found = surrogate_errors(*(side.transpose(1, 2).flatten(0, 1) for side in sides), kind=kind)
        errors[rows] = found.view(-1, 2).mean(1).numpy()
    count = np.bincount(windows.example)
    asked = count > 0
    return (np.bincount(windows.example, errors)[asked] / count[asked]).astype(np.float32)


def _by_side(logits_BS2: Tensor, mask_BS: Tensor) -> Tensor:
    """(B, 2, S) float32, so low at padding that no softmax sees it; finite, so that its differences are numbers."""
    return logits_BS2.float().masked_fill(~mask_BS.bool()[:, :, None], -1e4).transpose(1, 2)


@dataclass(kw_only=True)
class SpanTeacher:
    """The teacher's outputs on the training windows: each window is computed once, when a batch first needs it.

    What is known lies on disk, two logits a token and with hidden layers the last of them, and which windows are known
    is saved with every checkpoint, so that a resumed run sees the very same numbers.
    """

    teacher: PreTrainedModel
    windows: Windows
    pad_token_id: int
    path: Path
    """File of what is known; the outputs go beside it."""
    with_hidden: bool = False
    """Whether the last hidden layer is kept too: 2 bytes per token and dimension."""
    known: np.ndarray = field(init=False)
    """(W,) bool."""
    values: np.ndarray = field(init=False)
    """(T, 2) or (T, 2 + hidden_size) float16, mapped from disk: start and end logit, then the hidden layer."""

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """The last one, if it is kept."""
        return (-1,) if self.with_hidden else ()

    def __post_init__(self) -> None:
        device = process_state().device
        self.teacher.to(device)
        cast_weights(self.teacher, inference_dtype("auto", device)).eval()
        width = 2 + (int(self.teacher.config.hidden_size) if self.with_hidden else 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.with_suffix(".hidden")
        resumed = self.path.exists() and file.exists()
        shape = (len(self.windows.starts), width)
        reserve(file, shape[0] * width * np.dtype(np.float16).itemsize, anew=not resumed)
        self.values = np.memmap(file, np.float16, "r+", shape=shape)
        self.known = load_file(self.path)["known"] if resumed else np.zeros(len(self.windows), dtype=bool)

    @torch.no_grad()  # not inference_mode: its tensors cannot take part in the student's backward pass
    def __call__(self, indices: np.ndarray) -> dict[str, Tensor]:
        """`teacher_logits` (B, S, 2) of these windows, and with hidden layers `teacher_hidden` (B, S, 1, H)."""
        fresh = indices[~self.known[indices]]
        if len(fresh):
            self._compute(fresh)
        offsets, lengths = self.windows.encoded.offsets, self.windows.encoded.lengths[indices]
        padded = np.zeros((len(indices), int(lengths.max()), self.values.shape[1]), dtype=np.float16)
        for row, (index, length) in enumerate(zip(indices, lengths, strict=True)):
            padded[row, :length] = self.values[offsets[index] : offsets[index] + length]
        found = {"teacher_logits": torch.from_numpy(padded[:, :, :2].astype(np.float32))}
        if self.with_hidden:
            found["teacher_hidden"] = torch.from_numpy(padded[:, :, None, 2:])
        return found

    def _compute(self, indices: np.ndarray) -> None:
        encoded = self.windows.encoded
        inputs = to_tensors(pad(encoded, indices, self.pad_token_id), next(self.teacher.parameters()).device)
        inputs.pop("labels", None)
        output = self.teacher(**inputs, output_hidden_states=self.with_hidden)
        columns = [output.start_logits[:, :, None], output.end_logits[:, :, None]]
        if self.with_hidden:
            columns.append(output.hidden_states[-1])
        outputs = torch.cat([column.half() for column in columns], dim=-1).cpu().numpy()
        for row, index in enumerate(indices):
            self.values[encoded.offsets[index] : encoded.offsets[index + 1]] = outputs[row, : encoded.lengths[index]]
        self.known[indices] = True

    def save(self) -> None:
        """Write what is known so far; the outputs first, since the other file says which of them are known."""
        assert isinstance(self.values, np.memmap)
        self.values.flush()
        with replacing_file(self.path) as temporary:
            save_file({"known": self.known}, temporary)


@torch.inference_mode()
def predict_spans(
    model: nn.Module, windows: Windows, pad_token_id: int, *, max_tokens: int = SPAN_TOKENS
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end logits of all tokens of all windows, two (T,) float32 in the order of `windows.encoded`.

    Args:
        model: A question-answering model of `transformers`; it is left in evaluation mode, and computes in whatever
            precision its weights have.
        windows: Labels are not used.
        pad_token_id: What fills short rows.
        max_tokens: Padded tokens per batch.
    """
    model.eval()
    device = next(model.parameters()).device
    encoded = windows.encoded
    logits = np.empty((2, len(encoded.input_ids)), dtype=np.float32)
    for indices in ordered_batches(encoded.lengths, max_tokens):
        inputs = to_tensors(pad(encoded, indices, pad_token_id), device)
        inputs.pop("labels", None)
        output = model(**inputs)
        # The tokens of these windows in the flat arrays, row by row.
        lengths = encoded.lengths[indices]
        column = np.arange(int(lengths.max()))
        real = column < lengths[:, None]
        places = (encoded.offsets[indices][:, None] + column)[real]
        for side, values in enumerate((output.start_logits, output.end_logits)):
            logits[side, places] = values.float().cpu().numpy()[real]
    return logits[0], logits[1]
