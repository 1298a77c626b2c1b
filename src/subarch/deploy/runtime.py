"""What answers a request: a model folder opened in PyTorch, or an export by its format, behind one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from subarch.deploy.formats.base import Arrays, Runtime
from subarch.deploy.formats.registry import format_in
from subarch.tasks.encode import Encoded, ordered_batches, pad


@dataclass(frozen=True)
class TorchRuntime:
    """PyTorch in eager mode, in the precision and on the device of the model's weights."""

    model: nn.Module
    """Its outputs are called `logits`."""

    @torch.inference_mode()
    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Outputs of one batch."""
        device = next(self.model.parameters()).device
        inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        logits: np.ndarray = self.model(**inputs).logits.float().cpu().numpy()
        return logits


def open_runtime(folder: Path, threads: int, load: Callable[[Path], nn.Module]) -> Runtime:
    """The format's own runtime where the folder is an export, else PyTorch with what `load` makes of the folder."""
    export = format_in(folder)
    return TorchRuntime(load(folder).eval()) if export is None else export.open(folder, threads)


def answer(
    runtime: Runtime, encoded: Encoded, pad_token_id: int, *, by_token: bool = False, max_tokens: int = 4096
) -> np.ndarray:
    """Outputs of all examples in their order, computed in batches of similar length.

    Args:
        runtime: What is asked.
        encoded: The examples; labels are not used.
        pad_token_id: What fills short rows.
        by_token: Whether there is a row of outputs for each token; padding is left out.
        max_tokens: Padded tokens per batch.

    Returns:
        (examples, classes or 1), or (tokens, 2).
    """
    outputs: list[np.ndarray] = [np.empty(0)] * len(encoded)
    for indices in ordered_batches(encoded.lengths, max_tokens):
        arrays = pad(encoded, indices, pad_token_id)
        arrays.pop("labels", None)
        for index, row in zip(indices, runtime(arrays), strict=True):
            outputs[index] = row[: encoded.lengths[index]] if by_token else row
    return np.concatenate(outputs) if by_token else np.stack(outputs)
