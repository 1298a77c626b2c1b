"""Which sampler finds the best front in as many trials: ours, Optuna's, BoTorch, Ax, SigOpt's, random.

    python benchmarks/samplers.py --seeds 0-9 --trials 100 --out out/samplers
    python benchmarks/samplers.py --seeds 0-9 --trials 100 --pending 8 --out out/samplers
    python benchmarks/samplers.py --problems zdt1 dtlz2 --samplers bayesian optuna-gp --trials 300 --out out/samplers

Hypervolume is of the trials that ended so far, noise-free, over the thresholds and the reference of each problem, and
shown as a share of the best that any sampler reached there in any run. With --pending 8, eight trials are in flight,
and the oldest one is told next. Ranks are taken per problem and seed among those that can take the problem. A sampler
that is not installed is left out, one that raises keeps what it had. Each run is kept in a file of its own: an
interrupted benchmark goes on, one with more seeds or samplers adds to it. `--archive FILE` adds the runs to a
compressed file, without their configurations, and takes from it those that it holds; runs of a few seconds are done
again instead. Those of docs/results.md are in `benchmarks/data/samplers.jsonl.gz`. After changing a sampler, `--forget`
it: all its runs leave the folder and the archive. Seconds are those of asking and telling, by the clock and by the
processor (on a busy machine the second is the one to believe); set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from json_lines import read_lines, write_lines
from sampler_peers import SAMPLERS, Peer, Sampler, quiet, version
from sampler_problems import PROBLEMS, Failed, Task, task
from sampler_report import markdown, report
from subarch.errors import UserError
from subarch.running.machine import describe_machine
from subarch.storage import write_json

BROKEN = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, UserError)
"""What a sampler may raise without ending the benchmark."""
WORTH_KEEPING = 4.0
"""Processor seconds of a run that goes into an archive."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sampler on one problem under one seed."""

    problem: str
    sampler: str
    seed: int
    trials: int
    pending: int
    out: Path

    @property
    def path(self) -> Path:
        problem = self.problem.replace("/", "_").replace(":", "-")
        return self.out / "runs" / f"{problem}_{self.sampler}_p{self.pending}_t{self.trials}_s{self.seed}.json"

    @property
    def name(self) -> str:
        """In an archive, where a table goes by the name of its file."""
        return f"{Path(self.problem).name}_{self.sampler}_p{self.pending}_t{self.trials}_s{self.seed}"


def main() -> None:
    arguments = parse()
    runs = list(planned(arguments))
    archived = read_archive(arguments.archive)
    for name in arguments.forget:
        archived = {key: run for key, run in archived.items() if run["sampler"] != name}
        for path in (arguments.out / "runs").glob(f"*_{name}_p*.json"):
            path.unlink()
    if arguments.archive is not None and arguments.forget:
        write_archive(arguments.archive, archived)
    missing = [run for run in runs if run.name not in archived and not run.path.exists()]
    print(f"{len(runs)} runs, {len(runs) - len(missing)} of them done", file=sys.stderr)
    for done, run in enumerate(carried_out(missing, arguments.processes), start=1):
        print(f"{done}/{len(missing)} {run.path.stem}", file=sys.stderr, flush=True)
    results = [
        {**archived[run.name], "problem": run.problem}
        if run.name in archived
        else json.loads(run.path.read_text(encoding="utf-8"))
        for run in runs
    ]
    if arguments.archive is not None:
        write_archive(arguments.archive, archived | {run.name: r for run, r in zip(runs, results, strict=True)})
    checkpoints = [n for n in (25, 50, 100, 200, 300) if n <= arguments.trials] or [arguments.trials]
    content = report(results, {name: task(name) for name in arguments.problems}, checkpoints)
    content["machine"] = describe_machine()
    content["versions"] = {
        sampler.package: version(sampler.package)
        for name, sampler in SAMPLERS.items()
        if name in arguments.samplers and sampler.missing() is None
    }
    write_json(arguments.out / f"samplers-p{arguments.pending}-t{arguments.trials}.json", content)
    print(markdown(content))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), help="by name, or table:FILE")
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--seeds", type=seeds, default=seeds("0-9"), help="such as 0-9 or 0,3")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--pending", type=int, default=1, help="trials in flight")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--archive", type=Path, help="compressed file of runs, read and added to")
    parser.add_argument("--forget", nargs="+", default=[], choices=list(SAMPLERS), help="run these anew, all of theirs")
    return parser.parse_args()


