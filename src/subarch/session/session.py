"""What surrounds a stage: where it is recorded, to whom it reports, when it must stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from subarch.errors import InterruptedRun
from subarch.running.budget import Deadline
from subarch.running.executor import Executor, InProcessExecutor
from subarch.session.output import OutputFolder
from subarch.tracking.record import NullRecord, Record, Run
from subarch.training.loop import Event, OnEvent, ignore_event


@dataclass(frozen=True, kw_only=True)
class Session:
    """The surroundings of a stage; the defaults record nothing and have no limit."""

    record: Record = field(default_factory=NullRecord)
    on_event: OnEvent = ignore_event
    stop_requested: Callable[[], bool] = field(default=lambda: False)
    executor: Executor = field(default_factory=InProcessExecutor)
    deadline: Deadline = field(default_factory=lambda: Deadline.after(None))
    parent: str | None = None
    """Run id of the run that this stage belongs to."""
    teacher_known: bool = False
    """Whether whoever runs this stage has compared the teacher with the labels already, or trained it."""

    def inside(self, parent: str | None, deadline: Deadline) -> Session:
        """The surroundings of a stage of this one, with its share of the time."""
        return replace(self, parent=parent, deadline=deadline)

    @contextmanager
    def recorded(self, folder: OutputFolder, name: str) -> Iterator[Run]:
        """The recorded run of a stage that works in `folder`: a new one, or the one that was killed there."""
        with self.record.start(
            folder.stage, name=name, config=folder.config, parent=self.parent, run_id=folder.run_id
        ) as run:
            folder.began(run.run_id)
            yield run

    def tell(self, event: str, **values: object) -> None:
        """Report something."""
        self.on_event({"event": event, **values})

    def phase(self, name: str, detail: str = "") -> None:
        """Report that something new begins, unless the user asked to stop: between two phases all is saved.

        Raises:
            InterruptedRun: A stop was requested.
        """
        if self.stop_requested():
            raise InterruptedRun(f"interrupted before {name} {detail}".rstrip(), "the same command resumes")
        self.tell("phase", name=name, detail=detail)

    def recording(self, run: Run, stage: str) -> OnEvent:
        """An `on_event` that also draws the curves of `run`."""

        def on_event(event: Event) -> None:
            numbers = {"step": ("loss", "learning_rate"), "evaluation": ("score",)}.get(event["event"], ())
            if numbers:
                run.log({name: float(event[name]) for name in numbers}, step=int(event["step"]))
            self.on_event({**event, "stage": stage})

        return on_event


def seconds_left(deadline: Deadline) -> float | None:
    """What remains of a deadline; None where there is none."""
    remaining = deadline.remaining()
    return None if remaining == float("inf") else remaining
