"""One ONNX file whose weights are whole numbers of eight bits (extra `onnx`)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from subarch.deploy.formats.base import Graph
from subarch.deploy.formats.onnx import Onnx


class OnnxInt8(Onnx):
    """Dynamic int8 quantisation: a quarter of the size, and answers that differ now and then."""

    name = "onnx-int8"
    label = "ONNX int8"
    words = "int8 ONNX"
    made_of = Onnx.name
    tolerance: ClassVar[float | None] = None

    def write(self, graph: Graph, source: Path | None, folder: Path) -> None:
        """Quantised from the fp32 file."""
        self.require()
        from subarch.deploy.onnx_export import quantize_int8

        if source is None:
            raise ValueError(f"no folder of {self.made_of}, which {self.name} is made of")
        quantize_int8(source / self.file, folder / self.file)
