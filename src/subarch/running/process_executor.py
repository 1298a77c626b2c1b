"""Runs items in processes of this machine: each process takes one item after the other, for the length of one map.

Processes are spawned, never forked: a fork of a process with threads, as torch's are, may stand still for ever.
Function, items, events and values are pickled in memory only, so a function is importable: defined at the top of a
module.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from subarch.errors import ConfigError, SubarchError
from subarch.running.executor import Cancelled, OnEvent, Outcome, R, T, WorkerLost, attempt, attempt_afar, lead
from subarch.running.faults import breaks_worker
from subarch.running.processes import available_processes, end_with_parent

_GRACE = 5.0
"""Seconds that cancelled items have to reach their next `tell`, and processes to end by themselves."""
_IDLE: Any = object()


class ProcessExecutor:
    """Runs items in worker processes of this machine.

    The first Ctrl-C goes to the driver alone. The workers end with it, however it ends.

    Args:
        workers: Items at the same time.
        threads_per_worker: OMP_NUM_THREADS of a worker; by default the processors are shared out, at least one each.
            Sums of floats depend on it: keep it fixed where runs with different workers are to agree to the last bit.
        environment: More variables of the workers, set before anything is imported.
        accelerators: Names of devices, as CUDA_VISIBLE_DEVICES has them: each worker sees one, in turn. None leaves
            the variable as it is.

    Raises:
        ConfigError: A number below one.
    """

    def __init__(
        self,
        workers: int,
        threads_per_worker: int | None = None,
        environment: Mapping[str, str] | None = None,
        accelerators: Sequence[str] = (),
    ) -> None:
        threads = max(1, available_processes() // max(1, workers)) if threads_per_worker is None else threads_per_worker
        for name, number in (("workers", workers), ("threads_per_worker", threads)):
            if number < 1:
                raise ConfigError(f"{name} is {number}, expected 1 or more")
        self.workers = workers
        common = {"OMP_NUM_THREADS": str(threads), **(environment or {})}
        self._environments = [{**common, **_seeing(accelerators, place)} for place in range(workers)]

    def map(
        self, function: Callable[..., R], items: Iterable[T], *, on_event: OnEvent[T] | None = None
    ) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item.

        Raises:
            InterruptedRun: The user asked to stop while this waited.
            SubarchError: A worker cannot start.
        """
        return lead(_Processes(self._environments, function, on_event), items)


