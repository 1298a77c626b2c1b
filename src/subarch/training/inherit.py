"""A student that starts as its teacher's most important part, not as noise.

Every parameter is cut along its named axes (arch/families.py): layers chosen, whole heads and feed-forward neurons
kept by importance, hidden dimensions and vocabulary rows selected. Then training/correction.py makes up for what went,
where that helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from subarch.arch.architecture import Architecture
from subarch.arch.families import axes_of, family_of, layer_of, rename_layer
from subarch.errors import ModelError
from subarch.training.calibration import Calibration
from subarch.training.correction import Kept, correct
from subarch.training.importance import Importance


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a student keeps of its teacher; indices into the teacher, ascending. None keeps everything."""

    layers: tuple[int, ...]
    hidden: np.ndarray | None = None
    embedding: np.ndarray | None = None
    attention: tuple[np.ndarray, ...] | None = None
    """Per student layer: dimensions of the concatenated heads, whole heads at a time."""
    intermediate: tuple[np.ndarray, ...] | None = None
    """Per student layer: feed-forward neurons."""
    vocab: np.ndarray | None = None
    """Teacher token id of each student token id (in the student's order)."""


def require_inheritable(student: Architecture, teacher: Architecture) -> None:
    """Raise ModelError where `inherit` would, without any weights."""
    _require_smaller(student, teacher)
    _require_heads(student, teacher)


def select(
    student: Architecture,
    teacher: Architecture,
    importance: Importance,
    *,
    drop_order: Sequence[int],
    vocab: Sequence[int] | None = None,
) -> Selection:
    """Choose the most important structures of the teacher that fit the student.

    Args:
        student: Sizes to reach.
        teacher: Sizes to choose from.
        importance: From `measure_importance`.
        drop_order: Teacher layers, the most dispensable first (`rank_layers`).
        vocab: Teacher token id of each student token; None keeps the vocabulary.

    Raises:
        ModelError: The student is larger than its teacher in some dimension, or only one projects its embeddings.
    """
    _require_smaller(student, teacher)
    dropped = set(drop_order[: teacher.num_hidden_layers - student.num_hidden_layers])
    layers = tuple(layer for layer in range(teacher.num_hidden_layers) if layer not in dropped)
    attention = None
    if student.hidden_size < teacher.hidden_size:
        attention = tuple(
            _dimensions(_top(importance.attention[layer], student.num_attention_heads), teacher.head_dim)
            for layer in layers
        )
    intermediate = None
    if student.intermediate_size < teacher.intermediate_size:
        intermediate = tuple(_top(importance.intermediate[layer], student.intermediate_size) for layer in layers)
    return Selection(
        layers=layers,
        hidden=_smaller(importance.hidden, student.hidden_size),
        embedding=_smaller(importance.embedding, student.embedding_width)
        if teacher.embedding_size
        else _smaller(importance.hidden, student.hidden_size),
        attention=attention,
        intermediate=intermediate,
        vocab=None if vocab is None else np.asarray(vocab),
    )


def inherit(
    student: nn.Module,
    teacher: nn.Module,
    architectures: tuple[Architecture, Architecture],
    selection: Selection,
    calibration: Calibration | None = None,
) -> None:
    """Fill a freshly built `student` with the selected weights of `teacher`, in place.

    Args:
        student: A model of the student's architecture; every one of its parameters is filled.
        teacher: The fine-tuned teacher.
        architectures: (student's, teacher's).
        selection: From `select`.
        calibration: Of this teacher. With it, what was cut is made up for where that helps (`correct`).

    Raises:
        ModelError: The heads differ in width.
    """
    family = family_of(architectures[1].family)
    source = {**dict(teacher.named_buffers()), **dict(teacher.named_parameters())}
    _require_heads(*architectures)
    with torch.no_grad():
        for name, target in student.named_parameters():
            layer = layer_of(family, name)
            axes = axes_of(family, name)
            origin = name if layer is None else rename_layer(family, name, selection.layers[layer])
            target.copy_(_cut(source[origin], axes, selection, layer))
    if calibration is not None:
        kept = Kept(layers=selection.layers, hidden=selection.hidden, vocab=selection.vocab)
        correct(student, kept, calibration)


def rank_layers(architecture: Architecture, error_of: Callable[[tuple[int, ...]], float]) -> list[int]:
    """Teacher layers, the most dispensable first: greedily the layer whose absence hurts least.

    Args:
        architecture: The teacher's.
        error_of: Divergence from the teacher when only these layers are kept.
    """
    fixed = {0} if family_of(architecture.family).keeps_first_layer else set()
    kept, order = list(range(architecture.num_hidden_layers)), []
    while len(kept) > 1 and set(kept) - fixed:
        errors = {layer: error_of(tuple(k for k in kept if k != layer)) for layer in kept if layer not in fixed}
        worst = min(errors, key=lambda layer: errors[layer])
        order.append(worst)
        kept.remove(worst)
    return order + kept


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    return np.sort(np.argsort(-scores, kind="stable")[:count])


def _smaller(scores: np.ndarray, count: int) -> np.ndarray | None:
    return None if count == len(scores) else _top(scores, count)


def _dimensions(heads: np.ndarray, head_dim: int) -> np.ndarray:
    dimensions: np.ndarray = (heads[:, None] * head_dim + np.arange(head_dim)).reshape(-1)
    return dimensions


def _cut(weight: Tensor, axes: Sequence[str | None], selection: Selection, layer: int | None) -> Tensor:
    for dimension, axis in enumerate(axes):
        indices = _indices(axis, selection, layer, weight.shape[dimension])
        if indices is not None:
            weight = weight.index_select(dimension, torch.from_numpy(indices).to(weight.device))
    return weight


def _indices(axis: str | None, selection: Selection, layer: int | None, size: int) -> np.ndarray | None:
    if axis in ("hidden", "embedding", "vocab"):
        kept: np.ndarray | None = getattr(selection, axis)
        return kept
    if layer is None:
        return None
    blocks, per_layer = {
        "attention": (1, selection.attention),
        "qkv": (3, selection.attention),
        "intermediate": (1, selection.intermediate),
        "gated_intermediate": (2, selection.intermediate),
    }.get(axis or "", (1, None))
    if per_layer is None:
        return None
    return np.concatenate([per_layer[layer] + block * (size // blocks) for block in range(blocks)])


def _require_smaller(student: Architecture, teacher: Architecture) -> None:
    for field in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size", "embedding_width"):
        if getattr(student, field) > getattr(teacher, field):
            raise ModelError(
                f"the student's {field} {getattr(student, field)} is larger than the teacher's "
                f"{getattr(teacher, field)}, so it cannot inherit its weights"
            )
    if (student.embedding_size is None) != (teacher.embedding_size is None):
        raise ModelError(
            f"the student's embedding_size is {student.embedding_width} of hidden_size {student.hidden_size}, the "
            f"teacher's {teacher.embedding_width} of {teacher.hidden_size}: only one of them projects its embeddings"
        )


def _require_heads(student: Architecture, teacher: Architecture) -> None:
    if student.head_dim != teacher.head_dim:
        raise ModelError(
            f"heads of width {student.head_dim} cannot inherit from heads of width {teacher.head_dim}",
            "change num_attention_heads and hidden_size in proportion",
        )
