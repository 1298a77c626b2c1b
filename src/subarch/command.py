"""What every command does around its stage: recipe and flags, record, progress, Ctrl-C, the answer, the exit code."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from subarch.errors import InterruptedRun, SubarchError
from subarch.flags import DataFlags, ForesightFlags, RunFlags

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
        print(json.dumps(plain, indent=2, ensure_ascii=False) if run.as_json else text)

    return guarded(work)


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
            result = work_of_stage(session=_session(display, stop), **surroundings)
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False) if run.as_json else _answer(result))

    return guarded(work)


def _follow(work: Callable[..., Any]) -> None:
    """Under torchrun all processes but the first only work: they record, show and answer nothing."""
    from subarch.running.interrupts import saving_on_interrupt
    from subarch.stages.session import Session

    with saving_on_interrupt() as stop:
        work(session=Session(stop_requested=stop))


def _session(on_event: Callable[[dict[str, Any]], None], stop: Callable[[], bool]) -> Any:
    from subarch.stages.session import Session
    from subarch.tracking.record import Record

    return Session(record=Record.open(), on_event=on_event, stop_requested=stop)


def _answer(result: Any) -> str:
    from subarch.report.answers import answer

    return answer(result.to_json())


def guarded(work: Callable[[], None]) -> int:
    """Run, and turn subarch's own errors into one clear line and an exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        work()
    except SubarchError as error:
        print(f"{'stopped' if isinstance(error, InterruptedRun) else 'error'}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped: interrupted at once; the same command resumes from what was saved", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away: nothing is wrong, and Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0
