"""Which heads, neurons and hidden dimensions of a fine-tuned teacher its task needs, from one pass over some data.

The importance of a structure is the empirical Fisher information of a mask on it: the squared derivative of the loss
by the mask, summed over batches (Molchanov et al. 2019, arXiv 1906.10771; Kwon et al. 2022, arXiv 2204.09656). By the
chain rule that derivative is the sum of weight · gradient over the weights that the mask would multiply. A mask is on a
whole head, as in Kwon et al. Departures: the square is taken of a batch's mean loss, as in their released code, not of
each example's; only the diagonal is used, without their search and rearrangement over pairs of masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from subarch.arch.architecture import Architecture
from subarch.arch.families import Family, axes_of, family_of
from subarch.running.budget import Deadline
from subarch.training.loop import INPUTS
from subarch.training.losses import Batch, Loss

LEAST_ROWS = 64
"""Rows that are seen whatever the time; ours."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Fisher information of each structure; larger is more important."""

    hidden: np.ndarray
    """Shape (hidden_size,)."""
    embedding: np.ndarray
    """Shape (embedding width,); only ELECTRA's differs from `hidden`."""
    attention: np.ndarray
    """Shape (layers, num_attention_heads): whole heads."""
    intermediate: np.ndarray
    """Shape (layers, intermediate_size)."""


def measure_importance(
    teacher: nn.Module,
    architecture: Architecture,
    batches: Iterable[Batch],
    loss: Loss,
    deadline: Deadline | None = None,
) -> Importance:
    """Run `batches` forward and backward through the teacher (fp32), without changing its weights.

    Args:
        teacher: A model with a head, in fp32.
        architecture: Its sizes.
        batches: In the order in which they count.
        loss: What the task minimises.
        deadline: Once it has passed and `LEAST_ROWS` rows were seen, the batches that are left are left out.
    """
    family = family_of(architecture.family)
    layers, heads = range(architecture.num_hidden_layers), architecture.num_attention_heads
    scores = {
        "hidden": torch.zeros(architecture.hidden_size),
        "embedding": torch.zeros(architecture.embedding_width),
        "attention": torch.zeros(len(layers), heads),
        "intermediate": torch.zeros(len(layers), architecture.intermediate_size),
    }
    parameters = dict(teacher.named_parameters())
    teacher.eval()
    rows = 0
    with _without_tables(parameters, family):
        for batch in batches:
            if deadline is not None and deadline.expired and rows >= LEAST_ROWS:
                break
            rows += len(batch["input_ids"])
            teacher.zero_grad(set_to_none=True)
            inputs = {name: batch[name] for name in INPUTS if name in batch}
            loss(teacher(**inputs).logits, batch).backward()  # type: ignore[no-untyped-call]
            for axis in ("hidden", "embedding"):
                scores[axis] += _derivative(parameters, family, axis, len(scores[axis])).square()
            for layer in layers:
                path = family.layer_path(layer)
                dimensions = _columns(parameters[f"{path}.{family.attention_output}.weight"])
                scores["attention"][layer] += dimensions.reshape(heads, -1).sum(1).square()
                scores["intermediate"][layer] += _columns(parameters[f"{path}.{family.ffn_output}.weight"]).square()
    teacher.zero_grad(set_to_none=True)
    return Importance(**{axis: score.numpy() for axis, score in scores.items()})


def _columns(weight: Tensor) -> Tensor:
    """Derivative by a mask on each input of a linear layer."""
    return torch.zeros(weight.shape[1]) if weight.grad is None else (weight.detach() * weight.grad).sum(0)


def _derivative(parameters: dict[str, nn.Parameter], family: Family, axis: str, size: int) -> Tensor:
    """Derivative by a mask on each index of `axis`, over the parameters that have it.

    The rows of the vocabulary are left out: they are most of the arithmetic, and say what the layers say.
    """
    total = torch.zeros(size)
    for name, parameter in parameters.items():
        axes = axes_of(family, name)
        if axis not in axes or "vocab" in axes or parameter.grad is None:
            continue
        product = parameter.detach() * parameter.grad
        for dimension, found in enumerate(axes):
            if found == axis:
                others = [d for d in range(product.ndim) if d != dimension]
                total += product.sum(others) if others else product
    return total


@contextmanager
def _without_tables(parameters: dict[str, nn.Parameter], family: Family) -> Iterator[None]:
    """No gradient of the vocabulary's rows inside the context: they are most of a small model, and nobody reads it."""
    tables = [p for name, p in parameters.items() if "vocab" in axes_of(family, name) and p.requires_grad]
    for table in tables:
        table.requires_grad_(False)
    try:
        yield
    finally:
        for table in tables:
            table.requires_grad_(True)
