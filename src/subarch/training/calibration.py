"""A few rows of training data on which a teacher is weighed, and its students are corrected and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from subarch.arch.architecture import Architecture
from subarch.arch.families import Family, family_of
from subarch.training.losses import Batch, Loss
from subarch.training.stack import LayerStack

Outputs = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What the teacher makes of some batches, computed once, when it is first asked for."""

    teacher: nn.Module
    """In fp32, on the CPU, in evaluation mode."""
    architecture: Architecture
    """The teacher's."""
    batches: Sequence[Batch]
    """Numbered as the teacher's vocabulary; each has an `attention_mask`."""
    outputs: Outputs
    """What a model answers to a batch."""
    divergence: Loss
    """How far answers are from those in `batch["teacher_logits"]`; 0 where they are equal."""

    @property
    def family(self) -> Family:
        """The teacher's, and its students'."""
        return family_of(self.architecture.family)

    @cached_property
    def answered(self) -> list[Batch]:
        """The batches with `teacher_logits`."""
        with torch.no_grad():
            return [{**batch, "teacher_logits": self.outputs(self.teacher, batch).float()} for batch in self.batches]

    @cached_property
    def sums(self) -> list[list[Tensor]]:
        """Of each batch and layer: the residual sum after the feed-forward network, (batch, length, hidden), before
        the layer's last norm where it has one."""
        stack = LayerStack(self.teacher, self.family)
        found: list[list[Tensor]] = []
        with torch.no_grad():
            for batch in self.batches:
                entry, sums = stack.enter(batch), []
                state = entry.state
                for layer, module in enumerate(stack.layers):
                    with recorded_sum(module, self.family) as seen:
                        state = stack.run(layer, state, entry)
                    sums.append(seen[0] if seen else state)
                found.append(sums)
        return found


@contextmanager
def recorded_sum(layer: nn.Module, family: Family) -> Iterator[list[Tensor]]:
    """What the layer's last norm is given inside the context; nothing where the layer ends without one."""
    seen: list[Tensor] = []
    if family.ffn_norm is None:
        yield seen
        return
    norm = layer.get_submodule(family.ffn_norm)
    handle = norm.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    try:
        yield seen
    finally:
        handle.remove()
