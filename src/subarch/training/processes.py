"""Which of the processes that train together this one is."""

from __future__ import annotations

import atexit
import gc

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


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
