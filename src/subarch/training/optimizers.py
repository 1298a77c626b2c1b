"""The optimisers that trainings can choose between, and the settings of Adam's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from subarch.errors import ConfigError

OptimizerName = Literal["adamw", "sgd"]


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Kingma and Ba 2015 (arXiv 1412.6980): decay of the two moments, and what keeps the denominator from 0."""

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("beta_1", "beta_2"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected a share in [0, 1)")
        if self.epsilon <= 0:
            raise ConfigError(f"adam_epsilon is {self.epsilon}, expected a positive number")


def make_optimizer(
    name: OptimizerName, groups: list[dict[str, Any]], learning_rate: float, adam: Adam
) -> torch.optim.Optimizer:
    """AdamW, or plain SGD without momentum, over groups of parameters with their weight decay."""
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate)
    betas = (adam.beta_1, adam.beta_2)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=adam.epsilon, fused=True)
