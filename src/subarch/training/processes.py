"""Which of the processes that train together this one is."""

from __future__ import annotations

import atexit

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
        # Left to the interpreter's end, gloo's threads may still run when they are torn down, and a finished training
        # ends with an abort.
        atexit.register(state.destroy_process_group)
    return state
