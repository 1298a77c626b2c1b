"""What answers a request: a model folder opened in PyTorch or in ONNX Runtime, behind one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from subarch.deploy.onnx_export import require_onnx
from subarch.tasks.encode import Encoded, ordered_batches, pad

ONNX_FILE = "model.onnx"
Arrays = Mapping[str, np.ndarray]


class Runtime(Protocol):
    """Arrays in (`input_ids`, `attention_mask`, perhaps `token_type_ids`; int64, (batch, length)), outputs out."""

    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Float32 outputs: (batch, classes or 1), or (batch, length, 2) where start and end of spans are given."""
        ...


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


class OnnxRuntime:
    """ONNX Runtime on the CPU with a fixed number of threads."""

    def __init__(self, path: Path, threads: int) -> None:
        require_onnx("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [item.name for item in self._session.get_inputs()]
        self._outputs = [item.name for item in self._session.get_outputs()]

    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Outputs of one batch; where the graph has several, they are the last axis."""
        found = self._session.run(self._outputs, {name: arrays[name] for name in self._names})
        outputs: np.ndarray = found[0] if len(found) == 1 else np.stack(found, axis=-1)
        return outputs


def open_runtime(folder: Path, threads: int, load: Callable[[Path], nn.Module]) -> Runtime:
    """ONNX Runtime where the folder holds `model.onnx`, else PyTorch with what `load` makes of the folder."""
    if (folder / ONNX_FILE).exists():
        return OnnxRuntime(folder / ONNX_FILE, threads)
    return TorchRuntime(load(folder).eval())


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
