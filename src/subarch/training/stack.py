"""The layers of an encoder, taken out of it and run one by one: what comes before and after them stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from subarch.arch.families import Family
from subarch.training.losses import Batch

ENCODER_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Entry:
    """What the layers are given for one batch."""

    state: Tensor
    """(batch, length, hidden): the output of the embeddings."""
    arguments: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    """Of each layer: what it takes beside the hidden state, such as masks."""


class LayerStack:
    """The layers of `model`, which may be exchanged for others for a while.

    Args:
        model: A model with a head, of the family.
        family: Where its layers lie.
    """

    def __init__(self, model: nn.Module, family: Family) -> None:
        path = family.layer_prefix.partition(".{i}")[0]
        owner, _, self._name = f"{family.encoder_prefix}.{path}".rpartition(".")
        self._owner = model.get_submodule(owner)
        self._encoder = model.get_submodule(family.encoder_prefix)
        self.layers: tuple[nn.Module, ...] = tuple(getattr(self._owner, self._name))

    @contextmanager
    def replaced(self, layers: Sequence[nn.Module]) -> Iterator[None]:
        """The model has these layers inside the context, and its own again after it, whatever happens."""
        whole = getattr(self._owner, self._name)
        setattr(self._owner, self._name, nn.ModuleList(layers))
        try:
            yield
        finally:
            setattr(self._owner, self._name, whole)

    @contextmanager
    def keeping(self, layers: Sequence[int]) -> Iterator[None]:
        """The model has only these of its layers inside the context."""
        with self.replaced([self.layers[layer] for layer in layers]):
            yield

    @contextmanager
    def ending_with(self, state: Tensor) -> Iterator[None]:
        """Inside the context, `state` is the output of the last layer, whatever the model reads."""
        with self.replaced([_Stop(self.layers[0], state)]):
            yield

    def enter(self, batch: Batch) -> Entry:
        """Run the embeddings alone."""
        stops = [_Stop(layer) for layer in self.layers]
        with self.replaced(stops):
            self._encoder(**{name: batch[name] for name in ENCODER_INPUTS if name in batch})
        return Entry(stops[0].seen, tuple(stop.arguments for stop in stops))

    def run(self, layer: int, state: Tensor, entry: Entry) -> Tensor:
        """The output of one layer."""
        arguments, options = entry.arguments[layer]
        output: Tensor = self.layers[layer](state, *arguments, **options)
        return output


class _Stop(nn.Module):
    """Stands in for a layer: remembers what it is given, and gives back `state` (or what came)."""

    seen: Tensor
    arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __init__(self, layer: nn.Module, state: Tensor | None = None) -> None:
        super().__init__()
        self._state = state
        # ModernBERT asks each of its layers which mask it takes.
        self.attention_type = getattr(layer, "attention_type", None)

    def forward(self, state: Tensor, *arguments: Any, **options: Any) -> Tensor:
        self.seen, self.arguments = state, (arguments, options)
        return state if self._state is None else self._state
