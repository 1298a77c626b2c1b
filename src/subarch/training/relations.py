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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from subarch.arch.families import Family
from subarch.errors import ConfigError
from subarch.training.losses import Batch, hidden_distance

CACHED, HELD = 2**18, 2**26
"""Relations that are worked on at a time: on a CPU what a cache holds, on an accelerator a small part of its memory."""
MOST_RELATION_HEADS = 48
"""The paper's number for teachers of 768 dimensions; it finds more to be better."""


@dataclass(frozen=True, kw_only=True)
class RelationLoss:
    """Sum over queries, keys and values of KL(teacher's relations ‖ student's), mean over heads and tokens (nats)."""

    heads: int
    """A, which must divide both widths."""

    def __call__(self, student_3BSH: Tensor, batch: Batch) -> Tensor:
        """`batch["teacher_relations"]` (3, B, S, H of the teacher) holds the teacher's vectors."""
        loss: Tensor = _Divergence.apply(  # type: ignore[no-untyped-call]
            student_3BSH, batch["teacher_relations"], self.heads, batch.get("attention_mask")
        )
        return loss


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


class _Divergence(torch.autograd.Function):
    """The loss, and with it the gradient: to the products Z = V·Vᵀ/√d it is G = softmax(Z) − R, to V (G + Gᵀ)·V/√d.

    A few blocks at a time, since all relations of a batch, 3·B·A·S² numbers, fit into no cache: on a CPU that is three
    times as fast as autograd's way, and what is kept for the backward pass has the size of V instead of theirs.
    """

    @staticmethod
    def forward(
        ctx: Any,
        student_3BSH: Tensor,
        teacher_3BSH: Tensor,
        heads: int,
        mask_BS: Tensor | None,
    ) -> Tensor:
        """Sum of the three means (nats), float32."""
        student_NSH, teacher_NSH = student_3BSH.detach().flatten(0, 1), teacher_3BSH.detach().flatten(0, 1)
        length = student_NSH.shape[1]
        real_BS = torch.ones(student_3BSH.shape[1:3], device=student_3BSH.device) if mask_BS is None else mask_BS
        real_NS = real_BS.bool().repeat(3, 1)
        scale = 1.0 / (heads * float(real_BS.sum()))
        rows = max(1, (CACHED if student_NSH.device.type == "cpu" else HELD) // (heads * length**2))
        gradient_NSH = torch.empty_like(student_NSH) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), device=student_NSH.device)
        for start in range(0, len(student_NSH), rows):
            part = slice(start, start + rows)
            mask_nS = None if mask_BS is None else real_NS[part]
            vectors_nASd = _by_head(student_NSH[part], heads)
            student = _log_relations(vectors_nASd, mask_nS)
            teacher = _log_relations(_by_head(teacher_NSH[part], heads), mask_nS)
            relations = teacher.exp()
            # Where padding is masked both logarithms are so low that exp gives 0.
            divergence_nAS = (relations * (teacher - student)).sum(-1)
            total += (divergence_nAS * real_NS[part, None]).sum() * scale
            if gradient_NSH is not None:
                error = (student.exp() - relations) * (real_NS[part, None, :, None] * scale)
                error = (error + error.transpose(-1, -2)) / math.sqrt(vectors_nASd.shape[-1])
                gradient_NSH[part] = (error @ vectors_nASd).transpose(1, 2).flatten(2).to(gradient_NSH.dtype)
        ctx.gradient = None if gradient_NSH is None else gradient_NSH.reshape(student_3BSH.shape)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        """The gradient that `forward` found, times that of the loss."""
        return ctx.gradient * grad.to(ctx.gradient.dtype), None, None, None


def _by_head(vectors_NSH: Tensor, heads: int) -> Tensor:
    """(N, A, S, d), float32."""
    return vectors_NSH.float().reshape(*vectors_NSH.shape[:2], heads, -1).transpose(1, 2)


def _log_relations(vectors_NASd: Tensor, mask_NS: Tensor | None) -> Tensor:
    """(N, A, S, S) logarithms of the relations."""
    products = vectors_NASd @ vectors_NASd.transpose(-1, -2) / math.sqrt(vectors_NASd.shape[-1])
    if mask_NS is not None:
        products = products.masked_fill(~mask_NS[:, None, None], -1e4)
    return functional.log_softmax(products, dim=-1)
