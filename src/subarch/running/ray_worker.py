"""What runs in a Ray worker: one actor, which takes one item after the other. It knows nothing of Ray.

Two calls are under way for an item that tells: `run`, which works, and `next_event`, in another thread, which waits for
the next event and brings the answer to the one before. So events need no queue and no process of their own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

from subarch.running.executor import Cancelled, Outcome, attempt_afar


class RayWorker:
    """The life of a worker process; items are numbered by the driver.

    Args:
        hidden: Whether accelerators are hidden from it: Ray itself hides them no more from who asks for none, so that
            all workers of a machine would take its first one.
    """

    def __init__(self, *, hidden: bool = False) -> None:
        if hidden:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        self._function: Callable[..., Any] | None = None
        self._lines: dict[int, _Line] = {}
        self._opening = threading.Lock()

    def load(self, function: Callable[..., Any]) -> None:
        """Take over the function of a map."""
        self._function = function

    def run(self, number: int, item: Any, wants_events: bool) -> Outcome[None, Any] | BaseException:
        """The outcome of an item."""
        assert self._function is not None
        line = self._line(number)
        try:
            answer = attempt_afar(None, self._function, item, *([line.tell] if wants_events else []))
            unfit = attempt_afar(None, ForkingPickler.dumps, answer)
            return unfit if isinstance(unfit, Outcome) and unfit.failed else answer
        finally:
            line.finish()

    def next_event(self, number: int, answer: bool | None) -> dict[str, Any] | None:
        """Answer the last event of an item, and wait for its next one; None after the last."""
        line = self._line(number)
        if answer is not None:
            line.answer(answer)
        return line.next_event()

    def cancel(self, number: int) -> None:
        """Let the next `tell` of an item raise `Cancelled`, whatever was answered."""
        self._line(number).answer(True)

    def _line(self, number: int) -> _Line:
        # The calls of one item come in any order, and those of the items before it are over.
        with self._opening:
            for old in [known for known in self._lines if known < number]:
                del self._lines[old]
            return self._lines.setdefault(number, _Line())


class _Line:
    """From an item to the driver, across two threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._event: dict[str, Any] | None = None
        self._unanswered = False
        self._cancelled = False
        self._over = False

    def tell(self, event: Mapping[str, Any]) -> None:
        ForkingPickler.dumps(event)  # what cannot travel is the item's failure
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or not self._unanswered)
            if self._cancelled:
                raise Cancelled("cancelled by the driver")
            self._event = dict(event)
            self._unanswered = True
            self._changed.notify_all()

    def next_event(self) -> dict[str, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._event is not None or self._over)
            event, self._event = self._event, None
            return event

    def answer(self, cancel: bool) -> None:
        with self._changed:
            self._cancelled |= cancel
            self._unanswered = False
            self._changed.notify_all()

    def finish(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