class _Processes(Generic[T, R]):
    """The processes of one map."""

    def __init__(
        self, environments: Sequence[Mapping[str, str]], function: Callable[..., R], on_event: OnEvent[T] | None
    ) -> None:
        self._environments = environments
        """One for each worker."""
        self._function = function
        self._on_event = on_event
        self._workers: list[_Worker] = []
        # Otherwise an iterator that nobody closed would keep Python from ending: it waits for its processes.
        atexit.register(self.close)

    @property
    def running(self) -> int:
        """Items without an outcome yet."""
        return sum(worker.busy for worker in self._workers)

    def has_room(self) -> bool:
        """Whether one more item can start."""
        return self.running < len(self._environments)

    def start(self, item: T) -> None:
        """Give the item to an idle process, or to a new one."""
        for worker in [worker for worker in self._workers if not worker.busy]:
            with suppress(BrokenPipeError, ConnectionResetError):
                return worker.take(item)
            self._discard(worker)  # it died while it had nothing to do
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(len(self._environments)) if place not in taken)
        worker = _Worker(place, self._environments[place])
        self._workers.append(worker)
        # One that is killed as it starts is lost with its item, like any other.
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send((self._function, self._on_event is not None))
        worker.item = item
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.take(item)

    def poll(self, seconds: float) -> Outcome[T, R] | None:
        """Wait for messages and deaths, and handle them up to the first outcome."""
        wait([end for worker in self._workers for end in (worker.connection, worker.process.sentinel)], seconds)
        for worker in list(self._workers):
            # Asked before the messages are read: what a process sent before it died still counts.
            dead = worker.process.exitcode is not None
            for kind, content in worker.messages():
                outcome = self._heard(worker, kind, content)
                if outcome is not None:
                    if breaks_worker(outcome.error):
                        self._discard(worker)
                    return outcome
            if dead or worker.silent:
                lost = worker.lost()
                item, busy = worker.item, worker.busy
                self._discard(worker)
                if busy:
                    return Outcome(item=item, error=lost, traceback=f"WorkerLost: {lost.message}\n")
        return None

    def _heard(self, worker: _Worker, kind: str, content: Any) -> Outcome[T, R] | None:
        if kind == "event" and self._on_event is not None:
            worker.answer(self._on_event(worker.item, content) is True)
        elif kind == "stop":
            raise content
        elif kind == "outcome":
            item, worker.item = worker.item, _IDLE
            return Outcome(item=item, value=content.value, error=content.error, traceback=content.traceback)
        return None

    def close(self) -> None:
        """Tell what runs to stop, give it time where it listens, and end every process."""
        atexit.unregister(self.close)
        try:
            if self._on_event is not None:
                self._cancel(time.monotonic() + _GRACE)
        finally:
            workers, self._workers = self._workers, []
            for worker in workers:
                worker.leave()
            for worker in workers:
                worker.end()

    def _cancel(self, until: float) -> None:
        for worker in self._workers:
            worker.answer(True)
        while (listening := [w for w in self._workers if w.busy and not w.silent]) and time.monotonic() < until:
            wait([worker.connection for worker in listening], 0.1)
            for worker in listening:
                for kind, _ in worker.messages():
                    if kind == "event":
                        worker.answer(True)
                    elif kind in ("outcome", "stop"):
                        worker.item = _IDLE

    def _discard(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()


class _Worker:
    """One process, as the driver sees it."""

    def __init__(self, place: int, environment: Mapping[str, str]) -> None:
        self.place = place
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.item: Any = _IDLE
        self.silent = False
        """Whether nothing can come from it any more."""
        self._ready = False
        self.process = context.Process(target=_work, args=(theirs,), name="subarch-worker")
        with _variables(environment), _undisturbed():
            self.process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        """Whether it has an item."""
        return self.item is not _IDLE

    def take(self, item: Any) -> None:
        """Send an item."""
        self.connection.send(("item", item))
        self.item = item

    def answer(self, cancel: bool) -> None:
        """Answer an event."""
        with suppress(OSError):  # if it died, its connection tells
            self.connection.send(("answer", cancel))

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What it has sent so far."""
        try:
            while not self.silent and self.connection.poll():
                kind, content = self.connection.recv()
                self._ready = True
                yield kind, content
        except (EOFError, OSError):
            self.silent = True

    def lost(self) -> WorkerLost:
        """How it ended.

        Raises:
            SubarchError: It never got as far as to take an item, through no kill.
        """
        self.process.join(_GRACE)
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            return WorkerLost(f"the worker process was killed by {name}", "was there memory enough for all workers?")
        if not self._ready:
            raise SubarchError(
                f"a worker process could not start: exit code {code}",
                "in a script of your own, start the work below: if __name__ == '__main__':",
            )
        return WorkerLost(f"the worker process ended with exit code {code}")

    def leave(self) -> None:
        """Tell it to end, without waiting for it."""
        self.connection.close()  # an idle process ends by itself
        if self.busy:
            self.process.terminate()

    def end(self) -> None:
        """End it, and wait until it is gone."""
        self.leave()
        self.process.join(_GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.process.close()


def _seeing(accelerators: Sequence[str], place: int) -> dict[str, str]:
    """The variable by which the worker of this place sees its accelerator alone."""
    return {"CUDA_VISIBLE_DEVICES": accelerators[place % len(accelerators)]} if accelerators else {}


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    # A spawned process imports the driver's main module, perhaps torch with it, before any line of ours runs there.
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _undisturbed() -> Iterator[None]:
    # What starts in this block does not hear Ctrl-C until it can ignore it; the driver hears it afterwards.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets SIGINT in again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection[Any, Any]) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver closed its end
        loaded: Outcome[None, tuple[Callable[..., Any], bool]] = attempt(None, connection.recv)
        if loaded.error is not None:
            if not isinstance(loaded.error, EOFError):
                problem = f"a worker process cannot load the function: {loaded.error}"
                connection.send(("stop", SubarchError(problem, "define it at the top of a module")))
            return
        connection.send(("ready", None))
        function, wants_events = loaded.result()
        while True:
            kind, item = connection.recv()
            if kind == "item":
                tell = [_Line(connection).tell] if wants_events else []
                _send_answer(connection, attempt_afar(None, function, item, *tell))


def _send_answer(connection: Connection[Any, Any], answer: Outcome[Any, Any] | BaseException) -> None:
    kind = "stop" if isinstance(answer, BaseException) else "outcome"
    sent = attempt_afar(None, connection.send, (kind, answer))
    if isinstance(sent, Outcome) and isinstance(sent.error, OSError):
        raise sent.error
    if sent != Outcome(item=None):  # the value cannot travel
        connection.send(("outcome", sent))


class _Line:
    """From an item in a worker process to the driver."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._unanswered = False

    def tell(self, event: Mapping[str, Any]) -> None:
        # Without an event to be answered, there may still be the word that the whole map is over.
        while self._unanswered or self._connection.poll():
            _, cancel = self._connection.recv()
            self._unanswered = False
            if cancel:
                raise Cancelled("cancelled by the driver")
        self._connection.send(("event", dict(event)))
        self._unanswered = True
