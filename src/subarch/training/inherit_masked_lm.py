"""A masked-language model that starts as its teacher's most important part, with the head and the vocabulary's rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_masked_lm
from subarch.training.calibration import Calibration
from subarch.training.held_out import HeldOutBatch, masked_logits
from subarch.training.importance import measure_importance
from subarch.training.inherit import inherit, select
from subarch.training.losses import Batch, divergence
from subarch.training.masked_lm import Blocks, masked_inputs
from subarch.training.masking import Masking, mask_tokens
from subarch.training.skipping import rank_by_skipping
from subarch.training.stack import ENCODER_INPUTS

CALIBRATION_TOKENS = 4096
"""Tokens by which the teacher is weighed and the student is corrected, as for a task; ours."""
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
    calibration = Calibration(
        teacher=teacher.eval(), architecture=full, batches=batches, outputs=_answers, divergence=_divergence
    )
    selection = select(student, full, importance, drop_order=_drop_order(student, calibration))
    model = build_masked_lm(student, config, layers=selection.layers, empty=True)
    inherit(model, teacher, (student, full), selection, calibration)
    return model


def _drop_order(student: Architecture, calibration: Calibration) -> list[int]:
    """Layers of the teacher, the most dispensable first; in their own order where all of them stay."""
    if student.num_hidden_layers == calibration.architecture.num_hidden_layers:
        return list(range(student.num_hidden_layers))
    return rank_by_skipping(calibration, 1)


@torch.no_grad()
def _answers(model: nn.Module, batch: Batch) -> Tensor:
    """Logits (M, V) at the positions that have a label."""
    labels = batch["labels"].reshape(-1)
    positions = torch.nonzero(labels != IGNORED).squeeze(1)
    inputs = {name: batch[name] for name in ENCODER_INPUTS if name in batch}
    return masked_logits(model, HeldOutBatch(inputs=inputs, positions=positions, labels=labels[positions]))


def _divergence(logits_MV: Tensor, batch: Batch) -> Tensor:
    return divergence(logits_MV, batch["teacher_logits"], 1.0)


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
