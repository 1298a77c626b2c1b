"""Which heads, neurons and hidden dimensions of a fine-tuned teacher its task needs, from one pass over some data.

The importance of a structure is the empirical Fisher information of a mask on it: the squared derivative of the loss
by the mask, summed over batches (Molchanov et al. 2019, arXiv 1906.10771; Kwon et al. 2022, arXiv 2204.09656). By the
chain rule that derivative is the sum of weight · gradient over the weights that the mask would multiply. The second
moments of the feed-forward activations are kept too: `inherit` solves least squares with them.
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
from subarch.training.losses import Batch, Loss


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Fisher information of each structure; larger is more important."""

    hidden: np.ndarray
    """Shape (hidden_size,)."""
    embedding: np.ndarray
    """Shape (embedding width,); only ELECTRA's differs from `hidden`."""
    attention: np.ndarray
    """Shape (layers, hidden_size): dimensions of the concatenated heads."""
    intermediate: np.ndarray
    """Shape (layers, intermediate_size)."""
    moments: tuple[Tensor, ...]
    """Per layer, XᵀX over tokens, where X is the feed-forward activation with a constant 1 appended."""


def measure_importance(
    teacher: nn.Module, architecture: Architecture, batches: Iterable[Batch], loss: Loss
) -> Importance:
    """Run `batches` forward and backward through the teacher (fp32), without changing its weights."""
    family = family_of(architecture.family)
    layers = range(architecture.num_hidden_layers)
    scores = {
        "hidden": torch.zeros(architecture.hidden_size),
        "embedding": torch.zeros(architecture.embedding_width),
        "attention": torch.zeros(len(layers), architecture.hidden_size),
        "intermediate": torch.zeros(len(layers), architecture.intermediate_size),
    }
    parameters = dict(teacher.named_parameters())
    width = architecture.intermediate_size
    moments = [torch.zeros(width + 1, width + 1) for _ in layers]
    teacher.eval()
    for batch in batches:
        teacher.zero_grad(set_to_none=True)
        inputs = {name: batch[name] for name in batch if name not in ("labels", "teacher_logits")}
        with _recording(teacher, family, moments, inputs["attention_mask"].bool()):
            value = loss(teacher(**inputs).logits, batch)
        value.backward()  # type: ignore[no-untyped-call]
        for axis in ("hidden", "embedding"):
            scores[axis] += _derivative(parameters, family, axis, len(scores[axis])).square()
        for layer in layers:
            path = family.layer_path(layer)
            scores["attention"][layer] += _columns(parameters[f"{path}.{family.attention_output}.weight"]).square()
            scores["intermediate"][layer] += _columns(parameters[f"{path}.{family.ffn_output}.weight"]).square()
    teacher.zero_grad(set_to_none=True)
    arrays = {axis: score.numpy() for axis, score in scores.items()}
    return Importance(**arrays, moments=tuple(moments))


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
def _recording(teacher: nn.Module, family: Family, moments: list[Tensor], mask_BS: Tensor) -> Iterator[None]:
    """Add each layer's second moments of the feed-forward activation, over the tokens that are no padding."""
    mask = mask_BS.reshape(-1)

    def record(layer: int, activation: Tensor) -> None:
        rows = activation.detach().reshape(-1, activation.shape[-1])[mask].float()
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        moments[layer] += rows.T @ rows

    def hook_of(layer: int):  # type: ignore[no-untyped-def]  # noqa: ANN202  (a closure for torch's hook)
        return lambda module, arguments: record(layer, arguments[0])

    handles = [
        teacher.get_submodule(f"{family.layer_path(layer)}.{family.ffn_output}").register_forward_pre_hook(
            hook_of(layer)
        )
        for layer in range(len(moments))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
