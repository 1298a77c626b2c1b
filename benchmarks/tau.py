"""Points per minute that τ makes of real sentences, the share that the window keeps, and some of them to read.

    python benchmarks/tau.py --masked-lm DIR --sources 200 --show 50 --out pairs.txt --json tau.json

Every τ of the default mixture (casing too, as for a student that sees it) is timed alone, and all of them together as
`transform` mixes them: one point a source and τ. Sources are drawn from train. A first call on eight of them, which
builds tables, is not timed. "of CPU" counts the minutes that the process had a core, for a machine that does more
besides. The pairs to read are drawn evenly from tasks and τ.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from subarch.running.machine import describe_machine
from subarch.tasks.base import Examples, Task
from subarch.tasks.registry import load_task
from subarch.training.augment.base import AnyTransformation
from subarch.training.augment.mixture import NAMES, Ingredients, mixture
from subarch.training.augment.points import Points, transform
from subarch.training.augment.segments import is_symmetric
from subarch.training.augment.window import Window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--masked-lm", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "rte"])
    parser.add_argument("--sources", type=int, default=200)
    parser.add_argument("--each", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("tau.txt"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = AutoModelForMaskedLM.from_pretrained(arguments.masked_lm, dtype=torch.float32)
    masked_lm = (model, AutoTokenizer.from_pretrained(arguments.masked_lm))
    report: dict[str, Any] = {"threads": torch.get_num_threads(), "machine": describe_machine(), "tasks": {}}
    every: list[tuple[Task, Examples, Points]] = []
    for name in arguments.tasks:
        data = load_task(name)
        sources = data.train.sample(arguments.sources, seed=arguments.seed)
        names = [known for known in NAMES if known != "segments" or is_symmetric(data.task)]
        taus = mixture(Ingredients(task=data.task, student_tokenizer=masked_lm[1], masked_lm=masked_lm), names)
        transform(sources.take(np.arange(8)), data.task, taus, each=1, window=Window(), rng=np.random.default_rng(1))
        measured = {}
        for label, chosen in [("all together", taus), *((tau.name, (tau,)) for tau in taus)]:
            points, measured[label] = measure(data.task, sources, chosen, arguments)
            if label == "all together":
                every.append((data.task, sources, points))
        report["tasks"][name] = measured
        print(table(name, len(sources), measured))
    if arguments.show:
        arguments.out.write_text("\n".join(pairs(every, arguments.show, arguments.seed)), encoding="utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2), encoding="utf-8")


def measure(
    task: Task, sources: Examples, taus: Sequence[AnyTransformation], arguments: argparse.Namespace
) -> tuple[Points, dict[str, float]]:
    rng = np.random.default_rng(arguments.seed)
    started, worked = time.perf_counter(), time.process_time()
    points = transform(sources, task, taus, each=arguments.each, window=Window(), rng=rng)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    counts = list(points.counts.values())
    produced = sum(count.produced for count in counts)
    refused = sum(count.too_near + count.too_far for count in counts)
    return points, {
        "points": len(points),
        "points_per_minute": round(60 * len(points) / seconds),
        "points_per_cpu_minute": round(60 * len(points) / cpu_seconds),
        "share_of_asked": round(sum(count.kept for count in counts) / sum(count.asked for count in counts), 3),
        "share_in_window": round(1 - refused / max(produced, 1), 3),
        **{
            name: sum(getattr(count, name) for count in counts)
            for name in ("produced", "too_near", "too_far", "repeated", "lost", "nothing")
        },
    }


def table(task: str, sources: int, measured: dict[str, dict[str, float]]) -> str:
    lines = [
        f"{task}, {sources} sources",
        f"{'τ':14}{'points':>8}{'per minute':>12}{'of CPU':>10}{'of asked':>10}{'in window':>11}{'near':>7}{'far':>7}"
        f"{'again':>7}{'lost':>7}{'nothing':>9}",
    ]
    for name, row in measured.items():
        refused = "".join(f"{row[key]:>7}" for key in ("too_near", "too_far", "repeated", "lost"))
        lines.append(
            f"{name:14}{row['points']:>8}{row['points_per_minute']:>12,}{row['points_per_cpu_minute']:>10,}{row['share_of_asked']:>10.1%}"
            f"{row['share_in_window']:>11.1%}{refused}{row['nothing']:>9}"
        )
    return "\n".join(lines) + "\n"


def pairs(every: list[tuple[Task, Examples, Points]], count: int, seed: int) -> list[str]:
    """Sources and their points, drawn in turn from each task's τ."""
    rng = np.random.default_rng(seed)
    queues = []
    for task, sources, points in every:
        for name in dict.fromkeys(points.transformations):
            rows = np.flatnonzero(np.array(points.transformations) == name)
            queues.append((task, sources, points, rng.permutation(rows).tolist()))
    lines: list[str] = []
    number = 0
    while number < count and any(rows for *_, rows in queues):
        for index in rng.permutation(len(queues)).tolist():
            task, sources, points, rows = queues[index]
            if rows and number < count:
                number += 1
                lines += shown_pair(number, task, sources, (points, rows.pop()))
    return lines


def shown_pair(number: int, task: Task, sources: Examples, point: tuple[Points, int]) -> list[str]:
    points, row = point
    source = int(points.sources[row])
    lines = [f"{number}. {task.name}, {points.transformations[row]}"]
    sides = [(sources.texts[source], points.examples.texts[row])]
    if sources.pairs is not None and points.examples.pairs is not None:
        sides.append((sources.pairs[source], points.examples.pairs[row]))
    for old, new in sides:
        lines += [f"   - {old}"] + ([f"   + {new}"] if new != old else [])
    return [*lines, ""]


if __name__ == "__main__":
    main()
