"""What a student imitates inside its teacher: relations between tokens, or hidden states through a projection.

Relations (MiniLMv2, Wang et al. 2021, arXiv 2012.15828, section 3): the queries of all heads of a layer, side by side,
are split anew into A relation heads; R = softmax(Q·Qᵀ/√d) says how tokens relate, likewise for keys and values, and
teacher and student may differ in width and heads. Shapes: B blocks of S tokens, widths H of either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from subarch.arch.families import Family
from subarch.errors import ConfigError
from subarch.training.losses import Batch, hidden_distance

MOST_RELATION_HEADS = 48
"""The paper's number for teachers of 768 dimensions; it finds more to be better."""


@dataclass(frozen=True, kw_only=True)
class RelationLoss:
    """Sum over queries, keys and values of KL(teacher's relations ‖ student's), mean over heads and tokens (nats)."""

    heads: int
    """A, which must divide both widths."""

    def __call__(self, student_3BSH: Tensor, batch: Batch) -> Tensor:
        """`batch["teacher_relations"]` (3, B, S, H of the teacher) holds the teacher's vectors."""
        mask_BS = batch.get("attention_mask")
        student, teacher = (
            _log_relations(vectors, self.heads, mask_BS) for vectors in (student_3BSH, batch["teacher_relations"])
        )
        # Where padding is masked both logarithms are so low that exp gives 0.
        divergence_3BAS = (teacher.exp() * (teacher - student)).sum(-1)
        if mask_BS is None:
            return divergence_3BAS.mean((1, 2, 3)).sum()
        real_BAS = mask_BS.bool()[:, None].expand(divergence_3BAS.shape[1:])
        return divergence_3BAS[:, real_BAS].mean(1).sum()


@dataclass(frozen=True, kw_only=True)
class HiddenLoss:
    """Squared error of the projected student's last hidden states, in units of the teacher's mean square."""

    def __call__(self, student_BSH: Tensor, batch: Batch) -> Tensor:
        """`batch["teacher_hidden_states"]` (B, S, H) holds the teacher's."""
        teacher = batch["teacher_hidden_states"]
        mask_BS = batch.get("attention_mask")
        if mask_BS is None:
            mask_BS = torch.ones(teacher.shape[:2], device=teacher.device)
        return hidden_distance(student_BSH, teacher, mask_BS)


def relation_heads(teacher_width: int, student_width: int, wanted: int | None = None) -> int:
    """A number of relation heads that divides both widths: `wanted`, or the largest up to 48.

    Raises:
        ConfigError: `wanted` does not divide both.
    """
    common = math.gcd(teacher_width, student_width)
    if wanted is None:
        return max(number for number in range(1, MOST_RELATION_HEADS + 1) if common % number == 0)
    if wanted < 1 or common % wanted:
        raise ConfigError(
            f"relation_heads is {wanted}, expected a divisor of the hidden sizes {teacher_width} and {student_width}",
            f"any divisor of {common}",
        )
    return wanted


@contextmanager
def query_key_value(model: nn.Module, family: Family, layer: int) -> Iterator[Callable[[], Tensor]]:
    """While the block runs the model, keep the queries, keys and values of a layer.

    Args:
        model: A model with a head.
        family: Its family.
        layer: From 0.

    Yields:
        A function that gives them: (3, B, S, H), before ModernBERT's rotation.
    """
    outputs: dict[str, Tensor] = {}

    def hook_of(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  (a closure for torch's hook)
        def hook(module: nn.Module, arguments: object, output: Tensor) -> None:
            outputs[name] = output

        return hook

    path = family.layer_path(layer)
    handles = [
        model.get_submodule(f"{path}.{name}").register_forward_hook(hook_of(name)) for name in family.query_key_value
    ]

    def found() -> Tensor:
        parts = [outputs[name] for name in family.query_key_value]
        return torch.stack(parts if len(parts) == 3 else parts[0].chunk(3, dim=-1))

    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _log_relations(vectors_3BSH: Tensor, heads: int, mask_BS: Tensor | None) -> Tensor:
    """(3, B, A, S, S) logarithms of the relations, float32."""
    split = vectors_3BSH.float().reshape(*vectors_3BSH.shape[:-1], heads, -1).transpose(-2, -3)
    products = split @ split.transpose(-1, -2) / math.sqrt(split.shape[-1])
    if mask_BS is not None:
        products = products.masked_fill(~mask_BS.bool()[None, :, None, None, :], -1e4)
    return functional.log_softmax(products, dim=-1)
