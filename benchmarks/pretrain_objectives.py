"""Which objective teaches a small student most: distillation, masked-language modelling alone, or relations.

    python benchmarks/pretrain_objectives.py --data shards --teacher DIR --steps 2000 --out DIR

The paper's comparison (Bort, arXiv 2010.10499, section 4) at a small scale: the same student, blocks, masks and steps
for each, over several seeds; held-out accuracy against steps and against the wall clock, in which the teacher's forward
passes count. Killed, the same command goes on. The table is printed; `objectives.json` and `objectives.html` (a plot)
are written to --out.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from subarch.api import run_stage
from subarch.running.machine import describe_machine
from subarch.session.session import Session
from subarch.storage import write_json

OBJECTIVES: dict[str, dict[str, Any]] = {
    "distillation": {"objective": "distill", "loss": "logits"},
    "mlm alone": {"objective": "mlm"},
    "relations": {"objective": "distill", "loss": "relations"},
}
COLORS = ("#1b6ca8", "#c8553d", "#3c8d5a")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of shards")
    parser.add_argument("--teacher", required=True, help="folder of a masked-language model")
    parser.add_argument("--architecture", default="4,8,256,512")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--inherit", action="store_true", help="start from the teacher's weights, not from noise")
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--validation-blocks", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [line_of(arguments, name, seed) for seed in range(arguments.seeds) for name in OBJECTIVES]
    summary = {name: summarised([line for line in lines if line["objective"] == name]) for name in OBJECTIVES}
    print(f"{'objective':14} {'accuracy':>9} {'loss':>7} {'agreement':>10} {'tokens/s':>9} {'minutes':>8}")
    for name, row in summary.items():
        print(
            f"{name:14} {row['mlm_accuracy']:9.4f} {row['mlm_loss']:7.3f} {row['teacher_agreement']:10.4f} "
            f"{row['tokens_per_second']:9,.0f} {row['seconds'] / 60:8.1f}"
        )
    settings = {key: str(value) for key, value in vars(arguments).items()}
    report = {"settings": settings, "summary": summary, "lines": lines, "machine": describe_machine()}
    write_json(arguments.out / "objectives.json", report)
    plot(lines).write_html(arguments.out / "objectives.html", include_plotlyjs=True)


def line_of(arguments: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """One training: its curve and its last numbers. The curve lies beside it, as events come while it runs."""
    folder = arguments.out / f"{name.replace(' ', '-')}-{seed}"
    file = arguments.out / f"{folder.name}.jsonl"
    elapsed = {"seconds": 0.0}

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            elapsed["seconds"] = event["seconds"]
        if event["event"] == "evaluation":
            point = {"step": event["step"], "seconds": elapsed["seconds"]}
            point |= {key: event[key] for key in ("mlm_accuracy", "mlm_loss", "teacher_agreement") if key in event}
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(point) + "\n")

    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": arguments.data,
        "teacher": arguments.teacher,
        "architecture": arguments.architecture,
        "steps": arguments.steps,
        "seed": seed,
        "validation_blocks": arguments.validation_blocks,
        "inherit": arguments.inherit,
        "dropout": False,
        "loop": {
            "batch_size": arguments.batch_size,
            "learning_rate": arguments.learning_rate,
            "evaluations": arguments.evaluations,
        },
        "out": folder,
        **OBJECTIVES[name],
    }
    result = run_stage("pretrain", settings, session=Session(on_event=listen))
    points = {point["step"]: point for point in map(json.loads, file.read_text(encoding="utf-8").splitlines())}
    curve = [points[step] for step in sorted(points)]
    return {"objective": name, "seed": seed, "metrics": result.metrics, "curve": curve}


def summarised(lines: list[dict[str, Any]]) -> dict[str, float]:
    names = ("mlm_accuracy", "mlm_loss", "teacher_agreement", "tokens_per_second", "seconds")
    return {name: statistics.mean(line["metrics"].get(name, float("nan")) for line in lines) for name in names}


def plot(lines: list[dict[str, Any]]) -> go.Figure:
    figure = make_subplots(cols=2, shared_yaxes=True, subplot_titles=("by steps", "by wall clock"))
    for line in lines:
        color = COLORS[list(OBJECTIVES).index(line["objective"])]
        for column, axis, unit in ((1, "step", 1.0), (2, "seconds", 60.0)):
            figure.add_scatter(
                x=[point[axis] / unit for point in line["curve"]],
                y=[point["mlm_accuracy"] for point in line["curve"]],
                name=line["objective"],
                legendgroup=line["objective"],
                showlegend=column == 1 and line["seed"] == 0,
                line={"color": color, "dash": "solid" if line["seed"] == 0 else "dot"},
                col=column,
                row=1,
            )
    figure.update_xaxes(title_text="steps", col=1).update_xaxes(title_text="minutes", col=2)
    figure.update_yaxes(title_text="held-out MLM accuracy", col=1)
    return figure


if __name__ == "__main__":
    main()
