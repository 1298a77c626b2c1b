"""Which of a training's five validations should its weights be kept of, where few rows validate?

    python benchmarks/checkpoint_rule.py --tasks qnli-500 sst2-500 --out out/agora

Teachers, students and data are those of `agora.py --choose`, whose folder `--out` is; dev sets are not opened. Each
training has `--steps` steps and is asked about all held-out training rows at each of its validations. Then E is drawn
from those rows `DRAWS` times, each rule chooses by E alone, and is scored on the rows that are left:

- earliest, latest: the highest score on E, the earliest or the latest of equal ones;
- within one error: the latest within one standard error of the highest score;
- last: the weights after the last step, whatever E says.

The table has accuracy in points above "earliest", mean over trainings and draws, for several sizes of E.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import agora
from subarch.running.machine import describe_machine
from subarch.stages import classify
from subarch.stages.finetuning import DistillationConfig, FinetuneConfig
from subarch.stages.inputs import DataConfig, ModelFolder, aligned, load_data
from subarch.stages.session import Session
from subarch.tasks.base import Examples, Task
from subarch.training.classifier import EncodedData
from subarch.training.loop import LoopConfig, ignore_event
from subarch.training.predict import predict

SIZES = (40, 75, 150, 500)
"""Of E."""
DRAWS = 2000
RULES = ("earliest", "latest", "within one error", "last")


def main() -> None:
    arguments = parse()
    file = arguments.out / "checkpoint_rule.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    wanted = itertools.product(arguments.seeds, arguments.tasks, arguments.rates, ("plain", "distilled"))
    for seed, task, rate, way in wanted:
        key = {"task": task, "seed": seed, "learning_rate": rate, "way": way, "steps": arguments.steps}
        if any(key.items() <= row.items() for row in known):
            continue
        row = key | {"right": [line.tolist() for line in one_training(arguments, key).astype(int)]}
        with file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        known.append(row)
        print(key, [round(100 * float(np.mean(line)), 1) for line in row["right"]], flush=True)
    print(table([row for row in known if row["task"] in arguments.tasks and row["steps"] == arguments.steps]))
    print(describe_machine())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=agora.TO_CHOOSE, default=["qnli-500", "sst2-500"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-4, 3e-4])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--teachers", type=Path, help="as of agora.py")
    parser.add_argument("--out", type=Path, default=Path("out/agora"))
    return argparse.Namespace(**vars(parser.parse_args()), choose=True)


def one_training(arguments: argparse.Namespace, key: dict[str, Any]) -> np.ndarray:
    """(validations, rows) whether each held-out row was answered rightly."""
    teacher_folder, student_folder, layers = agora.teacher_and_student(arguments, key["task"])
    model, teacher = ModelFolder.of(str(student_folder)), ModelFolder.of(str(teacher_folder))
    source = DataConfig(**agora.data_of(arguments, key["task"]))
    data = aligned(load_data(source), teacher)
    right: list[np.ndarray] = []

    def scorer(_: Task, encoded: EncodedData, examples: Examples) -> Callable[[Any], float]:
        def score(trained: Any) -> float:
            right.append(predict(trained, encoded.encoded, encoded.pad_token_id).argmax(1) == examples.labels)
            return float(right[-1].mean())

        return score

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(classify, "scorer", scorer):
        config = FinetuneConfig(
            model=str(student_folder),
            out=Path(folder),
            data=source,
            seed=key["seed"],
            max_length=agora.LONGEST,
            distillation=DistillationConfig(layers=tuple(layers)),
            loop=LoopConfig(
                learning_rate=key["learning_rate"],
                batch_size=arguments.batch_size,
                epochs=1000.0,
                max_steps=key["steps"],
            ),
        )
        inputs = (replace(data, validation=data.test), model, teacher if key["way"] == "distilled" else None)
        classify.train_classifier(config, Session(), inputs, ignore_event)
    return np.asarray(right)


def chosen(scores: np.ndarray, size: int) -> dict[str, int]:
    """The validation that each rule keeps, by the accuracies on an E of this size."""
    highest = float(scores.max())
    error = (highest * (1 - highest) / size) ** 0.5
    last = len(scores) - 1
    return {
        "earliest": int(scores.argmax()),
        "latest": last - int(scores[::-1].argmax()),
        "within one error": last - int((scores[::-1] >= highest - error).argmax()),
        "last": last,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | E | " + " | ".join(RULES) + " | best of the five |", "|---|--:|" + "--:|" * (len(RULES) + 1)]
    for task, way in sorted({(row["task"], row["way"]) for row in rows}):
        for size in SIZES:
            gains = []
            for row in rows:
                if (row["task"], row["way"]) == (task, way):
                    gains.append(gained(np.asarray(row["right"], float), size))
            means = 100 * np.mean(gains, 0)
            cells = [f"{mean:+.2f}" for mean in means]
            lines.append(f"| {task}, {way} | {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def gained(right: np.ndarray, size: int) -> np.ndarray:
    """(rules + 1,) accuracy on the rows outside E, above that of "earliest": mean over draws; last the best of five."""
    rng = np.random.default_rng(0)
    count = right.shape[1]
    total = np.zeros(len(RULES) + 1)
    for _ in range(DRAWS):
        inside = rng.choice(count, size, replace=False)
        scores = right[:, inside].mean(1)
        outside = (right.sum(1) - right[:, inside].sum(1)) / (count - size)
        kept = chosen(scores, size)
        total += [*(outside[kept[rule]] for rule in RULES), outside.max()]
    return (total - total[0]) / DRAWS


if __name__ == "__main__":
    main()
