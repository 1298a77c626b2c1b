"""One forward pass on a device, its inputs already there and its end waited for: what a latency is measured of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from subarch.errors import ConfigError


@dataclass(frozen=True)
class Forward:
    """A model on a device, in the precision of its weights."""

    model: nn.Module
    device: torch.device

    @torch.inference_mode()
    def __call__(self, inputs: Mapping[str, Tensor]) -> None:
        """Run the model to the end; what it says is dropped."""
        self.model(**inputs)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def inputs(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The arrays as tensors on the device."""
        return {name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}


def timing_device(name: str) -> torch.device:
    """The device of this name.

    Raises:
        ConfigError: This machine has none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the latency device is cuda, but PyTorch sees no such device", "use --latency-device cpu")
    return torch.device(name)
