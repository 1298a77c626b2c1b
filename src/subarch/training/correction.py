"""What a student lost is made up for in closed form, layer by layer from the bottom, where held-back rows agree.

A layer ends in P = R + F: what runs past its feed-forward network and what comes out of it, F = X·Wᵀ + b. The student
computes X and R from its own inputs, so that it also meets the errors of the layers below (as ZipLM, arXiv 2302.04089,
solves one layer after the other). Let T be the sum that the teacher has there. With [X 1] for X where there is a bias,

    Δ = argmin Σ_tokens w·‖[X 1]·Δ - (T - P)‖² + λ·‖Δ‖²,   w = 1 / var(T)
    (G + λI)·Δ = Σ w·[X 1]ᵀ(T - P),                         G = Σ w·[X 1]ᵀ[X 1]

is added to W and b. The sum is normalised next, by this layer's norm or, in ModernBERT, by those that read it, so a
token whose sum is large is divided by much: unweighted, one such token (often [CLS]) would decide alone.

Two sums are tried for T: that of the layer itself, and that of the teacher's last layer before the next kept one, so
that the layer stands in for those that were dropped after it; then it also takes that layer's last norm. Every fifth
batch judges, by how far the student's outputs are from the teacher's. First all layers are solved, each for the second
sum. Where more than `ENOUGH` of the plain cut's error is left, they are also solved one by one: each takes the better
of the two sums, the layers above as they are, and stays plain where neither lowers the error. The better of the two
students is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from subarch.training.calibration import Calibration, recorded_sum
from subarch.training.losses import Batch
from subarch.training.stack import Entry, LayerStack

RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""λ relative to the mean of G's diagonal, the least that keeps weights small; ours."""
JUDGES = 5
"""Every so many batches one judges; ours."""
LARGEST = 2.0
"""Times the largest of the teacher's weights in the same place: no solved weight is larger; ours."""
ENOUGH = 0.7
"""Share of the plain cut's error below which layers are not judged one by one; ours."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a student has of its teacher; indices into the teacher, None for all."""

    layers: tuple[int, ...]
    hidden: np.ndarray | None = None
    vocab: np.ndarray | None = None


@dataclass(kw_only=True)
class _Rows:
    """A batch on its way through the student."""

    batch: Batch
    """With the student's token ids."""
    entry: Entry
    state: Tensor
    sums: list[Tensor]
    """The teacher's, cut to the student's hidden dimensions."""

    @property
    def real(self) -> Tensor:
        """(batch, length): which tokens are no padding."""
        return self.batch["attention_mask"].bool()


@dataclass(frozen=True)
class _Pass:
    """What a layer of the student made of a batch, over its real tokens (N)."""

    inputs: Tensor
    """(N, intermediate), with a column of 1 where there is a bias."""
    total: Tensor
    """(batch, length, hidden): P."""


@torch.no_grad()
def correct(student: nn.Module, kept: Kept, calibration: Calibration) -> None:
    """Correct the feed-forward outputs of a student that was cut from the calibration's teacher, in place.

    On the rows that judge, the student's divergence from the teacher never grows. With a single batch nothing can be
    judged, and nothing is corrected.

    Args:
        student: In fp32, on the CPU; each layer holds what was cut from the teacher's.
        kept: What it was cut to.
        calibration: Rows, and what the teacher makes of them. A token that the student lacks is read as its first.
    """
    if len(calibration.batches) < 2:
        return
    training = student.training
    student.eval()
    _Correction(student, kept, calibration).run()
    student.train(training)


