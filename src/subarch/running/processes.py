"""A function over many items in processes of their own, in order and without holding more than a few of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from subarch.errors import SubarchError

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2
"""Items that wait or run, for each process."""
_worker: Callable[[Any], Any] | None = None
"""In a process of ours: its function."""


def available_processes() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    make: Callable[[], Callable[[T], R]], items: Iterable[T], processes: int, environment: dict[str, str] | None = None
) -> Iterator[R]:
    """Yield `make()(item)` for each item, in their order; items are drawn lazily.

    With one process everything happens in this one. Otherwise `make` is called once in each process, and it, the items
    and the values must survive pickling (in memory only). The processes end with this one, however it ends.

    Args:
        make: Gives the function.
        items: What it is called with.
        processes: How many.
        environment: Variables that are set in the other processes.

    Raises:
        SubarchError: A process died.
    """
    if processes <= 1:
        function = make()
        for item in items:
            yield function(item)
        return
    # A fork of a process with threads, as torch's and tokenizers' are, may stand still for ever.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(make, environment or {}))
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(_call, item))
            if len(waiting) >= _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SubarchError(
            "a worker process died, perhaps for want of memory", "use fewer --processes; the same command resumes"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(make: Callable[[], Callable[[Any], Any]], environment: dict[str, str]) -> None:
    global _worker
    # Ctrl-C reaches every process of the terminal; when to stop is for the first one to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _worker = make()


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone: killed, it cannot tell us, and we would wait."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    assert _worker is not None
    return _worker(item)
