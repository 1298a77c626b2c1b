"""What a step minimises. Each loss takes logits_BC (batch, classes or 1) and the batch, and returns a scalar mean.

Distillation follows Hinton et al. 2015 (arXiv 1503.02531), in the form that Bort's script intended (its released
loss took the softmax twice): T²·KL(softmax(z_t/T) ‖ softmax(z_s/T)), in nats, as a mean over examples.
"""

from __future__ import annotations

import math
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


def choice_loss(logits_B1: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy of the distribution over each group's rows (nats), as a mean over groups.

    Where several rows are right, -log of their summed probability; a group without a right row has nothing to teach
    and does not count. `batch["groups"]` (batch,) numbers the groups from 0, in ascending order.
    """
    log_probs_GM = _by_group(logits_B1, batch["groups"]).log_softmax(-1)
    right_GM = _by_group(batch["labels"], batch["groups"]) == 1
    taught = right_GM.any(-1)
    if not taught.any():
        return logits_B1.float().sum() * 0.0
    right_log_probs = log_probs_GM[taught].masked_fill(~right_GM[taught], -math.inf)
    return -right_log_probs.logsumexp(-1).mean()


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """T²·KL of the teacher's classes and the student's, see `divergence`."""

    temperature: float

    def __call__(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """Nats, mean over the batch; `batch["teacher_logits"]` holds the teacher's outputs."""
        return divergence(logits_BC, batch["teacher_logits"], self.temperature)


@dataclass(frozen=True, kw_only=True)
class ChoiceDivergence:
    """T²·KL of the teacher's and the student's distributions over the rows of each group."""

    temperature: float

    def __call__(self, logits_B1: Tensor, batch: Batch) -> Tensor:
        """Nats, mean over groups; `batch["groups"]` as in `choice_loss`."""
        student_GM = _by_group(logits_B1, batch["groups"]) / self.temperature
        teacher_GM = _by_group(batch["teacher_logits"], batch["groups"]) / self.temperature
        real_GM = teacher_GM != -math.inf
        student, teacher = student_GM.log_softmax(-1)[real_GM], teacher_GM.log_softmax(-1)[real_GM]
        return self.temperature**2 * (teacher.exp() * (teacher - student)).sum() / len(real_GM)


@dataclass(frozen=True, kw_only=True)
class OutputDistance:
    """Squared error to the teacher's outputs, in units of the labels' variance."""

    variance: float

    def __call__(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """Mean of (z_s - z_t)² / variance."""
        return functional.mse_loss(logits_BC.float(), batch["teacher_logits"]) / self.variance


@dataclass(frozen=True, kw_only=True)
class DistillationLoss:
    """(1 - weight)·task loss + weight·imitation of the teacher's outputs + hidden_weight·distance of the hidden layers.

    The last term is the mean over layers of `hidden_distance`. It needs `batch["teacher_hidden"]` and
    `batch["student_hidden"]` (batch, length, layers, width), and is left out where they are absent. With
    `hidden_decay` its weight falls with `batch["progress"]` (0 to 1) to nothing: first the student learns to see as its
    teacher does, then to answer as he does (the two stages of TinyBERT, arXiv 1909.10351, in one run).
    """

    task: Loss
    imitation: Loss
    """How far the outputs are from `batch["teacher_logits"]`."""
    weight: float
    hidden_weight: float = 0.0
    hidden_decay: bool = False

    def __call__(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        """The weighted sum."""
        total = self.weight * self.imitation(logits_BC, batch)
        if self.weight < 1.0:
            total = total + (1.0 - self.weight) * self.task(logits_BC, batch)
        if self.hidden_weight and "student_hidden" in batch:
            layers = zip(batch["student_hidden"].unbind(2), batch["teacher_hidden"].unbind(2), strict=True)
            distances = [hidden_distance(student, teacher, batch["attention_mask"]) for student, teacher in layers]
            share = 1.0 - batch["progress"] if self.hidden_decay else 1.0
            total = total + self.hidden_weight * share * torch.stack(distances).mean()
        return total


def divergence(student_BC: Tensor, teacher_BC: Tensor, temperature: float) -> Tensor:
    """T²·KL(teacher ‖ student) of the softened distributions (nats, mean over the batch)."""
    student_log = functional.log_softmax(student_BC.float() / temperature, dim=-1)
    teacher_log = functional.log_softmax(teacher_BC.float() / temperature, dim=-1)
    return temperature**2 * functional.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


def hidden_distance(student_BSH: Tensor, teacher_BSH: Tensor, mask_BS: Tensor) -> Tensor:
    """How far a layer of the student is from one of the teacher's, over the tokens that are no padding; 0 when equal.

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


def surrogate_errors(student_BC: Tensor, teacher_BC: Tensor, *, kind: str) -> Tensor:
    """ê of the FPTAS for each example, shape (batch,): how far the student's outputs are from the teacher's.

    Args:
        student_BC: Outputs of the candidate; -inf where the teacher's are is no class of this row.
        teacher_BC: Outputs of the maximum point, the "labels" of ê (Bort, section 3.3).
        kind: "cross-entropy" (the paper's; its floor is the teacher's entropy) or "kl" (floor 0), in nats.
    """
    teacher_log = functional.log_softmax(teacher_BC.float(), dim=-1)
    student_log = functional.log_softmax(student_BC.float(), dim=-1)
    nothing = teacher_log == -math.inf
    teacher_log, student_log = teacher_log.masked_fill(nothing, -1e9), student_log.masked_fill(nothing, 0.0)
    if kind == "kl":
        return (teacher_log.exp() * (teacher_log - student_log)).sum(-1)
    return -(teacher_log.exp() * student_log).sum(-1)


def choice_errors(student_B1: Tensor, teacher_B1: Tensor, groups: Tensor, *, kind: str) -> Tensor:
    """ê of each group, shape (groups,): `surrogate_errors` of the distributions over its rows.

    `groups` (batch,) are ascending numbers.
    """
    numbers = torch.unique_consecutive(groups, return_inverse=True)[1]
    return surrogate_errors(_by_group(student_B1, numbers), _by_group(teacher_B1, numbers), kind=kind)


def require_finite(loss: Tensor, step: int) -> float:
    """The loss as a number; raises DivergedError where it is none."""
    value = float(loss.detach())
    if not torch.isfinite(loss.detach()):
        raise DivergedError(f"the loss became {value} at step {step}", "lower the learning rate, or train in fp32")
    return value


def _by_group(values: Tensor, groups: Tensor) -> Tensor:
    """(batch,) or (batch, 1) values as float32 (groups, rows of the largest group), -inf where a group has no row."""
    sizes = torch.bincount(groups)
    starts = sizes.cumsum(0) - sizes
    places = torch.arange(len(groups), device=groups.device) - starts[groups]
    flat = values.float().reshape(-1)
    table = flat.new_full((len(sizes), int(sizes.max())), -math.inf)
    return table.index_put((groups, places), flat)
