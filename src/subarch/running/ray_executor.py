"""Runs items on a Ray cluster, with Ray Core alone: one actor a worker, kept between maps; no Ray Tune, no queue.

The cluster holds no state of ours. What a lost machine was working on is an outcome (`WorkerLost`), and a new worker is
asked for; what a lost head was working on is gone with it, and the driver stops with one line.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic

from subarch.errors import ConfigError, MissingExtraError, SubarchError
from subarch.running.executor import OnEvent, Outcome, R, T, WorkerLost, lead
from subarch.running.faults import breaks_worker
from subarch.running.ray_cluster import Cluster
from subarch.running.ray_worker import RayWorker

_GRACE = 5.0
"""Seconds that cancelled items have to reach their next `tell`."""
_STILLBORN = 3
"""Workers, for each one wanted, that may die in a row before they are up."""
_LOOK = "does every node have subarch in the driver's version? ray status and the logs in /tmp/ray tell more"
_IDLE: Any = object()


class RayExecutor:
    """Runs items on the nodes of a Ray cluster.

    Every node has subarch in the driver's version, and sees the same files under the same paths. A connection to a
    cluster that the program has already is used as it is.

    Args:
        address: `host:port` of the head (from one of its nodes), `ray://host:port` (from outside), `auto` for the
            cluster that this machine is a node of; None or `local` starts one on this machine.
        workers: Items at the same time; None for as many as the nodes hold now.
        cpus: Processors of one item, above zero; Ray also makes them the OMP_NUM_THREADS of its worker.
        gpus: Accelerators of one item, which it alone sees; a fraction shares one, and 0 hides them all.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: The address does not answer, or the cluster holds fewer workers.
    """

    def __init__(
        self, address: str | None = None, workers: int | None = None, cpus: float = 1, gpus: float = 0
    ) -> None:
        for name, number, fine in (
            ("workers", workers, workers is None or workers >= 1),
            ("cpus", cpus, cpus > 0),
            ("gpus", gpus, gpus >= 0),
        ):
            if not fine:
                raise ConfigError(f"{name} is {number}, expected {'0 or more' if name == 'gpus' else 'more than 0'}")
        self._cluster = Cluster(_import_ray(), address)
        try:
            self.workers = self._cluster.hold(workers, cpus, gpus)
        except ConfigError:
            self._cluster.leave()
            raise
        self._crew = _Crew(self._cluster, self.workers, {"num_cpus": cpus, "num_gpus": gpus})

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, and part from the cluster; one that was started here ends."""
        self._crew.close()
        self._cluster.leave()

    def map(
        self, function: Callable[..., R], items: Iterable[T], *, on_event: OnEvent[T] | None = None
    ) -> Iterator[Outcome[T, R]]:
        """Yield the outcome of every item.

        Raises:
            InterruptedRun: The user asked to stop while this waited.
            SubarchError: The head is lost, or a worker cannot start.
        """
        return lead(_Actors(self._cluster, self._crew, function, on_event), items)


def _import_ray() -> Any:
    # By default Ray reports its use over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        hint = 'pip install "subarch[ray]"'
        raise MissingExtraError("running on a cluster needs Ray, which is not installed", hint) from error


class _Crew:
    """The actors of an executor: hired for a map, kept for the next one."""

    def __init__(self, cluster: Cluster, size: int, resources: dict[str, float]) -> None:
        self.size = size
        self.numbers = itertools.count()
        """Of items, over all maps."""
        self._cluster = cluster
        self._actor = cluster.ray.remote(concurrency_groups={"line": 2}, **resources)(RayWorker)
        self._hidden = not resources["num_gpus"]
        self._idle: list[Any] = []

    def hire(self) -> Any:
        """An actor, perhaps one that still waits for its place in the cluster."""
        if self._idle:
            return self._idle.pop()
        self._cluster.ensure()
        return self._actor.remote(hidden=self._hidden)

    def keep(self, actor: Any) -> None:
        """Take back an actor that has nothing to do."""
        self._idle.append(actor)

    def dismiss(self, actor: Any) -> None:
        """End an actor, whatever it does."""
        ray = self._cluster.ray
        if not self._cluster.lost and ray.is_initialized():
            with suppress(ray.exceptions.RayError, ConnectionError, ValueError):
                ray.kill(actor)

    def close(self) -> None:
        """End all that are idle."""
        while self._idle:
            self.dismiss(self._idle.pop())


class _Slot:
    """One actor during a map, and the calls to it that are under way."""

    def __init__(self, actor: Any, loading: Any) -> None:
        self.actor = actor
        self.loading = loading
        self.running: Any = None
        self.listening: Any = None
        self.item: Any = _IDLE
        self.result: Any = None
        """What `run` gave; the item is over when all its events are there too."""
        self.number = -1

    @property
    def busy(self) -> bool:
        """Whether it has an item."""
        return self.item is not _IDLE

    @property
    def free(self) -> bool:
        """Whether it can take one."""
        return self.loading is None and not self.busy

    @property
    def calls(self) -> list[Any]:
        """The calls under way."""
        return [call for call in (self.loading, self.listening, self.running) if call is not None]

    def begin(self, item: Any, number: int, wants_events: bool) -> None:
        """Start an item."""
        self.item, self.number, self.result = item, number, None
        self.running = self.actor.run.remote(number, item, wants_events)
        if wants_events:
            self.listen(None)

    def listen(self, answer: bool | None) -> None:
        """Answer the last event, and ask for the next."""
        self.listening = self.actor.next_event.options(concurrency_group="line").remote(self.number, answer)

    def cancel(self) -> None:
        """Let the item's next `tell` raise."""
        self.actor.cancel.options(concurrency_group="line").remote(self.number)

    def note(self, call: Any, value: Any) -> dict[str, Any] | None:
        """Take what a call gave; returns the event if it is one."""
        if call == self.loading:
            self.loading = None
        elif call == self.running:
            self.running, self.result = None, value
        else:
            self.listening = None
            return value  # type: ignore[no-any-return]  # Ray's
        return None

    def end(self) -> Any:
        """The item, which is over."""
        item, self.item = self.item, _IDLE
        return item


