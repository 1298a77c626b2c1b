"""Where candidates and trials run. An executor maps a function over items, and hands back what came of each.

Laws, for every implementation (tests/contracts/executor_contract.py checks them):

- One outcome for each item, as soon as it is there, with the very item that was drawn; the order is the executor's.
- The function and the items survive a trip through memory (pickled, never on disk): no open files, no locks. The
  function takes all that it needs from its item, writes nothing to the record, and returns a plain value that can
  travel too. What it returns depends on its item alone, so the number of workers changes no result.
- An exception of the function is the outcome of that item alone, and so is the death of its worker (`WorkerLost`).
  `KeyboardInterrupt` and `InterruptedRun` are not about the item: they end the map, and so does what `on_event` raises.
- Items are drawn lazily, never more than `workers` ahead, so that an iterator may choose the next item by the outcomes
  so far. One that has nothing left is asked again after the next outcome, so that an item may be tried once more.
- With `on_event`, the function is called as `function(item, tell)`. `tell(event)` sends a plain mapping to the driver,
  where `on_event(item, event)` is called, in order and before the item's outcome. If that returned True, the next
  `tell` of this item raises `Cancelled`. `tell` waits for the answer to the event before, never for its own: work goes
  on while the driver thinks, and where an item is cancelled does not depend on how fast the driver is.
- Closing the iterator of outcomes starts nothing more, and cancels what runs.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from subarch.errors import InterruptedRun, SubarchError
from subarch.running.interrupts import saving_on_interrupt

T = TypeVar("T")
R = TypeVar("R")

Tell = Callable[[Mapping[str, Any]], None]
OnEvent = Callable[[T, Mapping[str, Any]], bool | None]

_TICK = 0.2
"""Seconds between two looks at whether the user asked to stop."""
_NONE_LEFT: Any = object()


class Cancelled(SubarchError):
    """The driver wants no more of this item."""


class WorkerLost(SubarchError):
    """The process or machine that an item ran on is gone; the item itself may be innocent."""


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[T, R]):
    """What came of one item: a value, or the error that stands in its place."""

    item: T
    value: R | None = None
    error: Exception | None = None
    """None where the function returned."""
    traceback: str | None = None
    """The error as Python prints it, with the frames of where it ran."""

    @property
    def failed(self) -> bool:
        """Whether the function raised."""
        return self.error is not None

    def result(self) -> R:
        """The value; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # R itself may include None


class Executor(Protocol):
    """Runs a function on many items; see the laws above."""

    @property
    def workers(self) -> int:
        """How many items run at the same time."""
        ...

    def map(
        self, function: Callable[..., R], items: Iterable[T], *, on_event: OnEvent[T] | None = None
    ) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item."""
        ...


class InProcessExecutor:
    """Runs one item after the other, in this process and thread, in the order given."""

    workers = 1

    def map(
        self, function: Callable[..., R], items: Iterable[T], *, on_event: OnEvent[T] | None = None
    ) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item; the next item is drawn when the next outcome is asked for."""
        for item in items:
            if on_event is None:
                yield attempt(item, function, item)
            else:
                line = _DirectLine(item, on_event)
                outcome: Outcome[T, R] = attempt(item, function, item, line.tell)
                if line.broken is not None:
                    raise line.broken
                yield outcome


class _DirectLine(Generic[T]):
    """From an item to `on_event` in the same process."""

    def __init__(self, item: T, on_event: OnEvent[T]) -> None:
        self.broken: Exception | None = None
        """What `on_event` raised: not the item's fault, although it passes through the item's function."""
        self._item = item
        self._on_event = on_event
        self._cancelled = False

    def tell(self, event: Mapping[str, Any]) -> None:
        if self._cancelled:
            raise Cancelled("cancelled by the driver")
        answer: Outcome[T, bool | None] = attempt(self._item, self._on_event, self._item, event)
        if answer.error is not None:
            self.broken = answer.error
            self._cancelled = True
            raise Cancelled("the driver failed") from answer.error
        self._cancelled = answer.value is True


class Team(Protocol[T, R]):
    """Workers of an executor during one map."""

    @property
    def running(self) -> int:
        """Items that were started and have no outcome yet."""
        ...

    def has_room(self) -> bool:
        """Whether one more item can start now."""
        ...

    def start(self, item: T) -> None:
        """Give an item to a free worker."""
        ...

    def poll(self, seconds: float) -> Outcome[T, R] | None:
        """Pass on the events that came, and give an outcome if there is one within so many seconds."""
        ...

    def close(self) -> None:
        """Cancel what runs, and end every worker."""
        ...


def lead(team: Team[T, R], items: Iterable[T]) -> Iterator[Outcome[T, R]]:
    """Yield the outcomes of items that run on a team, by the laws above; the team is closed however it ends.

    Raises:
        InterruptedRun: The user asked to stop while this waited.
    """
    source = iter(items)
    try:
        while True:
            outcome, stopped = _next_outcome(team, source)
            if outcome is not None:
                yield outcome
            if stopped:
                raise InterruptedRun("interrupted while workers ran", "the same command resumes")
            if outcome is None:
                return
    finally:
        team.close()


def _next_outcome(team: Team[T, R], source: Iterator[T]) -> tuple[Outcome[T, R] | None, bool]:
    """An outcome, or None after the last one; and whether the user asked to stop."""
    outcome, ended = None, False
    with saving_on_interrupt() as stop_requested:
        while outcome is None and not stop_requested():
            while not ended and team.has_room():
                item = next(source, _NONE_LEFT)
                ended = item is _NONE_LEFT
                if not ended:
                    team.start(item)
            if ended and not team.running:
                break
            outcome = team.poll(_TICK)
        return outcome, stop_requested()


def attempt(item: T, function: Callable[..., R], *arguments: Any) -> Outcome[T, R]:
    """The outcome of one call on behalf of `item`; what is not about the item is raised."""
    with _Failure() as failure:
        return Outcome(item=item, value=function(*arguments))
    return Outcome(item=item, error=failure.error, traceback=failure.text)


def attempt_afar(item: T, function: Callable[..., R], *arguments: Any) -> Outcome[T, R] | BaseException:
    """As `attempt`, in a worker: what ends the map is returned, for the driver to raise; errors are made to travel."""
    try:
        outcome: Outcome[T, R] = attempt(item, function, *arguments)
    except (InterruptedRun, KeyboardInterrupt) as error:
        return error
    return replace(outcome, error=_portable(outcome.error))


def _portable(error: Exception | None) -> Exception | None:
    """The error, or a plain one that says the same where it does not survive pickling."""
    there_and_back: Outcome[None, Any] = attempt(None, lambda: ForkingPickler.loads(ForkingPickler.dumps(error)))
    return error if there_and_back.error is None else RuntimeError(f"{type(error).__name__}: {error}")


class _Failure:
    """Keeps the exception of its block, where it is about the item."""

    error: Exception | None = None
    text: str | None = None

    def __enter__(self) -> _Failure:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, InterruptedRun):
            return False
        self.error = error
        self.text = "".join(traceback.format_exception(error))
        return True