class _Correction:
    def __init__(self, student: nn.Module, kept: Kept, calibration: Calibration) -> None:
        self.student, self.kept, self.calibration = student, kept, calibration
        self.family = calibration.family
        self.stack = LayerStack(student, self.family)
        rows = [self._rows(number) for number in range(len(calibration.batches))]
        self.judging, self.fitting = rows[::JUDGES], [row for n, row in enumerate(rows) if n % JUDGES]
        teacher_layers = calibration.architecture.num_hidden_layers
        self.plain = [self._snapshot(layer) for layer in range(len(kept.layers))]
        self.imitated = [*(layer - 1 for layer in kept.layers[1:]), teacher_layers - 1]

    def run(self) -> None:
        plain = self._error(0)
        self.solve_all()
        error = self._error(0)
        if error < ENOUGH * plain:
            return
        layers = range(len(self.kept.layers))
        together = [self._snapshot(layer) for layer in layers]
        self._reset()
        if error < self.solve_judged(plain):
            for layer in layers:
                self._restore(layer, together[layer])

    def solve_all(self) -> None:
        """Correct every layer towards the one that it imitates."""
        for layer in range(len(self.kept.layers)):
            passes, plain = [self._pass(layer, rows) for rows in self.fitting], self._snapshot(layer)
            self._solve(layer, self.imitated[layer], passes)
            self._advance(layer, passes, plain)

    def solve_judged(self, error: float) -> float:
        """Correct each layer where that lowers the student's `error`, the layers above as they are; the last error."""
        for layer, own in enumerate(self.kept.layers):
            passes, plain = [self._pass(layer, rows) for rows in self.fitting], self._snapshot(layer)
            best = plain
            for target in dict.fromkeys((own, self.imitated[layer])):
                self._restore(layer, plain)
                if not self._solve(layer, target, passes):
                    continue
                found = self._error(layer)
                if found < error:
                    error, best = found, self._snapshot(layer)
            self._restore(layer, best)
            self._advance(layer, passes, plain)
            for rows in self.judging:
                rows.state = self.stack.run(layer, rows.state, rows.entry)
        return error

    def _reset(self) -> None:
        for layer, values in enumerate(self.plain):
            self._restore(layer, values)
        for rows in (*self.judging, *self.fitting):
            rows.state = rows.entry.state

    def _solve(self, layer: int, target: int, passes: Sequence[_Pass]) -> bool:
        """Whether there was anything to correct towards the sum of this layer of the teacher."""
        output = self._output(layer)
        gram = torch.zeros(passes[0].inputs.shape[1], passes[0].inputs.shape[1], dtype=torch.float64)
        cross = torch.zeros(len(gram), output.weight.shape[0], dtype=torch.float64)
        for rows, seen in zip(self.fitting, passes, strict=True):
            wanted, total = rows.sums[target][rows.real], seen.total[rows.real]
            root = wanted.var(1, keepdim=True).clamp_min(1e-12).rsqrt()
            inputs = seen.inputs * root
            gram += inputs.T @ inputs
            cross += inputs.T @ ((wanted - total) * root)
        if not cross.any():
            return False
        width = output.weight.shape[1]
        change = self._damped(gram, cross, output.weight, self._largest(layer))
        output.weight.add_(change[:, :width])
        if output.bias is not None:
            output.bias.add_(change[:, width])
        if self.family.ffn_norm is not None and target != self.kept.layers[layer]:
            self._take_norm(layer, target)
        return True

    def _damped(self, gram: Tensor, cross: Tensor, weight: Tensor, largest: float) -> Tensor:
        """Δ, transposed, by the least of `RIDGES` under which no weight becomes larger than `largest`; else 0."""
        mean = gram.diagonal().mean().clamp_min(1e-12)
        for ridge in RIDGES:
            damped = gram + ridge * mean * torch.eye(len(gram), dtype=gram.dtype)
            change = torch.cholesky_solve(cross, torch.linalg.cholesky(damped)).T.float()
            if float((weight + change[:, : weight.shape[1]]).abs().max()) <= largest:
                return change
        return torch.zeros_like(change)

    def _largest(self, layer: int) -> float:
        """The bound on the weights of a layer's output."""
        theirs = LayerStack(self.calibration.teacher, self.family).layers[self.kept.layers[layer]]
        return LARGEST * float(theirs.get_submodule(self.family.ffn_output).get_parameter("weight").abs().max())

    def _take_norm(self, layer: int, target: int) -> None:
        assert self.family.ffn_norm is not None
        theirs = LayerStack(self.calibration.teacher, self.family).layers[target].get_submodule(self.family.ffn_norm)
        own = self.stack.layers[layer].get_submodule(self.family.ffn_norm)
        for parameter, other in zip(own.parameters(), theirs.parameters(), strict=True):
            parameter.copy_(_cut(other, self.kept.hidden))

    def _pass(self, layer: int, rows: _Rows) -> _Pass:
        seen: list[Tensor] = []
        output = self._output(layer)
        handle = output.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
        try:
            with recorded_sum(self.stack.layers[layer], self.family) as sums:
                state = self.stack.run(layer, rows.state, rows.entry)
        finally:
            handle.remove()
        inputs = seen[0][rows.real]
        if output.bias is not None:
            inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
        return _Pass(inputs, sums[0] if sums else state)

    def _advance(self, layer: int, passes: Sequence[_Pass], plain: Sequence[Tensor]) -> None:
        """Move the fitting rows above the layer, whose weights were `plain` when it passed them."""
        output, norm = self._output(layer), self.family.ffn_norm
        change = [output.weight - plain[0]]
        if output.bias is not None:
            change.append((output.bias - plain[1])[:, None])
        for rows, seen in zip(self.fitting, passes, strict=True):
            total = seen.total
            if any(part.any() for part in change):
                total = total.clone()
                total[rows.real] += seen.inputs @ torch.cat(change, dim=1).T
            rows.state = total if norm is None else self.stack.layers[layer].get_submodule(norm)(total)

    def _error(self, first: int) -> float:
        """The student's divergence on the judging rows, which stand below layer `first`: mean over rows."""
        total, count = 0.0, 0
        for rows in self.judging:
            state = rows.state
            for layer in range(first, len(self.stack.layers)):
                state = self.stack.run(layer, state, rows.entry)
            with self.stack.ending_with(state):
                answers = self.calibration.outputs(self.student, rows.batch)
            total += len(state) * float(self.calibration.divergence(answers, rows.batch))
            count += len(state)
        return total / count

    def _rows(self, number: int) -> _Rows:
        batch = dict(self.calibration.answered[number])
        if self.kept.vocab is not None:
            batch["input_ids"] = self._renumbered(batch["input_ids"])
        entry = self.stack.enter(batch)
        sums = [_cut(found, self.kept.hidden) for found in self.calibration.sums[number]]
        return _Rows(batch=batch, entry=entry, state=entry.state, sums=sums)

    def _renumbered(self, ids: Tensor) -> Tensor:
        assert self.kept.vocab is not None
        numbers = torch.zeros(self.calibration.architecture.vocab_size, dtype=torch.int64)
        numbers[torch.from_numpy(self.kept.vocab)] = torch.arange(len(self.kept.vocab))
        return numbers[ids]

    def _output(self, layer: int) -> nn.Linear:
        found = self.stack.layers[layer].get_submodule(self.family.ffn_output)
        assert isinstance(found, nn.Linear)
        return found

    def _corrected(self, layer: int) -> list[nn.Parameter]:
        """The parameters that a correction changes: the weights first, then the bias if there is one."""
        norm = self.family.ffn_norm
        norms = [] if norm is None else list(self.stack.layers[layer].get_submodule(norm).parameters())
        return [*self._output(layer).parameters(), *norms]

    def _snapshot(self, layer: int) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._corrected(layer)]

    def _restore(self, layer: int, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self._corrected(layer), values, strict=True):
            parameter.copy_(value)


def _cut(values: Tensor, hidden: np.ndarray | None) -> Tensor:
    return values if hidden is None else values[..., torch.from_numpy(hidden)]
