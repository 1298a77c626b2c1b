"""Which of the processes that train together this one is, and what they tell each other."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Sequence

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, parse_flag_from_env, reduce
from torch import Tensor, nn

from subarch.errors import ConfigError


def process_state() -> PartialState:
    """Device, number and index of this process; under torchrun also on machines without an accelerator.

    `PartialState()` alone takes processes without accelerators for so many trainings that know nothing of each other.
    """
    if PartialState._shared_state:
        return PartialState()
    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available())
    if state.num_processes > 1:
        atexit.register(_leave, state)
    return state


def _leave(state: PartialState) -> None:
    """Leave the group of processes before the interpreter ends.

    Otherwise gloo's threads may still run when they are torn down, and a finished training ends with an abort. Models
    that were wrapped for it hold the group too, in cycles.
    """
    gc.collect()
    state.destroy_process_group()


def require_one_process(stage: str) -> None:
    """Refuse torchrun for a stage that does not share its work: the others would wait for the first one's folder.

    Raises:
        ConfigError: WORLD_SIZE is above 1.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if size.isdecimal() and int(size) > 1:
        raise ConfigError(
            f"{stage} runs in one process, but was started as one of {size} (WORLD_SIZE={size})",
            "start it without torchrun, or unset WORLD_SIZE; only pretrain shares its work over processes",
        )


def of_main(value: float) -> float:
    """The value that the first process has: where each decided by its own clock, one would wait for another."""
    state = process_state()
    if state.num_processes == 1:
        return value
    return float(broadcast(torch.tensor(value, dtype=torch.float64, device=state.device)))


def of_any(failed: bool) -> bool:
    """Whether it is so in any process."""
    state = process_state()
    if state.num_processes == 1:
        return failed
    return float(reduce(torch.tensor(float(failed), device=state.device), "sum")) > 0


def mean_of_all(value: float) -> float:
    """The mean over processes."""
    state = process_state()
    if state.num_processes == 1:
        return value
    return float(reduce(torch.tensor(value, dtype=torch.float64, device=state.device), "mean"))


def average_gradients(gradients: Sequence[Tensor]) -> None:
    """Make each gradient the mean over processes, in place."""
    whole = torch.cat([gradient.float().flatten() for gradient in gradients])
    shares = reduce(whole, "mean").split([gradient.numel() for gradient in gradients])
    for gradient, share in zip(gradients, shares, strict=True):
        gradient.copy_(share.view_as(gradient))


@torch.no_grad()
def begin_alike(model: nn.Module) -> None:
    """Give every process the first one's weights, in place.

    Each computes those that it begins with, and other processors or threads round otherwise: shared gradients alone
    would keep such models apart for good.
    """
    if process_state().num_processes > 1:
        for parameter in model.parameters():
            parameter.copy_(broadcast(parameter.detach().clone()))


def require_same_step(step: int) -> None:
    """Refuse to go on where processes resume from different steps.

    Raises:
        ConfigError: This one's checkpoint is not the first one's.
    """
    first = int(of_main(step))
    if of_any(step != first):
        raise ConfigError(
            f"the processes resume from different steps: the first one from {first}, this one from {step}",
            "use a folder that all machines share",
        )
