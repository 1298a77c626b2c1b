"""What writes the ONNX formats: PyTorch's exporter, and ONNX Runtime's quantiser.

A graph is one file, weights inside, as long as protobuf can write it; above, they lie in `model.onnx.data` beside it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from subarch.arch.first_token import first_token_alone
from subarch.deploy.formats.base import Graph
from subarch.storage import replacing_files

LARGEST = 3 * 2**29
"""Bytes of weights that go into the graph; PyTorch's limit too, half a GiB below protobuf's."""


class _Function(nn.Module):
    """The model as a function of positional arrays, which is what an ONNX graph is."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.model, self.graph = graph.network, graph

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        found = self.model(**dict(zip(self.graph.inputs, arrays, strict=True)))
        return tuple(getattr(found, name) for name in self.graph.outputs)


def export_onnx(graph: Graph, path: Path) -> None:
    """Write the fp32 graph with any batch size and length.

    The last layer is computed for the token alone that the classifier reads (`first_token_alone`).

    Args:
        graph: The model.
        path: The `.onnx` file.
    """
    # Two rows and an odd length: the exporter would take a 1 for a constant.
    example = torch.ones(2, 7, dtype=torch.long)
    # One tensor each: torch.export takes the same object passed twice for one input.
    arrays = tuple(torch.full_like(example, name != "token_type_ids") for name in graph.inputs)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    with replacing_files(path) as folder, _quiet(), first_token_alone(graph.network):
        torch.onnx.export(
            _Function(graph).eval(),
            arrays,
            folder / path.name,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=(tuple(axes for _ in graph.inputs),),
            dynamo=True,
            external_data=sum(weight.nbytes for weight in graph.network.parameters()) > LARGEST,
            verbose=False,
        )
        _spare_residuals(folder / path.name)


def _spare_residuals(path: Path) -> None:
    """Write the residual additions before layer norms as Sum, which says the same.

    ONNX Runtime fuses Add and LayerNormalization to SkipLayerNormalization, whose kernel for the CPU takes five times
    as long as the two (docs/decisions.md); it leaves Sum alone.
    """
    import onnx

    graph = onnx.load(path, load_external_data=False)
    makers = {output: node for node in graph.graph.node for output in node.output}
    constants = {item.name for item in graph.graph.initializer}
    for node in graph.graph.node:
        maker = makers.get(node.input[0]) if node.op_type == "LayerNormalization" else None
        if maker is not None and maker.op_type == "Add" and constants.isdisjoint(maker.input):
            maker.op_type = "Sum"
    onnx.save(graph, path)


def quantize_int8(source: Path, path: Path) -> None:
    """Dynamic int8 quantisation, weights per output channel, of an fp32 graph from `export_onnx`.

    Weights have seven bits: processors with AVX2 or AVX-512 but no VNNI add two products of eight bits in sixteen and
    saturate there, which spoils the answers (ONNX Runtime, "Quantize ONNX models", on `reduce_range`), and nobody knows
    where the file will run.

    The graph must not be fused before: onnxruntime's quantiser then finds no types for the fused weights.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with replacing_files(path) as folder, _quiet():
        graph = onnx.load(source)
        size = sum(len(weight.raw_data) for weight in graph.graph.initializer)
        # The exporter's own notes on inner shapes contradict what onnx infers after weights are transposed.
        del graph.graph.value_info[:]
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            # The quantiser would copy a graph in memory before it does the same, which protobuf refuses above 2 GiB.
            plain = Path(inner) / path.name
            onnx.save(graph, plain, save_as_external_data=True)
            quantize_dynamic(
                plain,
                folder / path.name,
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                # A quarter of it will be left, and a little.
                use_external_data_format=size // 2 > LARGEST,
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself from the user; errors are exceptions and pass."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root", "")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