def seeds(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def read_archive(path: Path | None) -> dict[str, dict[str, Any]]:
    """The runs by their names."""
    return {} if path is None or not path.exists() else {row["name"]: row for row in read_lines(path)}


def write_archive(path: Path, runs: dict[str, dict[str, Any]]) -> None:
    """In the order of their names, without configurations, those that took long."""
    rows = []
    for name, run in sorted(runs.items()):
        if sum(trial["cpu_seconds"] for trial in run["trials"]) < WORTH_KEEPING:
            continue
        trials = [
            {key: short(key, value) for key, value in trial.items() if key != "params"} for trial in run["trials"]
        ]
        rows.append({**run, "name": name, "problem": Path(run["problem"]).name, "trials": trials})
    write_lines(path, rows)


def short(key: str, value: Any) -> Any:
    """Six digits tell hypervolumes apart; of seconds, two are more than a machine repeats."""
    if isinstance(value, dict):
        return {name: short(name, inner) for name, inner in value.items()}
    digits = 2 if key.endswith("seconds") else 6
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def planned(arguments: argparse.Namespace) -> Iterator[Run]:
    """Seed by seed, so that what an interrupted benchmark has done covers all problems and samplers."""
    possible = []
    for name in arguments.samplers:
        missing = SAMPLERS[name].missing()
        if missing:
            print(f"{name} left out: {missing} is not installed", file=sys.stderr)
        else:
            possible.append(name)
    for seed, problem, name in product(arguments.seeds, arguments.problems, possible):
        if SAMPLERS[name].refuses(task(problem)) is None:
            yield Run(
                problem=problem,
                sampler=name,
                seed=seed,
                trials=arguments.trials,
                pending=arguments.pending,
                out=arguments.out,
            )


def carried_out(runs: list[Run], processes: int) -> Iterator[Run]:
    if processes == 1:
        yield from map(carry_out, runs)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(carry_out, runs)


def carry_out(run: Run) -> Run:
    quiet()
    run.path.parent.mkdir(parents=True, exist_ok=True)
    write_json(run.path, search(run, task(run.problem), SAMPLERS[run.sampler]))
    return run


def search(run: Run, problem: Task, sampler: Sampler) -> dict[str, Any]:
    """Its trials in the order in which they were told, and what the sampler took."""
    found: dict[str, Any] = {
        "problem": run.problem,
        "sampler": run.sampler,
        "seed": run.seed,
        "pending": run.pending,
        "trials": [],
        "error": None,
    }
    peer = sampler.make(problem, run.seed, run.trials)
    try:
        for trial in told(run, problem, peer):
            found["trials"].append(trial)
    except BROKEN as error:
        found["error"] = f"{type(error).__name__}: {str(error)[:300]}"
    return found


def told(run: Run, problem: Task, peer: Peer) -> Iterator[dict[str, Any]]:
    flying: deque[dict[str, Any]] = deque()
    asked = 0
    while asked < run.trials or flying:
        while asked < run.trials and len(flying) < run.pending:
            clock = Clock()
            number, params = peer.ask()
            flying.append({"number": number, "params": params, **clock.spent()})
            asked += 1
        trial = flying.popleft()
        number = trial.pop("number")
        # The same noise for all samplers: of the seed and of how many trials were told before.
        rng = np.random.default_rng([run.seed, asked - len(flying)])
        try:
            trial["metrics"] = problem.truth(trial["params"])
            reported = problem.reported(trial["metrics"], rng)
        except Failed as failure:
            trial["failed"], reported = str(failure), None
        clock = Clock()
        peer.tell(number, reported)
        for name, value in clock.spent().items():
            trial[name] += value
        yield trial


class Clock:
    def __init__(self) -> None:
        self._seconds, self._cpu = time.perf_counter(), time.process_time()

    def spent(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._seconds, "cpu_seconds": time.process_time() - self._cpu}


if __name__ == "__main__":
    main()
