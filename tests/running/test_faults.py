import errno

import pytest

from subarch.errors import (
    BudgetError,
    ConfigError,
    DataError,
    DivergedError,
    InterruptedRun,
    MissingExtraError,
    StorageError,
)
from subarch.running.executor import Cancelled, WorkerLost
from subarch.running.faults import breaks_worker, is_configurations_fault

ITS_OWN = [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    DivergedError("the loss is nan at step 3"),
    ConfigError("hidden_size is 100, expected a multiple of 12"),
    DataError("no rows"),
    BudgetError("too short"),
    ValueError("bad"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
    ZeroDivisionError("division by zero"),
    AssertionError(),
]
ANOTHERS = [
    WorkerLost("the worker process was killed by SIGKILL"),
    WorkerLost("the Ray worker died: perhaps out of memory"),
    Cancelled("by the driver"),
    StorageError("no space left on the disk while writing x"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    FileNotFoundError(errno.ENOENT, "gone", "shared/teacher"),
    ConnectionResetError("reset by peer"),
    TimeoutError(),
    EOFError(),
    InterruptedRun("by the user"),
    KeyboardInterrupt(),
    ImportError("No module named 'subarch'"),
    MissingExtraError("no onnx"),
    RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
]
shown = {"ids": lambda error: f"{type(error).__name__} {error}"[:60]}


@pytest.mark.parametrize("error", ITS_OWN, **shown)
def test_the_configuration_is_to_blame(error):
    assert is_configurations_fault(error)
    assert is_configurations_fault(type(error).__name__, str(error))


@pytest.mark.parametrize("error", ANOTHERS, **shown)
def test_the_place_is_to_blame(error):
    assert not is_configurations_fault(error)
    assert not is_configurations_fault(type(error).__name__, str(error))


def test_names_may_be_qualified_or_unknown():
    assert is_configurations_fault("torch.OutOfMemoryError", "CUDA out of memory")
    assert not is_configurations_fault("subarch.running.executor.WorkerLost", "gone")
    assert is_configurations_fault("SomethingElse", "strange") and is_configurations_fault("print", "no class")


def test_the_accelerators_own_class_is_known():
    torch = pytest.importorskip("torch")
    assert is_configurations_fault(torch.OutOfMemoryError("CUDA out of memory"))


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`",
        "CUDA error: unspecified launch failure",
        "CUDA error: misaligned address",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
    ],
)
def test_after_some_errors_a_process_can_do_no_more(message):
    assert breaks_worker(RuntimeError(message)) and not is_configurations_fault(RuntimeError(message))


def test_after_others_it_can():
    for error in (None, *ITS_OWN, *ANOTHERS):
        assert not breaks_worker(error)
