"""In which order a teacher's layers can be spared, found by leaving them out of the teacher itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from subarch.training.calibration import Calibration
from subarch.training.inherit import rank_layers
from subarch.training.stack import LayerStack

Layers = tuple[int, ...]


@torch.no_grad()
def rank_by_skipping(calibration: Calibration, least_rows: int) -> list[int]:
    """The teacher's layers, the most dispensable first: as `rank_layers`, by the divergence of what is left.

    Args:
        calibration: Rows, and what the teacher makes of them.
        least_rows: The first batches with so many rows are looked at: the work grows with the square of the depth.
    """
    batches, rows = 0, 0
    while batches < len(calibration.batches) and rows < least_rows:
        rows += len(calibration.batches[batches]["input_ids"])
        batches += 1
    return rank_layers(calibration.architecture, _Skipping(calibration, batches))


class _Skipping:
    """Divergence of the teacher with some of its layers. What all subsets of a size share is run once.

    `rank_layers` asks about the subsets of a size one after the other, and then about subsets of the best of them. So
    the states on the way through the best one so far are kept, and each subset starts from its longest known part.
    """

    def __init__(self, calibration: Calibration, batches: int) -> None:
        self._calibration = calibration
        self._stack = LayerStack(calibration.teacher, calibration.family)
        self._batches = calibration.answered[:batches]
        self._entries = [self._stack.enter(batch) for batch in self._batches]
        self._known: dict[Layers, list[Tensor]] = {(): [entry.state for entry in self._entries]}
        self._best: tuple[float, Layers, dict[Layers, list[Tensor]]] = (float("inf"), (), {})
        self._size = len(self._stack.layers)
        self._states(tuple(range(self._size)), self._known)

    def __call__(self, layers: Layers) -> float:
        if len(layers) < self._size:
            if self._best[1]:
                self._known = {
                    part: states for part, states in self._known.items() if part == self._best[1][: len(part)]
                }
                self._known |= self._best[2]
            self._size, self._best = len(layers), (float("inf"), (), {})
        found: dict[Layers, list[Tensor]] = {}
        error = self._error(self._states(layers, found))
        if error < self._best[0]:
            self._best = (error, layers, found)
        return error

    def _states(self, layers: Layers, found: dict[Layers, list[Tensor]]) -> list[Tensor]:
        """The outputs of the last layer; what is computed on the way is put into `found`."""
        known = max(end for end in range(len(layers) + 1) if layers[:end] in self._known)
        states = self._known[layers[:known]]
        for end in range(known + 1, len(layers) + 1):
            layer = layers[end - 1]
            states = [self._stack.run(layer, state, entry) for state, entry in zip(states, self._entries, strict=True)]
            found[layers[:end]] = states
        return states

    def _error(self, states: Sequence[Tensor]) -> float:
        """Mean over rows."""
        total, rows = 0.0, 0
        for batch, state in zip(self._batches, states, strict=True):
            with self._stack.ending_with(state):
                answers = self._calibration.outputs(self._calibration.teacher, batch)
            total += len(state) * float(self._calibration.divergence(answers, batch))
            rows += len(state)
        return total / rows
