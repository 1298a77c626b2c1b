"""Trying entries through an executor until each has ended, whatever a trial does.

A fault of the configuration ends a trial as failed. A worker that was lost says nothing about the configuration: the
trial is tried again, at once and under the same seed. Lost as often as `Trying.attempts` says, it is put aside as lost:
it is not told to the model, the search goes on, and the next call tries it anew. Where trial after trial is lost and
none ends, the workers are at fault, and the search ends with one error. A full disk ends it at once.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from subarch.errors import ConfigError, InterruptedRun, MissingExtraError, StorageError, SubarchError
from subarch.optimize.parameters import Params
from subarch.running.executor import Cancelled, Executor, Outcome, Tell
from subarch.running.faults import is_configurations_fault
from subarch.stages.trials.ledger import Ending, Entry, Ledger, finite, short

TrialFunction = Callable[[Any, Tell], Mapping[str, Any]]
"""Takes what `Trying.task_of` made of an entry; returns `metrics`, perhaps `errors` and `seconds`. It tells its
evaluations: {"event": "evaluation", "step", "progress", "score"}."""
Curve = Sequence[tuple[float, float]]
Judge = Callable[[Entry, Curve], str | None]
"""Why a running entry should be stopped, by its curve so far; None to let it run."""


@dataclass(frozen=True, kw_only=True)
class Trying:
    """How entries are tried."""

    executor: Executor
    function: TrialFunction
    task_of: Callable[[Entry], Any]
    """What the function needs, small enough to travel."""
    wanted: tuple[str, ...] = ()
    """Metrics that each must report, or that are `known` of it."""
    known: Callable[[Params], Mapping[str, float]] = field(default=lambda params: {})
    """Metrics that are functions of the configuration."""
    attempts: int = 3
    stop_requested: Callable[[], bool] = field(default=lambda: False)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What travels to a worker."""

    entry: Entry
    task: Any


@dataclass(frozen=True)
class Called:
    """The trial function, for items that are attempts; a class, since it has to travel."""

    function: TrialFunction

    def __call__(self, attempt: Attempt, tell: Tell) -> Mapping[str, Any]:
        """Run the function on the task of an attempt."""
        return self.function(attempt.task, tell)


class Attempts:
    """Tries what `ask` gives until it gives None, and again what was lost.

    Args:
        trying: How.
        ledger: Keeps what comes of it.
        ask: The next entry; called when a worker is free, and not again once it gave None and nothing runs.
        judge: Whether to stop a running one; never by default.
    """

    def __init__(
        self, trying: Trying, ledger: Ledger, ask: Callable[[], Entry | None], judge: Judge | None = None
    ) -> None:
        self._trying, self._ledger, self._ask, self._judge = trying, ledger, ask, judge
        self._again: deque[Entry] = deque()
        self._curves: dict[tuple[int, int], list[tuple[float, float]]] = {}
        self._began: dict[tuple[int, int], float] = {}
        self._stopped: dict[tuple[int, int], str] = {}
        self._lost_in_a_row = 0

    def endings(self) -> Iterator[tuple[Entry, Ending, Mapping[str, Any]]]:
        """Yield each entry that ended, recorded, with what its function returned (nothing where it did not).

        Raises:
            InterruptedRun: The user asked to stop; what runs is tried again by a resumed search.
            StorageError: The disk is full, here or where a trial ran.
            ConfigError: A trial does not report a metric that is wanted.
            SubarchError: Nothing ends any more: worker after worker is lost.
        """
        trying = self._trying
        outcomes = trying.executor.map(Called(trying.function), self, on_event=self._on_event)
        try:
            for outcome in outcomes:
                entry = outcome.item.entry
                ending = self._ending(entry, outcome)
                if ending is not None:
                    self._ledger.end(entry, ending, outcome.traceback)
                    yield replace(entry, ending=ending), ending, outcome.value or {}
                self._require_going_on()
        finally:
            cast("Generator[Any]", outcomes).close()
            self._ledger.leave()

    def __iter__(self) -> Iterator[Attempt]:
        return self

    def __next__(self) -> Attempt:
        """The next attempt; StopIteration where there is none now, although one that is lost later comes again."""
        self._require_going_on()
        entry = self._again.popleft() if self._again else self._ask()
        if entry is None:
            raise StopIteration
        entry = self._ledger.begin(entry)
        self._curves[entry.key] = []
        self._began[entry.key] = time.monotonic()
        return Attempt(entry=entry, task=self._trying.task_of(entry))

    def _on_event(self, attempt: Attempt, event: Mapping[str, Any]) -> bool:
        self._require_going_on()
        if event.get("event") != "evaluation":
            return False
        entry, score = attempt.entry, float(event["score"])
        self._ledger.point(entry, int(event["step"]), {"score": score})
        if not math.isfinite(score):
            return False  # its training will say so itself
        curve = self._curves[entry.key]
        curve.append((float(event["progress"]), score))
        reason = self._judge(entry, curve) if self._judge is not None else None
        if reason is not None:
            self._stopped[entry.key] = reason
        return reason is not None

    def _ending(self, entry: Entry, outcome: Outcome[Attempt, Mapping[str, Any]]) -> Ending | None:
        """What came of an entry; None where it is tried again."""
        seconds = round(time.monotonic() - self._began[entry.key], 3)
        curve = tuple(self._curves.pop(entry.key))
        if outcome.error is None:
            ending = self._finished(entry, outcome.value or {})
            self._lost_in_a_row = 0
            return replace(ending, curve=curve, seconds=ending.seconds if ending.seconds is not None else seconds)
        error = outcome.error
        if isinstance(error, (StorageError, MissingExtraError)):
            raise error
        if isinstance(error, Cancelled) and entry.key in self._stopped:
            self._lost_in_a_row = 0
            return Ending(state="stopped", reason=self._stopped.pop(entry.key), seconds=seconds, curve=curve)
        reason = short(getattr(error, "message", None) or f"{type(error).__name__}: {error}")
        if is_configurations_fault(error):
            self._lost_in_a_row = 0
            return Ending(state="failed", reason=reason, seconds=seconds, curve=curve)
        return self._lost(entry, reason)

    def _finished(self, entry: Entry, value: Mapping[str, Any]) -> Ending:
        metrics = {**value.get("metrics", {}), **self._trying.known(entry.params)}
        missing = [name for name in self._trying.wanted if name not in metrics]
        if missing:
            raise ConfigError(
                f"trial {entry.number} reports no {' and no '.join(missing)}",
                f"it reports {', '.join(sorted(metrics)) or 'nothing'}: name these in [search.metrics]",
            )
        broken = [name for name in self._trying.wanted if not math.isfinite(metrics[name])]
        if broken:
            return Ending(state="failed", reason=f"{broken[0]} is {metrics[broken[0]]}, expected a number")
        errors = finite(value.get("errors", {}))
        seconds = value.get("seconds")
        return Ending(state="finished", metrics=finite(metrics), errors=errors, seconds=seconds)

    def _lost(self, entry: Entry, reason: str) -> Ending | None:
        trying = self._trying
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= trying.attempts * (trying.executor.workers + 1):
            raise SubarchError(
                f"the last {self._lost_in_a_row} attempts were lost, none ended: {reason}",
                "look after the workers, then run the same command: it resumes",
            )
        if entry.attempt < trying.attempts:
            self._again.append(replace(entry, attempt=entry.attempt + 1))
            return None
        return Ending(state="lost", reason=f"lost {entry.attempt} times: {reason}")

    def _require_going_on(self) -> None:
        if self._trying.stop_requested():
            raise InterruptedRun("interrupted, what ended is saved", "the same command resumes")
