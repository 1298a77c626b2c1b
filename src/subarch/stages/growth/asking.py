"""Socrates under a budget: he is asked before the sets of an iteration start, so that none of them pays for all.

A training asks him whatever it needs and does not know. Sets that start after it find those answers, and would do up to
twice as many steps in the same time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np

from subarch.running.budget import Deadline
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.training.classifier import EncodedData, TeacherOutputs, training_batches
from subarch.training.losses import Batch


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What an iteration's trainings will read."""

    trainings: Sequence[FinetuneConfig]
    data: EncodedData
    """D as the student sees it, which orders the batches."""
    groups: np.ndarray | None
    """Of a choice task."""
    rows: float = math.inf
    """So many rows each training will see, repeated ones included, where that is known."""

    def complete(self, outputs: TeacherOutputs, deadline: Deadline, stop_requested: Callable[[], bool]) -> bool:
        """Ask for what the trainings' first batches need, in their order, until all of that is known.

        Args:
            outputs: Socrates' answers on the same data; nothing is saved.
            deadline: Ends it too.
            stop_requested: Ends it too.

        Returns:
            Whether nobody asked it to stop.
        """

        def ask(indices: np.ndarray) -> Batch:
            fresh = indices[np.isnan(outputs.values[indices, 0])]
            return outputs(fresh) if len(fresh) else {}

        # In turn, so that no set has more answers than another if the time ends.
        orders = {(each.seed, each.loop.batch_size): each for each in self.trainings}
        for turn in zip_longest(*(self._batches(each, ask) for each in orders.values())):
            for make in filter(None, turn):
                if stop_requested():
                    return False
                if deadline.expired or not np.isnan(outputs.values[:, 0]).any():
                    return True
                make()
        return True

    def _batches(self, training: FinetuneConfig, ask: Callable[[np.ndarray], Batch]) -> Iterator[Callable[[], Batch]]:
        """Those that a training plays until it has seen all rows, or as many as it will see."""
        size, repeats = training.loop.batch_size, training.distillation.repeats
        batches = training_batches(
            self.data, batch_size=size, seed=training.seed, teacher=ask, groups=self.groups, repeats=repeats
        )
        seen = self.rows if self.rows == math.inf else math.ceil(self.rows / size)
        steps = min(seen, max(1, round(training.loop.epochs * batches.count)), repeats * batches.count)
        return islice(chain.from_iterable(map(batches.epoch, range(repeats))), int(steps))
