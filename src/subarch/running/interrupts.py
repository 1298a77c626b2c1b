"""Ctrl-C that saves first: one signal asks the loop to stop after its step, a second one stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A terminal that is closed asks as politely as Ctrl-C does.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """Whether the user asked to stop; called by the training loop after every step.

    The loop that sees True saves its state, and raises `InterruptedRun`.
    """

    def __init__(self) -> None:
        self._requested = False

    def __call__(self) -> bool:
        """True from the first signal on."""
        return self._requested

    def request(self) -> None:
        """Ask to stop, as the first Ctrl-C does."""
        self._requested = True

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._requested:
            raise KeyboardInterrupt
        self._requested = True


@contextmanager
def saving_on_interrupt() -> Iterator[StopRequest]:
    """Turn the first SIGINT, SIGTERM or SIGHUP in the block into a stop request, the second into KeyboardInterrupt.

    Blocks nest: a request that the inner one got and nobody acted on is known to the outer one. Outside the
    main thread, where Python cannot handle signals, the request simply never comes. A signal that the parent
    process had switched off (nohup) stays off.
    """
    stop = StopRequest()
    previous = {}
    if threading.current_thread() is threading.main_thread():
        # None stands for a handler that was not installed from Python, which we could not put back.
        handlers = {signum: signal.getsignal(signum) for signum in _SIGNALS}
        previous = {signum: handler for signum, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for signum in previous:
            signal.signal(signum, stop._receive)
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
            outer = getattr(handler, "__self__", None)
            if stop() and isinstance(outer, StopRequest):
                outer.request()
