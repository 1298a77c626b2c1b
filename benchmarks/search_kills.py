"""Does a search survive any kill? Random `kill -9` of driver, workers and Ray head, a truncated store, a full disk.

Searches of cheap trials run in a process of their own (`search_kills_driver.py`), through the same driver, ledger and
executors as `subarch search`. They are killed at random moments and continued until all trials have ended. Counted are
trials that were acknowledged and are gone, trials that count twice, runs that are left running, calls that stall; and
the suggestions of every sequential search are compared with those of one that nobody killed.

    python benchmarks/search_kills.py --kills 200 --ray-head 10 --json out/search_kills.json
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

from subarch.stages.trials.ledger import OUTCOME_TAG, TRIAL_TAG
from subarch.tracking.record import Record

SEED = 5
STALL = 120.0
"""Seconds without a sign of life after which a call counts as stalled."""
DRIVER = "from search_kills_driver import main; main()"
"""A command, not a file, which every worker process would import anew."""
VICTIMS = {"worker": ("spawn_main", "ray::"), "head": ("gcs_server",), "raylet": ("raylet/raylet",)}
"""Which processes below the driver are meant: what their command lines hold."""


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
    where: str
    """process, workers or ray."""
    given: argparse.Namespace
    tally: Tally
    rng: random.Random

    def start(self, limit: int | None = None) -> subprocess.Popen[str]:
        """Begin a call; with `limit`, no file may grow beyond so many bytes."""
        self.tally.calls += 1
        words = [sys.executable, "-c", DRIVER, "--folder", self.folder, "--where", self.where]
        for name in ("trials", "sampler", "seed"):
            words += [f"--{name}", getattr(self.given, name)]
        here = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]

        def restrict() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("w"),
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, here))},
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
            self._give_up(process)
            return None
        return process.returncode

    def kill_some(self, victim: str, left: int) -> None:
        """Begin a call and kill it, or something below it, at a random moment; a call that survives goes on.

        Workers die as often as the call gives occasion, at most so many times.
        """
        process = self.start()
        # A third of the kills come while it starts: importing, opening the record, replaying.
        early = victim == "driver" and self.rng.random() < 0.33
        killed = 0
        while self._wait(process, early=early) and killed < left:
            time.sleep(self.rng.uniform(0, 0.15))
            found = [process.pid] if victim == "driver" else below(process.pid, VICTIMS[victim])
            if process.poll() is None and found:
                kill(self.rng.choice(found))
                self.tally.kills[victim] += 1
                killed += 1
            if victim != "worker":
                break
        try:
            process.communicate(timeout=STALL)
        except subprocess.TimeoutExpired:
            self._give_up(process)
            return
        if victim in ("head", "raylet") and killed and process.returncode:
            self.expect_one_line(process.returncode, f"kill of the {victim}")
        elif victim != "driver" or not killed:
            self.judge(process.returncode)

    def _give_up(self, process: subprocess.Popen[str]) -> None:
        kill(process.pid)
        self.tally.stalled += 1
        load = os.getloadavg()[0]
        self.tally.notes.append(
            f"no end in {STALL:.0f} s, load {load:.1f}, run in {self.where}: {self.errors()[-500:]}"
        )

    def _wait(self, process: subprocess.Popen[str], *, early: bool) -> bool:
        """Wait until a random number of trials were told; False where the call ended or stalls before."""
        assert process.stdout is not None
        wanted = self.rng.randrange(1, max(2, self.given.trials // 3))
        began = time.monotonic()
        deadline = began + (self.rng.uniform(0, 4) if early else math.inf)
        os.set_blocking(process.stdout.fileno(), False)
        told = 0
        while process.poll() is None and time.monotonic() < min(deadline, began + STALL) and told < wanted:
            line = process.stdout.readline()
            told += line.startswith(("told", "ready"))
            if not line:
                time.sleep(0.002)
        os.set_blocking(process.stdout.fileno(), True)
        return process.poll() is None and time.monotonic() < began + STALL

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
        self.tally.lost += self.given.trials - len(ended)
        return [params[number] for number in sorted(params)]


def below(pid: int, names: tuple[str, ...]) -> list[int]:
    """Processes that this one started, or that those started, with one of the names in their command line."""
    found = []
    for child in children(pid):
        if any(name in command_line(child) for name in names):
            found.append(child)
        found += below(child, names)
    return found


def children(pid: int) -> list[int]:
    """Processes that the threads of this one started."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


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
    parser.add_argument(
        "--ray-head", type=int, default=0, help="kills of the head of a Ray cluster, every third of its raylet"
    )
    parser.add_argument("--trials", type=int, default=16, help="of each search")
    parser.add_argument("--kills-per-search", type=int, default=8)
    parser.add_argument("--sampler", default="bayesian")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    tally, rng = Tally(), random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        Record.open(f"sqlite:///{base}/empty.db")

        def new(where: str) -> Search:
            tally.searches += 1
            folder = base / f"search-{tally.searches}"
            folder.mkdir()
            if tally.searches % 3:  # the others make their own, in seconds, and are killed in the middle of that too
                shutil.copy(base / "empty.db", folder / "record.db")
            return Search(folder, where, given, tally, rng)

        whole = new("process")
        whole.judge(whole.finish())
        expected = whole.check()
        while done(tally) < given.kills:
            ordinary(new("workers" if tally.searches % 2 else "process"), expected)
            print(f"{done(tally)} of {given.kills} kills", file=sys.stderr, flush=True)
        while tally.kills["head"] + tally.kills["raylet"] < given.ray_head:
            headless(new("ray"))
    report(tally, given)


def done(tally: Tally) -> int:
    """Kills of driver or worker."""
    return tally.kills["driver"] + tally.kills["worker"]


def ordinary(search: Search, expected: list[dict[str, Any]]) -> None:
    """Kill a search's driver and workers, damage its store, let it end, and compare."""
    tally, given = search.tally, search.given
    last = min(given.kills, done(tally) + given.kills_per_search)
    damaged = False
    for number in range(given.kills_per_search):
        if done(tally) >= last or len(search.acknowledged()) == given.trials:
            break
        worker = search.where == "workers" and number and search.rng.random() < 0.5
        search.kill_some("worker" if worker else "driver", min(3, last - done(tally)))
        if search.where == "process" and not damaged and len(search.acknowledged()) < given.trials:
            damaged = damage(search)
    search.judge(search.finish())
    suggested = search.check()
    if search.where == "process" and suggested != expected:
        tally.other_suggestions += 1


def headless(search: Search) -> None:
    """Kill the head of a search's Ray cluster again and again, let it end, and check."""
    tally = search.tally
    while (count := tally.kills["head"] + tally.kills["raylet"]) < search.given.ray_head:
        if len(search.acknowledged()) == search.given.trials:
            break
        search.kill_some("raylet" if count % 3 == 2 else "head", 1)
    search.judge(search.finish())
    search.check()


def report(tally: Tally, given: argparse.Namespace) -> None:
    """Print the table, and write the numbers."""
    rows = {
        **{what if " " in what else f"kills: {what}": count for what, count in tally.kills.items()},
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
