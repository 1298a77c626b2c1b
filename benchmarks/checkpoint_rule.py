"""Which of a training's five validations should its weights be kept of, where few rows validate?

    python benchmarks/checkpoint_rule.py --tasks qnli-500 sst2-500 --out out/agora

Teachers, students and data are those of `agora.py --choose`, whose folder `--out` is; dev sets are not opened. Each
training has `--steps` steps and is asked about all held-out training rows at each of its validations. Then E is drawn
from those rows `DRAWS` times, each rule chooses by E alone, and is scored on the rows that are left:

- earliest, latest: the highest score on E, the earliest or the latest of equal ones;
- within one error: the latest within one standard error of the highest score;
- last: the weights after the last step, whatever E says;
- lowest loss: the lowest cross-entropy on E;
- loss within one error: of those within one standard error of the highest score, the lowest cross-entropy.

Beside the rules stand averages of the weights at the last two, the last three and all validations (Izmailov et al.,
Averaging Weights Leads to Wider Optima and Better Generalization, 2018), whatever E says.

The table has accuracy in points above "earliest", mean over trainings and draws, for several sizes of E; then the same
where a rule chooses among the validations of all rates, as the best of Θ is chosen.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.special import log_softmax

import agora
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.kinds.scorer import Scorer
from subarch.running.machine import describe_machine
from subarch.session.session import Session
from subarch.stages.finetuning import training
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.settings import DistillationConfig, FinetuneConfig
from subarch.training.loop import ignore_event
from subarch.training.predict import predict
from subarch.training.settings import LoopConfig

SIZES = (40, 75, 150, 500)
"""Of E."""
DRAWS = 2000
AVERAGED = (2, 3, 5)
"""Of how many validations, from the last one back, the weights are averaged."""
RULES = ("earliest", "latest", "within one error", "last", "lowest loss", "loss within one error")
COLUMNS = (*RULES, *(f"average of {count}" for count in AVERAGED), "best of all")
TOGETHER = ("earliest", "lowest loss", "loss within one error", "best of all")
"""What is shown where a rule chooses among several trainings."""


def main() -> None:
    arguments = parse()
    file = arguments.out / "checkpoint_rule.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = [row for row in known if "averaged" in row]  # others are of before averages were asked for
    wanted = itertools.product(arguments.seeds, arguments.tasks, arguments.rates, ("plain", "distilled"))
    for seed, task, rate, way in wanted:
        key = {"task": task, "seed": seed, "learning_rate": rate, "way": way, "steps": arguments.steps}
        if any(key.items() <= row.items() for row in known):
            continue
        row = key | one_training(arguments, key)
        with file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        known.append(row)
        print(key, [round(100 * float(np.mean(line)), 1) for line in row["right"]], flush=True)
    shown = [row for row in known if row["task"] in arguments.tasks and row["seed"] in arguments.seeds]
    print(table([row for row in shown if row["steps"] == arguments.steps]))
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


def one_training(arguments: argparse.Namespace, key: dict[str, Any]) -> dict[str, Any]:
    """`right` and `loss`, (validations, rows): whether each held-out row was answered rightly, and its cross-entropy in
    nats; `averaged`, (averages, rows): `right` of the averaged weights.
    """
    teacher_folder, student_folder, layers = agora.teacher_and_student(arguments, key["task"])
    model, teacher = ModelFolder.of(str(student_folder)), ModelFolder.of(str(teacher_folder))
    source = DataConfig(**agora.data_of(arguments, key["task"]))
    data = aligned(load_data(source), teacher)
    right: list[np.ndarray] = []
    loss: list[np.ndarray] = []
    weights: list[dict[str, torch.Tensor]] = []

    class Keeping(Scorer):
        """Also keeps what is asked for, of each validation."""

        def __call__(self, trained: Any) -> float:
            labels = np.asarray(self.examples.labels)
            logits = predict(trained, self.rows.data.encoded, self.rows.data.pad_token_id)
            weights.append({name: tensor.clone() for name, tensor in trained.state_dict().items()})
            right.append(logits.argmax(1) == labels)
            loss.append(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels])
            return float(right[-1].mean())

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(training, "Scorer", Keeping):
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
                average=False,  # which averages would gain is the question
            ),
        )
        taught = teacher if key["way"] == "distilled" else None
        job = Job(data=replace(data, validation=data.test), model=model, teacher=taught)
        trained = training.train_on_task(config, Session(), job, ignore_event).model
    seen = model.encode(data.test, agora.LONGEST)
    averaged = []
    for count in AVERAGED:
        trained.load_state_dict({name: mean_of([each[name] for each in weights[-count:]]) for name in weights[0]})
        answers = predict(trained, seen.encoded, seen.pad_token_id).argmax(1)
        averaged.append((answers == data.test.labels).astype(int).tolist())
    return {
        "right": np.asarray(right).astype(int).tolist(),
        "loss": np.asarray(loss).round(4).tolist(),
        "averaged": averaged,
    }


def mean_of(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors).mean(0) if tensors[0].is_floating_point() else tensors[-1]


def chosen(scores: np.ndarray, losses: np.ndarray, size: int) -> dict[str, int]:
    """The validation that each rule keeps, by accuracy and mean loss on an E of this size."""
    highest = float(scores.max())
    near = scores >= highest - (highest * (1 - highest) / size) ** 0.5
    last = len(scores) - 1
    return {
        "earliest": int(scores.argmax()),
        "latest": last - int(scores[::-1].argmax()),
        "within one error": last - int(near[::-1].argmax()),
        "last": last,
        "lowest loss": int(losses.argmin()),
        "loss within one error": int(np.where(near, losses, np.inf).argmin()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | E | " + " | ".join(COLUMNS) + " |", "|---|--:|" + "--:|" * len(COLUMNS)]
    for task, way in sorted({(row["task"], row["way"]) for row in rows}):
        of_seed: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            if (row["task"], row["way"]) == (task, way):
                of_seed.setdefault(row["seed"], []).append(row)
        alone = [[row] for trainings in of_seed.values() for row in trainings]
        lines += lines_of(f"{task}, {way}", alone, COLUMNS)
        together = [trainings for trainings in of_seed.values() if len(trainings) > 1]
        if together:
            lines += lines_of(f"{task}, {way}, all rates", together, TOGETHER)
    return "\n".join(lines)


def lines_of(title: str, pools: list[list[dict[str, Any]]], shown: tuple[str, ...]) -> list[str]:
    """A line for each size of E, of choices among the validations of a pool of trainings."""
    lines = []
    for size in SIZES:
        means = 100 * np.mean([gained(pool, size) for pool in pools], 0)
        cells = [f"{mean:+.2f}" if name in shown else "" for name, mean in zip(COLUMNS, means, strict=True)]
        lines.append(f"| {title} | {size} | " + " | ".join(cells) + " |")
    return lines


def gained(pool: list[dict[str, Any]], size: int) -> np.ndarray:
    """Accuracy on the rows outside E, above that of "earliest": mean over draws, in the order of `COLUMNS`."""
    rng = np.random.default_rng(0)
    right = np.concatenate([np.asarray(row["right"], float) for row in pool])
    loss = np.concatenate([np.asarray(row["loss"]) for row in pool])
    count = right.shape[1]
    averaged = np.asarray(pool[0]["averaged"], float)  # of one training, and not shown for several
    total = np.zeros(len(COLUMNS))
    for _ in range(DRAWS):
        inside = rng.choice(count, size, replace=False)
        outside, of_averages = ((each.sum(1) - each[:, inside].sum(1)) / (count - size) for each in (right, averaged))
        kept = chosen(right[:, inside].mean(1), loss[:, inside].mean(1), size)
        total += [*(outside[kept[rule]] for rule in RULES), *of_averages, outside.max()]
    return (total - total[0]) / DRAWS


if __name__ == "__main__":
    main()
