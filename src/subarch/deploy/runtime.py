"""What answers a request: a model folder opened in PyTorch or in ONNX Runtime, behind one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from subarch.arch.pretrained import load_classifier
from subarch.deploy.onnx_export import require_onnx
from subarch.tasks.encode import Encoded, ordered_batches, pad

ONNX_FILE = "model.onnx"
Arrays = Mapping[str, np.ndarray]


class Runtime(Protocol):
    """Arrays in (`input_ids`, `attention_mask`, perhaps `token_type_ids`; int64, (batch, length)), logits out."""

    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Logits, float32, shape (batch, classes or 1)."""
        ...


@dataclass(frozen=True)
class TorchRuntime:
    """PyTorch in eager mode, in the precision of the model's weights."""

    model: nn.Module

    @torch.inference_mode()
    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Logits of one batch."""
        inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
        logits: np.ndarray = self.model(**inputs).logits.float().numpy()
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

    def __call__(self, arrays: Arrays) -> np.ndarray:
        """Logits of one batch."""
        logits: np.ndarray = self._session.run(["logits"], {name: arrays[name] for name in self._names})[0]
        return logits


def open_runtime(folder: Path, threads: int) -> Runtime:
    """ONNX Runtime where the folder holds `model.onnx`, else PyTorch in fp32."""
    if (folder / ONNX_FILE).exists():
        return OnnxRuntime(folder / ONNX_FILE, threads)
    return TorchRuntime(load_classifier(folder).eval())


def answer(runtime: Runtime, encoded: Encoded, pad_token_id: int, *, max_tokens: int = 4096) -> np.ndarray:
    """Logits of all examples, (examples, classes or 1), in their order, computed in batches of similar length."""
    outputs: list[np.ndarray] = [np.empty(0)] * len(encoded)
    for indices in ordered_batches(encoded.lengths, max_tokens):
        arrays = pad(encoded, indices, pad_token_id)
        arrays.pop("labels", None)
        for index, row in zip(indices, runtime(arrays), strict=True):
            outputs[index] = row
    return np.stack(outputs)
