"""What every command does around its stage: recipe and flags, record, progress, Ctrl-C, the answer, the exit code."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from subarch.errors import InterruptedRun, SubarchError
from subarch.flags import DataFlags, ForesightFlags, RunFlags
from subarch.terminal import drop

STARTED = time.monotonic()
"""When a budget begins to count."""


def foresee_command(values: Mapping[str, Any], flags: ForesightFlags, run: RunFlags, stage: str = "extract") -> int:
    """Tell what a stage would be; nothing is written, so that it needs no --out."""

    def work() -> None:
        from subarch.api import configured
        from subarch.recipe import parse_settings, read_recipe
        from subarch.stages.extraction.foresight import foresee

        section = read_recipe(run.recipe, stage) if run.recipe else {}
        given = {key: value for key, value in values.items() if value is not None} | {"out": run.out or Path()}
        (config,) = configured(stage, section, parse_settings(run.settings), given).args
        text, plain = foresee(config, check=flags.check, estimate=flags.estimate, hardware=flags.hardware)
        tell(text, plain if run.as_json else None)

    return guarded(work, debug=run.debug)


def run_command(stage: str, values: Mapping[str, Any], run: RunFlags, data: DataFlags | None = None) -> int:
    """Run a stage with a record, progress and saving on Ctrl-C; print its answer."""
    flags = {**values, **({} if data is None else dataclasses.asdict(data)), "out": run.out}
    given = {key: value for key, value in flags.items() if value is not None}

    def work() -> None:
        from subarch.api import configured
        from subarch.recipe import asked_before, parse_settings, read_recipe
        from subarch.running.interrupts import saving_on_interrupt
        from subarch.terminal import ProgressDisplay

        section = read_recipe(run.recipe, stage) if run.recipe else asked_before(run.out, stage)
        work_of_stage = configured(stage, section, parse_settings(run.settings), given)
        surroundings = {"started": STARTED} if stage == "compress" else {}
        if int(os.environ.get("RANK", "0")):
            _follow(work_of_stage)
            return
        with saving_on_interrupt() as stop, ProgressDisplay() as display:
            result = work_of_stage(session=_session(display, stop, work_of_stage.args[0].out), **surroundings)
        tell("" if run.as_json else _answer(result), result.to_json() if run.as_json else None)

    return guarded(work, debug=run.debug)


def _follow(work: Callable[..., Any]) -> None:
    """Under torchrun all processes but the first only work: they record, show and answer nothing."""
    from subarch.running.interrupts import saving_on_interrupt
    from subarch.session.session import Session

    with saving_on_interrupt() as stop:
        work(session=Session(stop_requested=stop))


def _session(on_event: Callable[[dict[str, Any]], None], stop: Callable[[], bool], out: Path) -> Any:
    from subarch.session.output import is_finished
    from subarch.session.session import Session
    from subarch.tracking.record import WAITING_FILE, Record, UnusableRecord

    try:
        record = Record.open(waiting=out / WAITING_FILE)
    except SubarchError as error:
        if not is_finished(out):
            raise
        # To answer again nothing is recorded; whoever goes on there after all hears of it then.
        record = UnusableRecord(error)
    return Session(record=record, on_event=on_event, stop_requested=stop)


def _answer(result: Any) -> str:
    from subarch.report.answers import answer

    return answer(result.to_json())


def tell(text: str, plain: Any = None) -> None:
    """Print an answer, as JSON where `plain` is given; a reader who went away or reads ASCII alone costs nothing."""
    shown = text if plain is None else json.dumps(plain, indent=2, ensure_ascii=False)
    try:
        try:
            print(shown, flush=True)
        except UnicodeEncodeError:
            codec = sys.stdout.encoding
            print(json.dumps(plain, indent=2) if plain is not None else text.encode(codec, "replace").decode(codec))
            sys.stdout.flush()
    except OSError as error:
        drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            print(f"warning: the answer could not be printed: {error.strerror}", file=sys.stderr)


def guarded(work: Callable[[], None], *, debug: bool = False) -> int:
    """Run, and turn every failure into one clear line and an exit code.

    Args:
        work: What is done.
        debug: Whether the traceback is printed too.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    last = _LastLine(debug=debug)
    with last:
        work()
    return last.exit_code


class _LastLine:
    """Context manager around all that a command does; nothing leaves it but an exit code."""

    def __init__(self, *, debug: bool) -> None:
        self._debug = debug
        self.exit_code = 0

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, KeyboardInterrupt):
            print("stopped: interrupted at once; the same command resumes from what was saved", file=sys.stderr)
            self.exit_code = 130
            return True
        if not isinstance(error, Exception):
            return False
        if self._debug:
            traceback.print_exception(error, file=sys.stderr)
        if isinstance(error, SubarchError):
            print(f"{'stopped' if isinstance(error, InterruptedRun) else 'error'}: {error}", file=sys.stderr)
            self.exit_code = error.exit_code
        else:
            print(f"error: {_unforeseen(error)}", file=sys.stderr)
            self.exit_code = 1
        return True


def _unforeseen(error: Exception) -> str:
    """An error that nobody put into words, with what to do about it."""
    if isinstance(error, MemoryError):
        return "out of memory\nhint: try a smaller batch_size or max_length; what was saved is kept"
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return f"unforeseen {text[:300]}\nhint: the same command with --debug tells where; please report what it prints"
