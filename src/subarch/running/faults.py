"""Whose fault a failed trial is: the configuration's, or that of the place where it ran.

A configuration that cannot be trained (out of memory, a loss that is no number, shapes that do not fit) fails wherever
it runs: it is recorded as failed, and what is like it is avoided. A lost worker, a full disk, a broken connection say
nothing about it: the trial is run again, up to a cap.

The kernel's out-of-memory killer ends a process as `kill -9` does, and nothing tells the two apart. Ray's memory
monitor ends the worker that a node can best spare, which may be an innocent one. Both are `WorkerLost`: a configuration
that is really too large is lost as often as it is tried, and the cap ends it. Memory that torch or Python itself
refused is the configuration's own doing; `accelerators.held_to_share` tells whether it was on an accelerator that
others work on too.
"""

from __future__ import annotations

import builtins

from subarch.errors import InterruptedRun, MissingExtraError, StorageError
from subarch.running.executor import Cancelled, WorkerLost

_ELSEWHERE = (
    WorkerLost,
    Cancelled,
    StorageError,
    InterruptedRun,
    MissingExtraError,
    ImportError,
    OSError,
    EOFError,
    KeyboardInterrupt,
    SystemExit,
)
"""Faults of the machine, the disk, the network or the user."""
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "failed to allocate memory")
_DISK = ("no space left on device", "disk quota exceeded", "read-only file system", "stale file handle", "os error 28")
_ACCELERATOR = (
    "busy or unavailable",
    "no cuda gpus are available",
    "driver shutting down",
)
_BROKEN = (
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "invalid program counter",
    "invalid device context",
    "misaligned address",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "uncorrectable ecc error",
    "device is lost",
    "fallen off the bus",
    "cublas_status_execution_failed",
    "cudnn_status_execution_failed",
)
"""After these every further call of the process to its accelerator fails, whatever it asks (CUDA Runtime API, error
codes: "the process must be terminated and relaunched")."""


def is_configurations_fault(error: BaseException | str, text: str = "") -> bool:
    """Whether a trial that failed so would fail so again anywhere.

    Args:
        error: The error, or the name of its type where only that was kept.
        text: Its message, beside a name.

    Returns:
        True for memory that was refused (the accelerator's included), `DivergedError`, and every other error of the
        function, such as shapes that do not fit; False for what the machine, the disk, the network or the user did.
    """
    kind = type(error) if isinstance(error, BaseException) else _kind(error)
    message = (text or str(error)).lower()
    if issubclass(kind, WorkerLost):
        return False
    if any(words in message for words in _MEMORY):
        return True
    return not (issubclass(kind, _ELSEWHERE) or any(words in message for words in (*_DISK, *_ACCELERATOR, *_BROKEN)))


def breaks_worker(error: BaseException | None) -> bool:
    """Whether the process in which this was raised can do no more work: its accelerator answers with errors alone."""
    return error is not None and any(words in str(error).lower() for words in _BROKEN)


def _kind(name: str) -> type[BaseException]:
    """The class behind a name such as `OSError` or `torch.OutOfMemoryError`; `Exception` if it is unknown here."""
    last = name.rpartition(".")[2]
    ours = {kind.__name__: kind for kind in _ELSEWHERE}
    found = ours.get(last) or getattr(builtins, last, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else Exception
