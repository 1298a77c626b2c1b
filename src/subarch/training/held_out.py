"""How well a masked-language model guesses on held-out blocks, and how often as its teacher does.

The masks are drawn once, so that all models and all moments are asked the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from subarch.errors import DataError
from subarch.training.masked_lm import Blocks, MaskedLanguageModel, MaskedTeacher, decode, encode, masked_inputs
from subarch.training.masking import Masking, mask_tokens

MASK_SEED = 0
"""Of the held-out masks, whatever a run's seed, so that seeds are compared on the same questions."""
ROWS = 8
"""Blocks of a forward pass."""


@dataclass(frozen=True, kw_only=True)
class HeldOutBatch:
    """Blocks (B, S) with M masked positions."""

    inputs: dict[str, Tensor]
    positions: Tensor
    """(M,) in the flattened blocks."""
    labels: Tensor
    """(M,)."""


def held_out_batches(blocks: Blocks, masking: Masking, *, count: int, device: torch.device) -> Iterator[HeldOutBatch]:
    """The first `count` blocks of a split (or all there are), masked the same way each time.

    Raises:
        DataError: No blocks.
    """
    count = min(count, len(blocks))
    if not count:
        raise DataError("the held-out split has no block", "prepare a longer corpus")
    rng = np.random.default_rng(MASK_SEED)
    for start in range(0, count, ROWS):
        ids = blocks.take(np.arange(start, min(count, start + ROWS))).astype(np.int64)
        masked, positions = mask_tokens(ids, rng, masking)
        yield HeldOutBatch(
            inputs=masked_inputs(masked, masking.pad_token_id, device),
            positions=torch.from_numpy(positions).to(device),
            labels=torch.from_numpy(ids.reshape(-1)[positions]).to(device),
        )


@torch.inference_mode()
def masked_logits(model: nn.Module, batch: HeldOutBatch) -> Tensor:
    """Logits (M, V) of a masked-language model, float32, or of the loop's wrapper around one."""
    inner = model.model if isinstance(model, MaskedLanguageModel) else model
    assert isinstance(inner, nn.Module)
    return decode(inner, encode(inner, batch.inputs), batch.positions).float()


@dataclass(kw_only=True)
class HeldOut:
    """Held-out questions, with the teacher's answers to them once they were asked for."""

    blocks: Blocks
    masking: Masking
    count: int
    """Blocks."""
    device: torch.device
    teacher: nn.Module | None = None
    """A masked-language model."""
    _answers: list[Tensor] = field(default_factory=list)
    _teacher_metrics: dict[str, float] = field(default_factory=dict)

    def metrics(self, model: nn.Module) -> dict[str, float]:
        """`mlm_loss` (nats), `mlm_accuracy`, and with a teacher `teacher_mlm_loss`, `teacher_mlm_accuracy` and
        `teacher_agreement` (share of positions where both guess the same token); `masked_tokens`."""
        if self.teacher is not None and not self._answers:
            self._teacher_metrics, self._answers = self._ask(self.teacher)
        own, answers = self._ask(model)
        if self.teacher is not None:
            same = sum(int((a == b).sum()) for a, b in zip(answers, self._answers, strict=True))
            own |= {f"teacher_{name}": self._teacher_metrics[name] for name in ("mlm_loss", "mlm_accuracy")}
            own["teacher_agreement"] = same / own["masked_tokens"]
        return own

    def _ask(self, model: nn.Module) -> tuple[dict[str, float], list[Tensor]]:
        was_training = model.training
        model.eval()
        loss, right, total, answers = 0.0, 0, 0, []
        for batch in held_out_batches(self.blocks, self.masking, count=self.count, device=self.device):
            logits = masked_logits(model, batch)
            loss += float(functional.cross_entropy(logits, batch.labels, reduction="sum"))
            answers.append(logits.argmax(-1))
            right += int((answers[-1] == batch.labels).sum())
            total += len(batch.labels)
        model.train(was_training)
        return {"mlm_loss": loss / total, "mlm_accuracy": right / total, "masked_tokens": float(total)}, answers


def held_out_metrics(
    model: nn.Module,
    teacher: PreTrainedModel | MaskedTeacher | None,
    blocks: Blocks,
    masking: Masking,
    *,
    count: int = 64,
) -> dict[str, float]:
    """`HeldOut.metrics` asked once, on the model's device."""
    device = next(model.parameters()).device
    known = teacher.inner.model if isinstance(teacher, MaskedTeacher) else teacher
    return HeldOut(blocks=blocks, masking=masking, count=count, device=device, teacher=known).metrics(model)
