"""What every format of an export says of itself.

Nothing outside this room asks a format for its name: what differs between formats is an attribute or a method here. A
new format is a file with a subclass of `Format`, and a line in `registry.py`. Importing the room does not import
PyTorch: the command line names the formats before it needs any.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from subarch.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Arrays = Mapping[str, "np.ndarray[Any, Any]"]


class Runtime(Protocol):
    """Arrays in (`input_ids`, `attention_mask`, perhaps `token_type_ids`; int64, (batch, length)), outputs out."""

    def __call__(self, arrays: Arrays) -> np.ndarray[Any, Any]:
        """Float32 outputs: (batch, classes or 1), or (batch, length, 2) where start and end of spans are given."""
        ...


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A model as a function of arrays, from which a format is written."""

    network: nn.Module
    """A transformers model with a head, float32, on the CPU."""
    inputs: tuple[str, ...]
    """Names of its inputs, from `INPUTS`, in order."""
    outputs: tuple[str, ...]
    """Names of the outputs that an export gives, in order."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Python that opens a folder without subarch."""

    imports: tuple[str, ...]
    """What `load` and a tokenizer need."""
    load: str
    """A statement that opens the folder."""
    ask: str
    """An expression of `inputs`: the outputs for a batch, one NumPy array each."""
    array: str
    """The function that makes an array for `ask`, after its package."""
    tensors: str
    """What a tokenizer's `return_tensors` has to be."""


def in_pytorch(folder: str, auto_class: str) -> Opening:
    """How to open a model's folder without subarch."""
    return Opening(
        imports=(f"from transformers import {auto_class}, AutoTokenizer",),
        load=f'model = {auto_class}.from_pretrained("{folder}")',
        ask="[each.detach().numpy() for each in model(**inputs).values()]",
        array="torch.tensor",
        tensors="pt",
    )


class Format(ABC):
    """A format of an export. Instances have no state; `registry.FORMATS` holds one of each."""

    name: ClassVar[str]
    """What users type; also the name of its folder and its key in results."""
    label: ClassVar[str]
    """For tables, in brackets after the name of the model."""
    words: ClassVar[str]
    """For sentences, after "the"."""
    extra: ClassVar[str]
    """The extra of this package that installs what the format needs."""
    writes_with: ClassVar[tuple[str, ...]]
    """Packages that write it."""
    opens_with: ClassVar[tuple[str, ...]]
    """Packages that open it."""
    file: ClassVar[str]
    """The file that marks a folder as this format."""
    weights: ClassVar[tuple[str, ...]]
    """Patterns of the files that hold its weights."""
    made_of: ClassVar[str | None] = None
    """The name of the format that it is made from; None if it is made from the model."""
    tolerance: ClassVar[float | None] = None
    """Largest difference of its outputs from PyTorch's, relative to their spread; None if any difference is allowed."""

    @abstractmethod
    def write(self, graph: Graph, source: Path | None, folder: Path) -> None:
        """Write the model; a kill leaves nothing half-written.

        Args:
            graph: The model.
            source: The folder of the format that it is made of.
            folder: Where `file` goes.

        Raises:
            MissingExtraError: `extra` is not installed.
        """

    @abstractmethod
    def open(self, folder: Path, threads: int) -> Runtime:
        """Open the export for requests, with this many CPU threads. Latency is the time of its calls.

        Raises:
            MissingExtraError: `extra` is not installed.
        """

    @abstractmethod
    def opening(self, folder: str) -> Opening:
        """How to open it without subarch."""

    def holds(self, folder: Path) -> bool:
        """Whether a folder is an export that `open` opens."""
        return (folder / self.file).exists()

    def files(self, folder: Path) -> Iterator[Path]:
        """The files in a folder that hold its weights."""
        return (file for pattern in self.weights for file in folder.glob(pattern))

    def require(self, *packages: str) -> None:
        """Raise MissingExtraError, with the command that installs it, where a package is missing.

        Args:
            packages: What is needed now; by default all that writes it and opens it.
        """
        wanted = packages or tuple(dict.fromkeys((*self.writes_with, *self.opens_with)))
        missing = [name for name in wanted if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingExtraError(
                f"{self.label} needs {', '.join(missing)}, not installed", f"pip install 'subarch[{self.extra}]'"
            )
