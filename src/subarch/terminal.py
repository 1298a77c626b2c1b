"""What a person sees while a stage runs: bars with the time left on a terminal, lines elsewhere; all on stderr.

Who reads along may go away, which must not stop the work.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Any, Self, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 15.0
"""How often a line tells the progress where there is no terminal."""


class ProgressDisplay:
    """Turns events into bars or lines; used as a context manager around a stage."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, emoji=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0
        self._candidates = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)

    def _on_phase(self, event: dict[str, Any]) -> None:
        detail = f" ({event['detail']})" if event.get("detail") else ""
        self._say(f"{event['name']}{detail}")

    def _on_step(self, event: dict[str, Any]) -> None:
        self._update(event["stage"], event["progress"], f"loss {event['loss']:.3f}")

    def _on_evaluation(self, event: dict[str, Any]) -> None:
        self._say(f"{event['stage']}: validation {event['score']:.4f} after {event['step']} steps")

    def _on_candidates(self, event: dict[str, Any]) -> None:
        self._candidates = max(1, int(event["total"]))
        self._update("search", 0.0, f"0 of {self._candidates} candidates")

    def _on_candidate(self, event: dict[str, Any]) -> None:
        self._update("search", event["done"] / self._candidates, f"{event['done']} of {self._candidates} candidates")

    def _on_trials(self, event: dict[str, Any]) -> None:
        best = ", ".join(f"{name} {value:.4g}" for name, value in event["best"].items())
        front = f"front of {event['front']}: {best}" if best else "nothing meets the thresholds yet"
        left = event["seconds_left"]
        time_left = "" if left is None else f", {left / 60:.0f} min left"
        detail = f"{event['done']} of {event['total']} trials, {front}{time_left}"
        self._update("search", event["done"] / max(1, event["total"]), detail)

    def _on_confirmed(self, event: dict[str, Any]) -> None:
        self._say(f"confirmed trial {event['number']}, {event['waiting']} more to confirm")

    def _on_bytes(self, event: dict[str, Any]) -> None:
        done, total, left = event["done_bytes"], event["total_bytes"], event["seconds_left"]
        share = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
        detail = f"{share}, {event['mb_per_second']:.1f} MB/s" + (f", {left:.0f} s left" if left is not None else "")
        self._update(event["stage"], done / total if total else 0.0, detail)

    def _say(self, line: str) -> None:
        self._progress.console.print(line, markup=False, soft_wrap=True)

    def _update(self, name: str, progress: float, detail: str) -> None:
        if self._console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=1.0, detail="")
            self._progress.update(self._tasks[name], completed=progress, detail=detail)
        elif time.monotonic() - self._last_line > LINE_SECONDS:
            self._last_line = time.monotonic()
            self._say(f"{name}: {progress:.0%}, {detail}")


class LastingStream:
    """A text stream that is written to as long as somebody reads it; after that what is written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop it."""
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            drop(self._stream)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            drop(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_streams() -> None:
    """Give the process streams that last: stderr with or without a reader, and none that was closed before it began.

    Otherwise the next file that is opened would take the number of a closed one, and get what libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))  # noqa: SIM115  (for as long as we live)
    if not isinstance(sys.stderr, LastingStream):
        sys.stderr = cast("TextIO", LastingStream(sys.stderr))


def drop(stream: TextIO) -> None:
    """Let what is still written to a stream go nowhere: Python must not complain of it at exit either."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # of a stream in memory, or a closed one
        return
    target = os.open(os.devnull, os.O_WRONLY)
    os.dup2(target, number)
    os.close(target)
