"""The validation score of a model of any kind during its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from subarch.kinds.base import Kind, Tokenised
from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import main_score, standard_error


@dataclass(kw_only=True)
class Scorer:
    """The task's main metric on a split, as a number where higher is better."""

    kind: Kind
    task: Task
    rows: Tokenised
    """The split as the model reads it."""
    examples: Examples
    """The same split with what is right."""
    check: Callable[[Array], None] = lambda outputs: None
    """Given the outputs before they are scored."""
    said: Predictions | None = None
    """The answers that were scored last."""

    def __call__(self, model: nn.Module) -> float:
        """Ask the model about all of it."""
        outputs = self.kind.predict(model, self.rows)
        self.check(outputs)
        self.said = self.kind.tuned(self.kind.predictions(outputs, self.rows, self.examples), self.examples)
        return self._sign * main_score(self.task, self.said, self.examples)

    def standard_error(self) -> float:
        """The standard error of the last score, by the bootstrap over examples or questions."""
        return 0.0 if self.said is None else standard_error(self.task, self.said, self.examples, seed=0)

    @cached_property
    def _sign(self) -> float:
        return 1.0 if higher_is_better(self.task.main_metric) else -1.0
