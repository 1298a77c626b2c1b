"""Does a search survive any kill? Random `kill -9` of driver and workers, a truncated store, a full disk.

Searches of cheap trials run in a process of their own, through the same driver, ledger and executors as `subarch
search`. They are killed at random moments and continued until all trials have ended. Counted are trials that were
acknowledged and are gone, trials that count twice, runs that are left running, calls that stall; and the suggestions of
every sequential search are compared with those of one that nobody killed.

    python benchmarks/search_kills.py --kills 200 --json out/search_kills.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subarch.command import guarded
from subarch.optimize.domain import Choice, Domain, Float, Int
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.registry import make_sampler
from subarch.running.executor import InProcessExecutor
from subarch.running.process_executor import ProcessExecutor
from subarch.stages.output import claim
from subarch.stages.session import Session
from subarch.stages.trials.attempts import Trying
from subarch.stages.trials.driver import Driver, Plan
from subarch.stages.trials.ledger import OUTCOME_TAG, TRIAL_TAG, Entry, Ledger
from subarch.tracking.record import Record

SEED = 5
STALL = 120.0
"""Seconds without a sign of life after which a call counts as stalled."""
TRIAL_SECONDS = 0.01


@dataclass(frozen=True)
class Task:
    """What a cheap trial needs."""

    params: dict[str, Any]


def task_of(entry: Entry) -> Task:
    """The task of an entry."""
    return Task(dict(entry.params))


def cheap_trial(task: Task, tell: Any) -> dict[str, Any]:
    """A trade-off of two metrics that takes milliseconds; some configurations fail."""
    x, size, kind = task.params["x"], int(task.params["size"]), task.params["kind"]
    time.sleep(TRIAL_SECONDS)
    tell({"event": "evaluation", "step": 1, "progress": 0.5, "score": x})
    if kind == "b" and x > 0.9:
        raise RuntimeError("out of memory")
    score = 1 - (x - 0.3) ** 2 - 0.5 / size - (0.05 if kind == "c" else 0.0)
    return {"metrics": {"score": score, "cost": float(size)}, "errors": {"score": 0.01}}


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


def run_child(folder: Path, trials: int, workers: int, sampler: str, seed: int) -> int:
    """One call of a search, as the command makes it; says "ready", and each trial that it acknowledges."""

    def work() -> None:
        session = Session(record=Record.open(f"sqlite:///{folder}/record.db"))
        with (
            claim(folder / "out", "search", {"seed": seed}) as claimed,
            session.recorded(claimed, "cheap") as run,
            (folder / "acknowledged").open("a", encoding="utf-8") as log,
        ):
            ledger = Ledger(session.record, run.run_id)
            driver = Driver(
                Plan(problem=problem(), sampler=make_sampler(sampler, seed), trials=trials, seed=seed), ledger
            )
            executor = InProcessExecutor() if workers == 1 else ProcessExecutor(workers, threads_per_worker=1)
            trying = Trying(executor=executor, function=cheap_trial, task_of=task_of, attempts=20)
            print("ready", flush=True)

            def told(driver: Driver, entry: Entry, value: Any) -> None:
                metrics = {} if entry.ending is None else dict(entry.ending.metrics)
                log.write(json.dumps({"number": entry.number, "metrics": metrics}) + "\n")
                log.flush()
                os.fsync(log.fileno())
                print("told", entry.number, flush=True)

            driver.run(trying, told)

    return guarded(work)


@dataclass
class Tally:
    """What was done, and what went wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    searches: int = 0
    calls: int = 0
    lost: int = 0
    double: int = 0
    left_running: int = 0
    stalled: int = 0
    unclear: int = 0
    """Calls that ended badly without being killed, or with a traceback instead of one line."""
    other_suggestions: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Search:
    """A search in a folder, started and killed from outside."""

    folder: Path
    trials: int
    workers: int
    sampler: str
    seed: int
    tally: Tally
    rng: random.Random

    def start(self, limit: int | None = None) -> subprocess.Popen[str]:
        """Begin a call; with `limit`, no file may grow beyond so many bytes."""
        self.tally.calls += 1
        words = [sys.executable, __file__, "--child", self.folder, "--trials", self.trials, "--workers", self.workers]
        words += ["--sampler", self.sampler, "--seed", self.seed]

        def restrict() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("w"),
            text=True,
            preexec_fn=restrict,
        )

    def errors(self) -> str:
        """What the last call said."""
        return (self.folder / "stderr").read_text(encoding="utf-8")

    def finish(self, limit: int | None = None) -> int | None:
        """Run a call to its end; None where it stalls."""
        process = self.start(limit)
        try:
            process.communicate(timeout=STALL)
        except subprocess.TimeoutExpired:
            kill(process.pid)
            self.tally.stalled += 1
            return None
        return process.returncode

    def kill_once(self, victim: str) -> None:
        """Begin a call and kill it, or one of its workers, at a random moment; a call that survives goes on."""
        process = self.start()
        assert process.stdout is not None
        told, wanted = 0, self.rng.randrange(0, max(1, self.trials // 2))
        # A third of the kills come while it starts: importing, opening the record, replaying.
        deadline = time.monotonic() + (self.rng.uniform(0, 4) if self.rng.random() < 0.33 else math.inf)
        os.set_blocking(process.stdout.fileno(), False)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < deadline and told < wanted + 1:
            line = process.stdout.readline()
            told += line.startswith(("told", "ready"))
            if not line:
                time.sleep(0.001)
            if time.monotonic() - began > STALL:
                self.tally.stalled += 1
                break
        time.sleep(self.rng.uniform(0, 0.15))
        if victim == "worker" and process.poll() is None:
            workers = [pid for pid in children(process.pid) if "spawn_main" in command_line(pid)]
            if workers:
                kill(self.rng.choice(workers))
                self.tally.kills["worker"] += 1
                os.set_blocking(process.stdout.fileno(), True)
                try:
                    process.communicate(timeout=STALL)
                except subprocess.TimeoutExpired:
                    self.tally.stalled += 1
                    kill(process.pid)
                self.judge(process.returncode)
                return
        if process.poll() is None:
            kill(process.pid)
            self.tally.kills["driver"] += 1
        else:
            self.judge(process.returncode)
        process.wait()

    def judge(self, code: int | None) -> None:
        """Note a call that should have ended well and did not."""
        if code:
            self.tally.unclear += 1
            self.tally.notes.append(f"exit code {code}: {self.errors()[-500:]}")

    def expect_one_line(self, code: int | None, what: str) -> None:
        """A call that could not go on says why in one line, with exit code 1 or 2."""
        text = self.errors()
        if code not in (1, 2) or "Traceback" in text or not text.splitlines()[-2:][0].startswith(("error:", "hint:")):
            self.tally.unclear += 1
            self.tally.notes.append(f"{what}, exit code {code}: {text[-500:]}")

    def acknowledged(self) -> dict[int, dict[str, float]]:
        """Trials of which a call said that they ended."""
        file = self.folder / "acknowledged"
        found = {}
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            with suppress(json.JSONDecodeError):  # a kill may come while it is written
                row = json.loads(line)
                found[row["number"]] = row["metrics"]
        return found

    def check(self) -> list[dict[str, Any]]:
        """Count what is wrong in the record of the finished search, and return its suggestions."""
        runs = Record.open(f"sqlite:///{self.folder}/record.db").runs("trial")
        ended: dict[int, dict[str, float]] = {}
        params: dict[int, dict[str, Any]] = {}
        for run in runs:
            trial = json.loads(run["tags"][TRIAL_TAG])
            params[trial["number"]] = trial["params"]
            self.tally.left_running += run["status"] == "RUNNING"
            if OUTCOME_TAG in run["tags"]:
                self.tally.double += trial["number"] in ended
                ended[trial["number"]] = json.loads(run["tags"][OUTCOME_TAG])["metrics"]
        self.tally.lost += sum(ended.get(number) != metrics for number, metrics in self.acknowledged().items())
        self.tally.lost += self.trials - len(ended)
        return [params[number] for number in sorted(params)]


def children(pid: int) -> list[int]:
    """Processes that this one started."""
    with suppress(OSError):
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def command_line(pid: int) -> str:
    """How a process was started."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def kill(pid: int) -> None:
    """kill -9."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def damage(search: Search) -> bool:
    """A truncated store and a full disk, where there is a store yet: each is said in one line, and loses nothing."""
    store, copy = search.folder / "record.db", search.folder / "copy.db"
    if not store.exists():
        return False
    shutil.copy(store, copy)
    os.truncate(store, store.stat().st_size // 2)
    search.expect_one_line(search.finish(), "truncated store")
    search.tally.kills["truncated store"] += 1
    for journal in search.folder.glob("record.db-*"):
        journal.unlink()
    shutil.copy(copy, store)
    code = search.finish(limit=store.stat().st_size)
    if code != 0:  # free pages may have been enough for what remained
        search.expect_one_line(code, "full disk")
        search.tally.kills["full disk"] += 1
    return True


def main() -> None:
    """Kill, resume, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of driver or worker")
    parser.add_argument("--trials", type=int, default=16, help="of each search")
    parser.add_argument("--kills-per-search", type=int, default=5)
    parser.add_argument("--sampler", default="bayesian")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        sys.exit(run_child(given.child, given.trials, given.workers, given.sampler, given.seed))
    tally, rng = Tally(), random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)

        def new(folder: str, workers: int) -> Search:
            (base / folder).mkdir()
            return Search(base / folder, given.trials, workers, given.sampler, given.seed, tally, rng)

        whole = new("whole", 1)
        whole.judge(whole.finish())
        expected = whole.check()
        while sum(tally.kills[victim] for victim in ("driver", "worker")) < given.kills:
            tally.searches += 1
            search = new(f"search-{tally.searches}", 1 + tally.searches % 2)
            left = given.kills - sum(tally.kills[victim] for victim in ("driver", "worker"))
            damaged = False
            for number in range(min(left, given.kills_per_search)):
                search.kill_once("worker" if number and search.workers > 1 and rng.random() < 0.5 else "driver")
                if tally.searches % 2 and not damaged and len(search.acknowledged()) < given.trials:
                    damaged = damage(search)
            search.judge(search.finish())
            suggested = search.check()
            if search.workers == 1 and suggested != expected:
                tally.other_suggestions += 1
    report(tally, given)


def report(tally: Tally, given: argparse.Namespace) -> None:
    """Print the table, and write the numbers."""
    rows = {
        **{f"kills: {victim}" if victim in ("driver", "worker") else victim: n for victim, n in tally.kills.items()},
        "searches": tally.searches,
        "calls": tally.calls,
        "acknowledged trials lost": tally.lost,
        "trials counted twice": tally.double,
        "left running": tally.left_running,
        "calls that stalled": tally.stalled,
        "unclear ends": tally.unclear,
        "sequential searches with other suggestions": tally.other_suggestions,
    }
    width = max(map(len, rows))
    for label, value in rows.items():
        print(f"{label:{width}}  {value}")
    for note in tally.notes[:10]:
        print(f"note: {note}")
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        settings = {"trials": given.trials, "sampler": given.sampler, "seed": given.seed}
        given.json.write_text(json.dumps({**settings, **rows, "notes": tally.notes}, indent=2) + "\n")


if __name__ == "__main__":
    main()
