"""All formats of exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from subarch.deploy.formats.base import Format
from subarch.deploy.formats.onnx import Onnx
from subarch.deploy.formats.onnx_int8 import OnnxInt8

FORMATS: dict[str, Format] = {each.name: each for each in (Onnx(), OnnxInt8())}
"""A format stands after the one that it is made of."""

EXACT, TOLERANCE = next((each, each.tolerance) for each in FORMATS.values() if each.tolerance is not None)
"""The format that may answer in a model's place, and how far it may differ."""


def format_in(folder: Path) -> Format | None:
    """A format that opens the export in a folder; None where it holds none."""
    return next((each for each in FORMATS.values() if each.holds(folder)), None)


def weight_files(folder: Path) -> Iterator[Path]:
    """The files in a model's folder or an export's that hold its weights."""
    found = {file for each in FORMATS.values() for file in each.files(folder)}
    return iter(sorted({*folder.glob("*.safetensors"), *found}))
