"""What does the driver of a search cost, beside the suggestion? And what do two Ray workers gain over one process?

The trials of the first question return at once, after three evaluations; record, folder, page and note-reading are
those of `subarch search`. Of each trial the wall-clock and processor time of the driver between two ends is taken, less
the sampler's; `idle` is how long a worker waits between two trials. Those of the second (`--throughput`) take a second
of processor time, each on one core.

    python benchmarks/search_overhead.py --trials 100 --json out/search_overhead.json
    python benchmarks/search_overhead.py --throughput --trials 60 --json out/search_throughput.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from subarch.optimize.domain import Choice, Domain, Float, Int
from subarch.optimize.metrics import Metric
from subarch.optimize.parameters import Params
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.base import Sampler
from subarch.optimize.samplers.registry import make_sampler
from subarch.optimize.trials import Trial
from subarch.running.executor import Executor, InProcessExecutor
from subarch.running.machine import describe_machine
from subarch.running.process_executor import ProcessExecutor
from subarch.running.processes import available_processes
from subarch.session.output import claim
from subarch.session.session import Session
from subarch.stages.trials.attempts import Trying
from subarch.stages.trials.driver import Driver, Plan
from subarch.stages.trials.ledger import Entry, Ledger
from subarch.stages.trials.reporting import Reporter
from subarch.stages.trials.thresholds import noted
from subarch.tracking.record import Record

SEED = 0
EVALUATIONS = 3
WHERE = ("process", "workers", "ray")


@dataclass(frozen=True)
class Task:
    """What a cheap trial needs."""

    params: dict[str, Any]
    seconds: float


def cheap_trial(task: Task, tell: Any) -> dict[str, Any]:
    """A trade-off of two metrics, after so many seconds of processor time."""
    began, start = time.time(), time.thread_time()
    x, size = task.params["x0"], task.params["size"]
    for step in range(1, EVALUATIONS + 1):
        while time.thread_time() < start + task.seconds * step / EVALUATIONS:
            pass
        tell({"event": "evaluation", "step": step, "progress": step / EVALUATIONS, "score": x * step / EVALUATIONS})
    score = 1 - (x - 0.3) ** 2 - 0.5 / size
    ended = {"began": began, "ended": time.time(), "worker": os.getpid()}
    return {"metrics": {"score": score, "cost": float(size)}, "errors": {"score": 0.01}, **ended}


def problem() -> Problem:
    """Ten parameters, as many as a search of compressions has; two metrics and a threshold."""
    numbers = {f"x{index}": Float(low=0.0, high=1.0) for index in range(6)}
    rest = {"size": Int(low=1, high=30), "depth": Int(low=1, high=12)}
    names = {name: Choice(values=("a", "b", "c")) for name in ("kind", "start")}
    return Problem(
        domain=Domain(parameters={**numbers, **rest, **names}),
        metrics=(Metric(name="score", threshold=0.6), Metric(name="cost", direction="minimize")),
    )


@dataclass
class Timed:
    """A sampler whose time is known."""

    inner: Sampler
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the sampler's."""
        return self.inner.name

    def suggest(self, problem: Problem, trials: Sequence[Trial], rng: np.random.Generator) -> Params:
        """As the sampler's."""
        wall, cpu = time.perf_counter(), time.process_time()
        found = self.inner.suggest(problem, trials, rng)
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        return found


