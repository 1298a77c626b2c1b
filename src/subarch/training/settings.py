"""How to train: the configuration of the loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from subarch.errors import ConfigError
from subarch.training.optimizers import Adam, OptimizerName
from subarch.training.precision import Precision
from subarch.training.schedules import Schedule

BASE_RATE, BASE_WIDTH = 5e-5, 768
"""BERT-base's learning rate within its authors' range (Devlin et al. 2019, appendix A.3), and its hidden size."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How to train."""

    learning_rate: float | None = None
    """Peak of the learning rate; by default it follows from the model's width (`rate_for`)."""
    head_rate: float = 20.0
    """A head that is drawn anew learns so many times as fast: it starts from noise, the encoder does not."""
    optimizer: OptimizerName = "adamw"
    """AdamW, or plain SGD."""
    dropout: bool = True
    """Whether a model that learns from labels alone keeps its dropout. A training of a few passes does not overfit, and
    learns more slowly with it."""
    freeze_vocabulary: bool = False
    """Leave the table of word embeddings as it is: half of a small encoder's parameters, and of its optimiser's time,
    of which a short training changes next to nothing."""
    weight_decay: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.999
    adam_epsilon: float = 1e-8
    """With the two above, AdamW's; SGD has none of them."""
    warmup: float = 0.1
    """Share of the progress spent on the linear warm-up."""
    schedule: Schedule = "linear"
    """How the learning rate falls after the warm-up."""
    batch_size: int = 32
    epochs: float = 3.0
    """Passes over the data, unless the time share or `max_steps` ends it first."""
    max_steps: int | None = None
    """Fixed number of steps; then the time share is ignored and a resumed run equals an uninterrupted one."""
    clip_norm: float = 1.0
    evaluations: int = 5
    """How often the validation score is taken, evenly over the progress; the best weights are returned. Less often
    where a time share is short (`schedules.places_apart`)."""
    evaluate_from: float = 0.0
    """Share of the progress before which no validation is due: where rates fall to zero, weights of the first half are
    hardly ever the best, and short trainings have better use for the time."""
    average: bool = True
    """Return the mean of the weights at the last two validations instead, unless a single validation is better than
    it by more than a standard error (stochastic weight averaging, Izmailov et al. 2018, arXiv 1803.05407)."""
    precision: Precision = "auto"
    checkpoint_seconds: float = 10.0
    """Least time between two checkpoints; they take at most about 3 % of the time in any case."""
    keep_checkpoints: Literal[1, 2] = 1
    """How many of the newest checkpoints are kept; each holds the best weights too."""
    divergence: float | None = None
    """Stop where the smoothed loss is so many times its lowest; never by default."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_rate", "batch_size", "epochs", "clip_norm", "evaluations"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a positive number")
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup is {self.warmup}, expected a share in [0, 1)")
        if not 0 <= self.evaluate_from < 1:
            raise ConfigError(f"evaluate_from is {self.evaluate_from}, expected a share in [0, 1)")
        if self.schedule == "noam" and not self.warmup:
            raise ConfigError("the noam schedule needs a warmup, got 0", "for example warmup=0.01")
        if self.divergence is not None and self.divergence <= 1:
            raise ConfigError(f"divergence is {self.divergence}, expected more than 1 times the lowest loss")
        if self.max_steps is not None and self.max_steps < 1:
            raise ConfigError(f"max_steps is {self.max_steps}, expected at least 1")
        self.adam  # noqa: B018  (checks its values)

    @property
    def adam(self) -> Adam:
        """AdamW's own settings."""
        return Adam(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.adam_epsilon)

    def for_width(self, hidden_size: int) -> LoopConfig:
        """The same with the rate that it has for a model of this width."""
        return replace(self, learning_rate=self.rate_for(hidden_size))

    def rate_for(self, hidden_size: int) -> float:
        """The peak of the learning rate for a model of this width: as given, or in inverse proportion to the width.

        5e-5 at BERT-base's 768 dimensions; narrow encoders bear and need more (Turc et al. 2019, arXiv 1908.08962,
        choose up to 3e-4 for theirs).
        """
        return BASE_RATE * BASE_WIDTH / hidden_size if self.learning_rate is None else self.learning_rate
