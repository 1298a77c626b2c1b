"""One call of a search of cheap trials, as `subarch search` makes it: what `search_kills.py` kills.

It says "ready", and each trial that it acknowledges. Where it is started from a command (`python -c`), its workers
import the trials alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cheap_trials import Task, cheap_trial
from subarch.command import guarded
from subarch.optimize.domain import Choice, Domain, Float, Int
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.registry import make_sampler
from subarch.running.executor import Executor, InProcessExecutor
from subarch.running.process_executor import ProcessExecutor
from subarch.session.output import claim
from subarch.session.session import Session
from subarch.stages.trials.attempts import Trying
from subarch.stages.trials.driver import Driver, Plan
from subarch.stages.trials.ledger import Entry, Ledger
from subarch.tracking.record import Record

SECONDS = {"process": 0.01, "workers": 0.01, "ray": 1.5}
"""Of a trial: a lost head is noticed after nine, and the search should not be over by then."""


def problem() -> Problem:
    """Mixed parameters, a threshold, a failing region."""
    domain = Domain(
        parameters={
            "x": Float(low=0.0, high=1.0),
            "size": Int(low=1, high=30),
            "kind": Choice(values=("a", "b", "c")),
        }
    )
    return Problem(
        domain=domain, metrics=(Metric(name="score", threshold=0.6), Metric(name="cost", direction="minimize"))
    )


@contextmanager
def executor_of(where: str) -> Iterator[Executor]:
    """One process, two worker processes, or two workers on a Ray cluster of its own."""
    if where == "ray":
        from subarch.running.ray_executor import RayExecutor

        with RayExecutor("local", workers=2) as cluster:
            yield cluster
    else:
        yield InProcessExecutor() if where == "process" else ProcessExecutor(2, threads_per_worker=1)


def call(given: argparse.Namespace) -> None:
    """Search until all trials have ended."""
    folder = given.folder
    session = Session(record=Record.open(f"sqlite:///{folder}/record.db"))
    with (
        executor_of(given.where) as executor,
        claim(folder / "out", "search", {"seed": given.seed}) as claimed,
        session.recorded(claimed, "cheap") as run,
        (folder / "acknowledged").open("a", encoding="utf-8") as log,
    ):
        driver = Driver(
            Plan(
                problem=problem(), sampler=make_sampler(given.sampler, given.seed), trials=given.trials, seed=given.seed
            ),
            Ledger(session.record, run.run_id),
        )
        trying = Trying(
            executor=executor,
            function=cheap_trial,
            task_of=lambda entry: Task(dict(entry.params), SECONDS[given.where]),
            attempts=20,
        )
        print("ready", flush=True)

        def told(driver: Driver, entry: Entry, value: Any) -> None:
            metrics = {} if entry.ending is None else dict(entry.ending.metrics)
            log.write(json.dumps({"number": entry.number, "metrics": metrics}) + "\n")
            log.flush()
            os.fsync(log.fileno())
            print("told", entry.number, flush=True)

        driver.run(trying, told)


def main() -> None:
    """Read the flags, search, and end as the command would."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--where", choices=("process", "workers", "ray"), required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--sampler", required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    sys.exit(guarded(lambda: call(given)))