class _Actors(Generic[T, R]):
    """The workers of one map."""

    def __init__(self, cluster: Cluster, crew: _Crew, function: Callable[..., R], on_event: OnEvent[T] | None) -> None:
        self._cluster = cluster
        self._crew = crew
        self._ray = cluster.ray
        self._function = self._ray.put(function)
        self._on_event = on_event
        self._slots: list[_Slot] = []
        self._stillborn = 0
        """Workers that died before they were up, one after the other."""

    @property
    def running(self) -> int:
        """Items without an outcome yet."""
        return sum(slot.busy for slot in self._slots)

    def has_room(self) -> bool:
        """Whether a worker is up and has nothing to do."""
        while len(self._slots) < self._crew.size:
            actor = self._crew.hire()
            self._slots.append(_Slot(actor, actor.load.remote(self._function)))
        return any(slot.free for slot in self._slots)

    def start(self, item: T) -> None:
        """Give the item to a free worker."""
        slot = next(slot for slot in self._slots if slot.free)
        slot.begin(item, next(self._crew.numbers), self._on_event is not None)

    def poll(self, seconds: float) -> Outcome[T, R] | None:
        """Wait for a call to come back, and handle it."""
        self._cluster.watch()
        try:
            ready, _ = self._ray.wait([call for slot in self._slots for call in slot.calls], timeout=seconds)
            for call in ready:
                return self._came_back(next(slot for slot in self._slots if call in slot.calls), call)
        except ConnectionError as error:
            raise self._cluster.gone() from error
        return None

    def _came_back(self, slot: _Slot, call: Any) -> Outcome[T, R] | None:
        errors = self._ray.exceptions
        try:
            event = slot.note(call, self._ray.get(call))
        except errors.RayTaskError as error:
            if call == slot.loading:
                raise _unable(error.cause) from error
            self._discard(slot)
            cause = getattr(error.cause, "client_exc", error.cause)
            return Outcome(item=slot.end(), error=cause, traceback=str(error))  # the item cannot travel
        except (errors.RayActorError, errors.ObjectLostError, errors.NodeDiedError, errors.WorkerCrashedError) as error:
            return self._lose(slot, error)
        if event is not None and self._on_event is not None:
            slot.listen(self._on_event(slot.item, event) is True)
        self._stillborn = 0
        if slot.result is None or slot.listening is not None:
            return None
        answer: Outcome[T, R] | BaseException = slot.result
        if isinstance(answer, BaseException):
            raise answer
        if breaks_worker(answer.error):
            self._discard(slot)
        return dataclasses.replace(answer, item=slot.end())

    def _lose(self, slot: _Slot, error: Exception) -> Outcome[T, R] | None:
        if getattr(error, "_actor_init_failed", False):
            raise _unable(error) from error
        self._discard(slot)
        reason = re.search(r"The actor is dead because (.{1,200})", str(error))
        lost = WorkerLost(f"the Ray worker died{': ' + reason[1] if reason else ''}")
        if slot.busy:
            return Outcome(item=slot.end(), error=lost, traceback=f"WorkerLost: {error}")
        self._stillborn += 1
        if self._stillborn > _STILLBORN * self._crew.size:
            raise SubarchError(f"{self._stillborn} Ray workers died as they started: {lost.message}", _LOOK) from error
        return None

    def close(self) -> None:
        """Tell what runs to stop, give it time where it listens, and let the other workers wait for the next map."""
        slots = [] if self._cluster.lost else self._slots
        if self._on_event is not None:
            self._cancel([slot for slot in slots if slot.busy], time.monotonic() + _GRACE)
        for slot in slots:
            if slot.busy:
                self._crew.dismiss(slot.actor)
            else:
                self._crew.keep(slot.actor)
        self._slots = []

    def _cancel(self, slots: list[_Slot], until: float) -> None:
        for slot in slots:
            slot.cancel()
        while (busy := [slot for slot in slots if slot.busy and slot.calls]) and time.monotonic() < until:
            ready, _ = self._ray.wait([call for slot in busy for call in slot.calls], timeout=0.1)
            for call in ready:
                slot = next(slot for slot in busy if call in slot.calls)
                try:
                    if slot.note(call, self._ray.get(call)) is not None:
                        slot.listen(True)
                except (self._ray.exceptions.RayError, ConnectionError):
                    slots.remove(slot)
                    break
                if not slot.calls:
                    slot.end()

    def _discard(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        self._crew.dismiss(slot.actor)


def _unable(reason: object) -> SubarchError:
    lines = [line for line in str(reason).splitlines() if line.strip()]
    return SubarchError(f"a Ray worker cannot start: {lines[-1]}", _LOOK)
