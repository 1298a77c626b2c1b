"""What a step minimises. Each loss takes logits_BC (batch, classes or 1) and the batch, and returns a scalar mean.

Distillation follows Hinton et al. 2015 (arXiv 1503.02531), in the form that Bort's script intended (its released
loss took the softmax twice): T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)), in nats, as a mean over examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from subarch.errors import DivergedError

Batch = Mapping[str, Tensor]
Loss = Callable[[Tensor, Batch], Tensor]


def task_loss(logits_BC: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy to the labels (nats)."""
    return functional.cross_entropy(logits_BC.float(), batch["labels"])


@dataclass(frozen=True, kw_only=True)
class RegressionLoss:
    """Squared error in units of the labels' variance, so that learning rates carry over between tasks."""

    variance: float

    def __call__(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """Mean of (z - y)² / variance."""
        return functional.mse_loss(logits_BC.float().squeeze(-1), batch["labels"]) / self.variance


@dataclass(frozen=True, kw_only=True)
class DistillationLoss:
    """(1 - weight)·task loss + weight·divergence from the teacher's outputs + hidden_weight·distance of the last layer.

    The last term needs `batch["teacher_hidden"]` and `batch["student_hidden"]` (batch, length, width), and is left out
    where they are absent.
    """

    task: Loss
    regression_variance: float | None
    weight: float
    temperature: float
    hidden_weight: float = 0.0

    def __call__(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """The weighted sum; `batch["teacher_logits"]` holds the teacher's outputs."""
        teacher_BC = batch["teacher_logits"]
        if self.regression_variance is not None:
            imitation = functional.mse_loss(logits_BC.float(), teacher_BC) / self.regression_variance
        else:
            imitation = divergence(logits_BC, teacher_BC, self.temperature)
        total = self.weight * imitation
        if self.weight < 1.0:
            total = total + (1.0 - self.weight) * self.task(logits_BC, batch)
        if self.hidden_weight and "student_hidden" in batch:
            distance = hidden_distance(batch["student_hidden"], batch["teacher_hidden"], batch["attention_mask"])
            total = total + self.hidden_weight * distance
        return total


def divergence(student_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
    """T²·KL(teacher ‖ student) of the softened distributions (nats, mean over the batch)."""
    student_log = functional.log_softmax(student_BC.float() / temperature, dim=-1)
    teacher_log = functional.log_softmax(teacher_BC.float() / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


def hidden_distance(student_BSH: Tensor, teacher_BSH: Tensor, mask_BS: Tensor) -> Tensor:
    """How far the student's last layer is from the teacher's, over the tokens that are no padding; 0 when equal.

    Of equal width: squared error in units of the teacher's mean square. Of different widths: squared difference of the
    cosines between all pairs of tokens of a text, which need no projection (cf. MiniLMv2, arXiv 2012.15828).
    """
    student, teacher, mask = student_BSH.float(), teacher_BSH.float(), mask_BS.bool()
    if student.shape[-1] == teacher.shape[-1]:
        kept = teacher[mask]
        return functional.mse_loss(student[mask], kept) / kept.square().mean()
    pairs = mask[:, :, None] & mask[:, None, :]
    relations = [unit @ unit.transpose(1, 2) for unit in (functional.normalize(x, dim=-1) for x in (student, teacher))]
    return (relations[0] - relations[1]).square()[pairs].mean()


def surrogate_errors(student_BC: Tensor, teacher_BC: Tensor, *, kind: str, variance: float | None) -> Tensor:
    """ê of the FPTAS for each example, shape (batch,): how far the student's outputs are from the teacher's.

    Args:
        student_BC: Outputs of the candidate.
        teacher_BC: Outputs of the maximum point, the "labels" of ê (Bort, section 3.3).
        kind: "cross-entropy" (the paper's; its floor is the teacher's entropy) or "kl" (floor 0), in nats.
        variance: For regression, of the teacher's outputs; the error is then (z_s - z_t)² / variance, whatever
            `kind` says, since a real-valued output is no distribution.
    """
    if variance is not None:
        return (student_BC - teacher_BC).float().square().mean(-1) / variance
    teacher_log = functional.log_softmax(teacher_BC.float(), dim=-1)
    student_log = functional.log_softmax(student_BC.float(), dim=-1)
    if kind == "kl":
        return (teacher_log.exp() * (teacher_log - student_log)).sum(-1)
    return -(teacher_log.exp() * student_log).sum(-1)


def require_finite(loss: Tensor, step: int) -> float:
    """The loss as a number; raises DivergedError where it is none."""
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        raise DivergedError(f"the loss became {value} at step {step}", "lower the learning rate, or train in fp32")
    return value
