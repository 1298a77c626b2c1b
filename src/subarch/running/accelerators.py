"""Which accelerators this machine has, and what several processes on one of them owe each other."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from subarch.running.executor import WorkerLost

_ASKED = re.compile(r"tried to allocate ([\d.]+) (bytes|[kmgt]ib)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def visible_accelerators() -> tuple[str, ...]:
    """Names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES has them; none where it may not."""
    import torch  # seconds of import, which a machine without accelerators need not pay

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(named[:count]) if named else tuple(map(str, range(count)))


@contextmanager
def held_to_share(share: float) -> Iterator[None]:
    """Hold this process to a share of its accelerator's memory, and give that back at the end; elsewhere do nothing.

    Args:
        share: In (0, 1]; what the other processes on the accelerator do not have.

    Raises:
        WorkerLost: Memory was refused below that share: others have taken it, and what ran here is innocent.
    """
    import torch

    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_per_process_memory_fraction(share)
    torch.cuda.reset_peak_memory_stats()
    try:
        yield
    except torch.OutOfMemoryError as error:
        allowed = share * torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        if share < 1 and taken_by_others(str(error), torch.cuda.max_memory_reserved(), allowed):
            raise WorkerLost(
                f"other processes filled the accelerator: memory was refused below this one's share of {share:.0%}",
                "run fewer trials on an accelerator",
            ) from error
        raise
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def taken_by_others(message: str, held: float, allowed: float) -> bool:
    """Whether memory was refused that this process was entitled to.

    Args:
        message: Of the error, which says how much was asked for; what does not is one's own fault.
        held: Bytes that the process had at most.
        allowed: Bytes of its share.
    """
    asked = _ASKED.search(message)
    return asked is not None and held + float(asked[1]) * _UNITS[asked[2].lower()] <= allowed