@dataclass
class Ends:
    """What the driver's clock said when each trial had ended, and when each ran."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    suggested: list[tuple[float, float]] = field(default_factory=list)
    """Sums of what the sampler took until then."""
    ran: list[Mapping[str, Any]] = field(default_factory=list)

    def note(self, sampler: Timed, value: Mapping[str, Any]) -> None:
        """A trial has ended."""
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.suggested.append((sum(sampler.wall), sum(sampler.cpu)))
        self.ran.append(value)

    def own(self, skipped: int) -> tuple[np.ndarray, np.ndarray]:
        """(wall, cpu) in seconds between two ends, without the suggestions; the first ones are left out."""
        wall, cpu = (np.diff(values)[skipped:] for values in (self.wall, self.cpu))
        suggested = np.diff(np.array(self.suggested), axis=0)[skipped:]
        return wall - suggested[:, 0], cpu - suggested[:, 1]

    def idle(self, skipped: int) -> np.ndarray:
        """Seconds between two trials of one worker."""
        found, last = [], {}
        for number, row in enumerate(self.ran):
            before = last.get(row["worker"])
            if before is not None and number > skipped:
                found.append(row["began"] - before)
            last[row["worker"]] = row["ended"]
        return np.array(found)


@contextmanager
def executor_of(where: str, workers: int) -> Iterator[Executor]:
    """Where the trials run."""
    if where == "ray":
        from subarch.running.ray_executor import RayExecutor

        with RayExecutor("local", workers=workers) as cluster:
            yield cluster
    else:
        yield InProcessExecutor() if where == "process" else ProcessExecutor(workers, threads_per_worker=1)


def search(where: str, workers: int, given: argparse.Namespace, seconds: float) -> tuple[Ends, Timed]:
    """Search once, in a folder and a record of its own."""
    sampler, ends = Timed(make_sampler(given.sampler, SEED)), Ends()
    with tempfile.TemporaryDirectory(dir=given.folder) as name, executor_of(where, workers) as executor:
        session = Session(record=Record.open(f"sqlite:///{name}/record.db"))
        with claim(Path(name) / "out", "search", {"seed": SEED}) as folder, session.recorded(folder, "cheap") as run:
            driver = Driver(
                Plan(problem=problem(), sampler=sampler, trials=given.trials, seed=SEED),
                Ledger(session.record, run.run_id),
            )
            reporter = Reporter(folder=folder.path, title="cheap", facts={})

            def told(driver: Driver, entry: Entry, value: Mapping[str, Any]) -> None:
                reporter.keep_slices(entry, value)
                with noted(folder.path):
                    pass
                session.tell("trials", **driver.progress())
                reporter.refresh(driver)
                ends.note(sampler, value)

            trying = Trying(
                executor=executor, function=cheap_trial, task_of=lambda entry: Task(dict(entry.params), seconds)
            )
            driver.run(trying, told)
    return ends, sampler


def overheads(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each place."""
    rows = []
    for where in given.where:
        ends, sampler = search(where, 2, given, 0.0)
        skipped = 2  # the first ones wait for their workers to start
        wall, cpu = ends.own(skipped)
        row: dict[str, Any] = {"where": where}
        measured = {"wall": wall, "cpu": cpu, "idle": ends.idle(skipped), "suggestion": np.array(sampler.wall)}
        for name, values in measured.items():
            row |= {
                f"{name}_ms": 1000 * float(np.median(values)),
                f"{name}_p90_ms": 1000 * float(np.quantile(values, 0.9)),
            }
        rows.append(row)
        show(rows[-1:], header=len(rows) == 1)
    return rows


def throughputs(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Trials an hour in one process, with two processes and two Ray workers; each from its first to its last end."""
    rows: list[dict[str, Any]] = []
    for where in given.where:
        ends, _ = search(where, 2, given, given.seconds)
        busy = [row["ended"] - row["began"] for row in ends.ran]
        # The first trials of the others share their time with what starts: both count from a trial's end.
        first = 0 if where == "process" else 1
        hourly = 3600 * (len(ends.wall) - 1 - first) / (ends.wall[-1] - ends.wall[first])
        rows.append({"where": where, "trial_seconds": float(np.median(busy)), "trials_per_hour": hourly})
        rows[-1]["gain"] = hourly / rows[0]["trials_per_hour"]
        show(rows[-1:], header=len(rows) == 1)
    return rows


def show(rows: list[dict[str, Any]], *, header: bool) -> None:
    """Print rows of a table."""
    if header:
        print("  ".join(f"{name:>17}" for name in rows[0]))
    for row in rows:
        cells = (value if isinstance(value, str) else f"{value:.2f}" for value in row.values())
        print("  ".join(f"{cell:>17}" for cell in cells), flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--where", nargs="+", choices=WHERE, default=list(WHERE))
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--throughput", action="store_true", help="trials an hour instead")
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time of a trial, with --throughput")
    parser.add_argument("--folder", type=Path, help="on the disk that counts; the temporary one by default")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = throughputs(given) if given.throughput else overheads(given)
    print(f"load average {load:.1f} before, on {available_processes()} processors")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {"trials": given.trials, "sampler": given.sampler, "seed": SEED, "load": load}
        settings["machine"] = describe_machine()
        given.json.write_text(json.dumps({**settings, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
