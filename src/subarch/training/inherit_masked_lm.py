"""A masked-language model that starts as its teacher's most important part, with the head and the vocabulary's rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_masked_lm
from subarch.training.held_out import HeldOutBatch, masked_logits
from subarch.training.importance import Importance, measure_importance
from subarch.training.inherit import inherit, rank_layers, select
from subarch.training.losses import Batch, surrogate_errors
from subarch.training.masked_lm import Blocks, masked_inputs
from subarch.training.masking import Masking, mask_tokens

CALIBRATION_TOKENS = 4096
"""Tokens from which importance is measured, as for a task; ours."""
ROWS_TOKENS = 1024
"""Tokens of a pass: here every token goes through the vocabulary head."""
IGNORED = -100


def inherited_masked_lm(
    student: Architecture, teacher: PreTrainedModel, blocks: Blocks, masking: Masking, *, seed: int
) -> PreTrainedModel:
    """A float32 model of the student's sizes with the teacher's most important weights.

    Args:
        student: Sizes to reach.
        teacher: A float32 masked-language model of the same family, on the CPU.
        blocks: Training blocks, from which importance is measured.
        masking: How they are masked.
        seed: Which blocks, and their masks.

    Raises:
        ModelError: The student is larger than the teacher somewhere, or has heads of another width.
    """
    config = teacher.config.to_dict()
    full = Architecture.from_config(config)
    teacher.set_attn_implementation("eager")
    batches = _calibration(blocks, masking, seed)
    importance = measure_importance(teacher, full, batches, _loss)
    order = _drop_order(student, full, teacher, importance, batches)
    selection = select(student, full, importance, drop_order=order)
    model = build_masked_lm(student, config, layers=selection.layers, empty=True)
    inherit(model, teacher, (student, full), selection, importance)
    return model


def _drop_order(
    student: Architecture, full: Architecture, teacher: PreTrainedModel, importance: Importance, batches: list[Batch]
) -> list[int]:
    """Layers of the teacher, the most dispensable first; in their own order where all of them stay."""
    if student.num_hidden_layers == full.num_hidden_layers:
        return list(range(full.num_hidden_layers))
    first = batches[0]
    positions = torch.nonzero(first["labels"].reshape(-1) != IGNORED).squeeze(1)
    asked = HeldOutBatch(
        inputs={"input_ids": first["input_ids"], "attention_mask": first["attention_mask"]},
        positions=positions,
        labels=first["labels"].reshape(-1)[positions],
    )
    reference = masked_logits(teacher.eval(), asked)

    def error_of(layers: tuple[int, ...]) -> float:
        shallow = full.keep_layers(layers)
        model = build_masked_lm(shallow, teacher.config.to_dict(), layers=layers, empty=True)
        dropped = [layer for layer in range(full.num_hidden_layers) if layer not in layers]
        inherit(model, teacher, (shallow, full), select(shallow, full, importance, drop_order=dropped))
        outputs = masked_logits(model.eval(), asked)
        return float(surrogate_errors(outputs, reference, kind="kl", variance=None).mean())

    return rank_layers(full, error_of)


def _calibration(blocks: Blocks, masking: Masking, seed: int) -> list[Batch]:
    rng = np.random.default_rng(seed)
    length = blocks.take(np.arange(1)).shape[1]
    wanted = min(len(blocks), max(1, CALIBRATION_TOKENS // length))
    chosen = np.sort(rng.choice(len(blocks), size=wanted, replace=False))
    rows = max(1, ROWS_TOKENS // length)
    batches: list[Batch] = []
    for start in range(0, wanted, rows):
        ids = blocks.take(chosen[start : start + rows]).astype(np.int64)
        masked, positions = mask_tokens(ids, rng, masking)
        labels = np.full(ids.size, IGNORED, dtype=np.int64)
        labels[positions] = ids.reshape(-1)[positions]
        inputs = masked_inputs(masked, masking.pad_token_id, torch.device("cpu"))
        inputs.setdefault("attention_mask", torch.ones(ids.shape, dtype=torch.int64))
        batches.append({**inputs, "labels": torch.from_numpy(labels.reshape(ids.shape))})
    return batches


def _loss(logits_BSV: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_BSV.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)
