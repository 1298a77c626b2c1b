"""Where candidates run. An executor maps a function over items, and hands back what came of each.

Laws, for every implementation (tests/contracts/executor_contract.py checks them):

- One outcome for each item, as soon as it is there; the order is the executor's own.
- The function and the items survive a trip through memory (cloudpickle): no open files, no locks. The
  function takes all that it needs from its item, writes nothing to the record, and returns a value that can
  travel too.
- An exception of the function is the outcome of that item alone. `KeyboardInterrupt` and `InterruptedRun` are
  not about the item: they end the map.
- Items are drawn lazily, never more than `workers` ahead, so that an iterator may choose the next item by the
  outcomes so far. Closing the iterator of outcomes starts nothing more.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from subarch.errors import InterruptedRun

T = TypeVar("T")
R = TypeVar("R")


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

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item."""
        ...


class InProcessExecutor:
    """Runs one item after the other, in this process and thread, in the order given."""

    workers = 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item; the next item is drawn when the next outcome is asked for."""
        for item in items:
            yield _attempt(function, item)


def _attempt(function: Callable[[T], R], item: T) -> Outcome[T, R]:
    with _Failure() as failure:
        return Outcome(item=item, value=function(item))
    return Outcome(item=item, error=failure.error, traceback=failure.text)


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
