"""Is `subarch compress` better than the obvious alternative in the same wall-clock time?

    python benchmarks/compress_vs_distilbert.py --runs out/glue --tasks sst2 mrpc cola stsb --seeds 0 1 2
    python benchmarks/compress_vs_distilbert.py --runs out/minutes --prefix after- --tasks snippets mrpc --seeds 0 1

The alternative is DistilBERT's recipe: every other layer of the teacher, its whole vocabulary, distilled with the same
loss, loop and data, for as many seconds as our search and distillation took together in the run it is compared with
(made by compress_glue.py, or by compress_minutes.py with its label as prefix). Both are then exported to int8 in the
same way, scored on all test rows, and timed in turn on the same inputs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.arch.build import build_config, empty_classifier
from subarch.inputs.data import load_data
from subarch.inputs.models import ModelFolder
from subarch.recipe import build_config as build_settings
from subarch.running.budget import Deadline
from subarch.running.machine import describe_machine
from subarch.session.session import Session
from subarch.stages.compression.settings import CompressConfig
from subarch.stages.evaluate import EvaluateConfig, evaluate
from subarch.stages.export import ExportConfig, export
from subarch.stages.finetune import FinetuneConfig, finetune
from subarch.stages.latency import LatencyConfig, latency
from subarch.training.inherit import Selection, inherit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("out/glue"))
    parser.add_argument("--tasks", nargs="+", default=["sst2", "mrpc", "cola", "stsb"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--prefix", default="", help="of the runs' folders, before the task")
    arguments = parser.parse_args()
    rows = []
    for task in arguments.tasks:
        for seed in arguments.seeds:
            rows.append(compare(arguments.runs / f"{arguments.prefix}{task}-{seed}", task, seed))
            print(json.dumps(rows[-1]), file=sys.stderr)
    report = {"machine": describe_machine(), "runs": rows}
    file = arguments.runs / "compress_vs_distilbert.json"
    file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(rows, arguments.tasks))


def compare(run: Path, task: str, seed: int) -> dict[str, Any]:
    """Distil the alternative for the seconds that ours took, then score and time both."""
    config = build_settings(CompressConfig, json.loads((run / "run.json").read_text())["config"])
    ours = {name: json.loads((run / name / "result.json").read_text()) for name in ("extract", "student")}
    seconds = sum(result["seconds"] for result in ours.values())
    teacher = ours["student"]["config"]["teacher"]
    depth = ModelFolder.of(teacher).architecture.num_hidden_layers
    out = run.parent / f"{run.name}-every-other-layer"
    start = every_other_layer(ModelFolder.of(teacher), config, out / "start")
    settings = FinetuneConfig(
        model=str(start),
        out=out / "student",
        teacher=teacher,
        data=config.data,
        seed=seed,
        max_length=config.max_length,
        validation_examples=ours["student"]["config"]["validation_examples"],
        loop=replace(config.distil, epochs=10_000.0, max_steps=None),
        distillation=replace(config.distillation, layers=(*range(2, depth, 2), depth)),
    )
    done = finetune(settings, Session(deadline=Deadline.after(seconds)))
    export(ExportConfig(model=str(out / "student"), out=out / "export", seed=seed))
    scores = {}
    for owner, folder in (("ours", run), ("alternative", out)):
        for name, model in (("fp32", folder / "student"), ("int8", folder / "export" / "onnx-int8")):
            # All rows: a budget may have made `compress` score a sample.
            where = out / "evaluation" / f"{owner}-{name}"
            scores[owner, name] = evaluate(EvaluateConfig(model=str(model), out=where, data=config.data)).metrics[
                "score"
            ]
    timed = time_in_turn(run, out, config)
    return {
        "task": task,
        "seed": seed,
        "seconds": seconds,
        "alternative_seconds": done.seconds,
        **{owner: scores[owner, "fp32"] for owner in ("ours", "alternative")},
        **{f"{owner}_int8": scores[owner, "int8"] for owner in ("ours", "alternative")},
        "ours_ms": timed["ours"]["latency_ms"],
        "alternative_ms": timed["alternative"]["latency_ms"],
        "ours_faster_by": timed["ours"]["speedup"],
        "ours_bytes": (run / "export" / "onnx-int8" / "model.onnx").stat().st_size,
        "alternative_bytes": (out / "export" / "onnx-int8" / "model.onnx").stat().st_size,
    }


def every_other_layer(teacher: ModelFolder, config: CompressConfig, path: Path) -> Path:
    """The teacher's layers 0, 2, 4 … at full width with the whole vocabulary, as a model folder."""
    if (path / "config.json").exists():
        return path
    task = load_data(config.data).task
    layers = tuple(range(0, teacher.architecture.num_hidden_layers, 2))
    shallow = teacher.architecture.keep_layers(layers)
    source = teacher.model_for(task)
    student = empty_classifier(
        build_config(
            shallow,
            teacher.config,
            num_labels=task.num_outputs,
            id2label=dict(enumerate(task.labels)) or {0: task.label},
            problem_type=source.config.problem_type,
            layers=layers,
        )
    )
    inherit(student, source, (shallow, teacher.architecture), Selection(layers=layers))
    student.save_pretrained(path)
    teacher.tokenizer.save_pretrained(path)
    return path


def time_in_turn(run: Path, out: Path, config: CompressConfig) -> dict[str, dict[str, float]]:
    """Both int8 exports on the same inputs; the alternative is what ours is compared with."""
    models = (str(out / "export" / "onnx-int8"), str(run / "export" / "onnx-int8"))
    settings = LatencyConfig(models=models, data=config.data, out=out / "latency", repeats=25)
    metrics = latency(settings, Session()).metrics
    return {"alternative": metrics[models[0]], "ours": metrics[models[1]]}


def table(rows: list[dict[str, Any]], tasks: list[str]) -> str:
    lines = [
        "| task | ours | every other layer | ours, int8 | every other layer, int8 | ours is faster by | size |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for task in tasks:
        found = [row for row in rows if row["task"] == task]
        cells = [
            spread([100 * row[key] for row in found])
            for key in ("ours", "alternative", "ours_int8", "alternative_int8")
        ]
        faster = spread([row["ours_faster_by"] for row in found], "x")
        size = f"{found[0]['ours_bytes'] / 1e6:.1f} against {found[0]['alternative_bytes'] / 1e6:.1f} MB"
        lines.append(f"| {task} | {' | '.join(cells)} | {faster} | {size} |")
    return "\n".join(lines)


def spread(values: list[float], unit: str = "") -> str:
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f}{unit} ± {sd:.1f}"


if __name__ == "__main__":
    main()
