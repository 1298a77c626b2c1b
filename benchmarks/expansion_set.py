"""Which rows of E should judge the models of one iteration of Agora: the reserved half, or all of it?

    python benchmarks/expansion_set.py --tasks qnli-500 --seeds 0 1 2 --masked-lm DIR --out out/agora

Teachers, students and data are those of `agora.py --choose`, whose folder `--out` is; dev sets are not opened. Agora
runs by default, `--steps` steps a training, and at each validation is asked about held-out training rows too and about
the half of E that grows. Then a reserved half is drawn from the held-out rows `DRAWS` times, the best moment is chosen
among the validations of an iteration (of both its sets), and is scored on the rows that are left:

- reserved: by the rows of that draw, from which nothing grew;
- all: by these and the half that grows, whose mistakes the second iteration has learned from;
- as many: by as many rows as all has, none of which grew: what could be had at best.

The table has by how many points of accuracy the chosen moment is below the best one, mean over draws.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import agora
from subarch.api import run_stage
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.kinds.scorer import Scorer
from subarch.running.machine import describe_machine
from subarch.stages.finetuning import training
from subarch.stages.growth import agora as growth
from subarch.tasks.base import Examples
from subarch.training.predict import predict

DRAWS = 2000
ASKED = 1000
"""Held-out rows."""
RULES = ("reserved", "all", "as many")


class Asking(Scorer):
    """Also asks the model about other rows, each time that it is scored."""

    tell: Callable[[Any], None]

    def __call__(self, trained: Any) -> float:
        self.tell(trained)
        return super().__call__(trained)


def main() -> None:
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "expansion_set.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for task, seed in itertools.product(arguments.tasks, arguments.seeds):
        key = {"task": task, "seed": seed, "steps": arguments.steps}
        if any(key.items() <= row.items() for row in known):
            continue
        rows = [key | row for row in trainings(arguments, task, seed)]
        with file.open("a") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        known += rows
    wanted = [row for row in known if row["task"] in arguments.tasks and row["seed"] in arguments.seeds]
    print(table([row for row in wanted if row["steps"] == arguments.steps]))
    print(describe_machine())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=agora.TO_CHOOSE, default=["qnli-500"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--masked-lm", help="folder of a model that refills masked words")
    parser.add_argument("--teachers", type=Path, help="as of agora.py")
    parser.add_argument("--out", type=Path, default=Path("out/agora"))
    return argparse.Namespace(**vars(parser.parse_args()), choose=True)


def trainings(arguments: argparse.Namespace, name: str, seed: int) -> list[dict[str, Any]]:
    """Of each training its iteration, and for each validation which held-out and which growing rows were right."""
    teacher, student, layers = agora.teacher_and_student(arguments, name)
    source = agora.data_of(arguments, name)
    model, divided = ModelFolder.of(str(student)), growth.divided
    held_out = aligned(load_data(DataConfig(**source)), ModelFolder.of(str(teacher))).test.sample(ASKED)
    parts: dict[str, Examples] = {"held_out": held_out}
    found: list[dict[str, Any]] = []

    def division(*given: Any) -> tuple[Examples, Examples]:
        growing, reserved = divided(*given)
        parts["growing"] = growing
        return growing, reserved

    def asking(**given: Any) -> Scorer:
        score = Asking(**given)
        asked = {key: (model.encode(part, agora.LONGEST), part) for key, part in parts.items()}
        # Two sets make the first iteration, the better one the second.
        found.append({"iteration": 1 if len(found) < 2 else 2, **{key: [] for key in asked}})

        def tell(trained: Any) -> None:
            for key, (seen, part) in asked.items():
                right = predict(trained, seen.encoded, seen.pad_token_id).argmax(1) == part.labels
                found[-1][key].append(right.astype(int).tolist())
            print(name, seed, {key: round(float(np.mean(found[-1][key][-1])), 3) for key in asked}, flush=True)

        score.tell = tell
        return score

    # A folder of its own each time: of a resumed run, what was answered before would be missing.
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(growth, "divided", division),
        mock.patch.object(training, "Scorer", asking),
    ):
        settings = {
            "model": str(student),
            "teacher": str(teacher),
            "out": Path(folder) / "out",
            "data": source,
            "seed": seed,
            "max_length": agora.LONGEST,
            "loop": {
                "batch_size": 16,
                "epochs": 1000.0,
                "evaluations": 5,
                "max_steps": arguments.steps,
                "average": False,
            },
            "distillation": {"layers": layers},
            "agora": {
                "sets": f"learning_rate=1e-4,3e-4 seed={seed}",
                "force": True,
                "masked_lm": arguments.masked_lm,
            },
        }
        run_stage("finetune", settings)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | iteration | " + " | ".join(RULES) + " |", "|---|--:|" + "--:|" * len(RULES)]
    for task, seed, iteration in sorted({(row["task"], row["seed"], row["iteration"]) for row in rows}):
        same = [row for row in rows if (row["task"], row["seed"], row["iteration"]) == (task, seed, iteration)]
        moments = [np.concatenate([np.asarray(row[key], float) for row in same]) for key in ("held_out", "growing")]
        cells = [f"{100 * value:.2f}" for value in lost(*moments)]
        lines.append(f"| {task}, seed {seed} | {iteration} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lost(held_out: np.ndarray, growing: np.ndarray) -> np.ndarray:
    """(rules,) by how much the chosen moment is less accurate than the best one, on the rows outside the draw.

    Args:
        held_out: (moments, rows) whether a row is answered rightly.
        growing: (moments, rows) the same of the half of E that grows.
    """
    rng = np.random.default_rng(0)
    half, count = growing.shape[1], held_out.shape[1]
    total = np.zeros(len(RULES))
    for _ in range(DRAWS):
        drawn = rng.choice(count, 2 * half, replace=False)
        outside = (held_out.sum(1) - held_out[:, drawn].sum(1)) / (count - 2 * half)
        reserved = held_out[:, drawn[:half]].sum(1)
        judged = (reserved, reserved + growing.sum(1), held_out[:, drawn].sum(1))
        total += [outside.max() - outside[int(scores.argmax())] for scores in judged]
    return total / DRAWS


if __name__ == "__main__":
    main()
