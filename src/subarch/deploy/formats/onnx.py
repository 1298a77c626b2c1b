"""One ONNX file with the model's own numbers (extra `onnx`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from subarch.deploy.formats.base import Arrays, Format, Graph, Opening

if TYPE_CHECKING:
    import numpy as np


class Onnx(Format):
    """float32, any batch size and length."""

    name = "onnx"
    label = "ONNX fp32"
    words = "ONNX export"
    extra = "onnx"
    writes_with = ("onnx", "onnxscript")
    opens_with = ("onnxruntime",)
    file = "model.onnx"
    weights = ("model*.onnx*",)
    tolerance: ClassVar[float | None] = 1e-3

    def write(self, graph: Graph, source: Path | None, folder: Path) -> None:
        """Written by PyTorch's exporter."""
        self.require()
        from subarch.deploy.onnx_export import export_onnx

        export_onnx(graph, folder / self.file)

    def open(self, folder: Path, threads: int) -> OnnxRuntime:
        """ONNX Runtime, which takes the file as it is."""
        self.require(*self.opens_with)
        return OnnxRuntime(folder / self.file, threads)

    def opening(self, folder: str) -> Opening:
        """ONNX Runtime and NumPy."""
        return Opening(
            imports=("import onnxruntime", "from transformers import AutoTokenizer"),
            load=f'session = onnxruntime.InferenceSession("{folder}/{self.file}")',
            ask="session.run(None, dict(inputs))",
            array="numpy.array",
            tensors="np",
        )


class OnnxRuntime:
    """ONNX Runtime on the CPU with a fixed number of threads."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [item.name for item in self._session.get_inputs()]
        self._outputs = [item.name for item in self._session.get_outputs()]

    def __call__(self, arrays: Arrays) -> np.ndarray[Any, Any]:
        """Outputs of one batch; where the graph has several, they are the last axis."""
        import numpy as np

        found = self._session.run(self._outputs, {name: arrays[name] for name in self._names})
        outputs: np.ndarray[Any, Any] = found[0] if len(found) == 1 else np.stack(found, axis=-1)
        return outputs
