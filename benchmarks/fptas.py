"""The FPTAS's choice against the exhaustive one, as ε and s vary: rank, ratio of W, and time.

    subarch prepare --input 'novels/*.txt' --documents file --tokenizer TEACHER --set block_size=128 --out shards
    python benchmarks/fptas.py --teacher TEACHER --corpus shards --out runs

TEACHER is a masked language model. The reference trains every candidate for five times the most steps, under several
seeds; its W is the mean over them. Each (s, seed) is one run of `subarch extract` with ε = 1; with a larger ε the
same command trains every ε-th of these candidates in the very same way (a test asserts it), so its choice is read
off. The time as it depends on ε is measured by whole runs of their own. W of all runs is taken with the latencies of
the first one: what is compared is the error that few steps and a coarse grid make, not the noise of the clock. A
killed benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from subarch.api import run_stage
from subarch.optimize.fptas import Cost, w_coefficient
from subarch.running.machine import describe_machine

SPACE = "num_hidden_layers=1,2,3,4,6 hidden_size=96,192,288,384 intermediate_size=384,768,1536"
"""60 architectures with heads as wide as those of a 6 x 384 teacher, which is the last of them."""


def main() -> None:
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    most = 5 * max(arguments.steps)
    reference = [search(arguments, most, seed) for seed in range(arguments.seeds)]
    costs, maximum = costs_of(reference[0])
    wanted = np.mean([w_of(run, costs, maximum) for run in reference], axis=0)
    rows = []
    for steps in arguments.steps:
        found = [w_of(search(arguments, steps, seed), costs, maximum) for seed in range(arguments.seeds)]
        for epsilon in arguments.epsilons:
            rows.append({"steps": steps, "epsilon": epsilon, **judged(found, wanted, epsilon)})
    times = timed(arguments)
    report = {
        "teacher": arguments.teacher,
        "space": arguments.space,
        "candidates": len(wanted),
        "start": arguments.start,
        "error": arguments.error,
        "reference_steps": most,
        "seeds": arguments.seeds,
        "agreement_of_references": spearman([w_of(run, costs, maximum) for run in reference]),
        "choices": rows,
        "times": times,
        "machine": describe_machine(),
    }
    (arguments.out / "fptas.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    figure(rows, times).write_html(arguments.out / "fptas.html")
    show(report)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--space", default=SPACE)
    parser.add_argument("--steps", type=numbers, default=(3, 10, 30))
    parser.add_argument("--epsilons", type=numbers, default=(1, 2, 3, 5, 8, 12, 20, 30))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--start", choices=("random", "inherited"), default="random")
    parser.add_argument("--error", choices=("cross-entropy", "kl"), default="cross-entropy")
    parser.add_argument("--optimizer", choices=("sgd", "adamw"), default="sgd")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="tokens of the inputs that are timed")
    parser.add_argument("--blocks", type=int, default=64)
    return parser.parse_args()


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def search(arguments: argparse.Namespace, steps: int, seed: int, epsilon: int = 1, again: int = 0) -> dict[str, Any]:
    """The result.json of one run of `subarch extract`, which is reused where it is there."""
    out = arguments.out / f"s{steps}-e{epsilon}-seed{seed}{f'-again{again}' if again else ''}"
    settings = {
        "teacher": arguments.teacher,
        "corpus": arguments.corpus,
        "preset": "bort",
        "out": out,
        "space": {"sizes": arguments.space},
        "start": arguments.start,
        "error": arguments.error,
        "steps": steps,
        "epsilon": epsilon,
        "seed": seed,
        # The reference alone is timed: its latencies serve all.
        "latency": "measured" if steps > max(arguments.steps) and seed == 0 else "nominal",
        "timing": {"sequence_lengths": [arguments.length], "repeats": 15},
        "error_blocks": arguments.blocks,
        "loop": {
            "optimizer": arguments.optimizer,
            "learning_rate": arguments.learning_rate,
            "batch_size": arguments.batch_size,
            # What the published figures of inherited candidates were measured with; from noise the preset has its own.
            **({"warmup": 0.05, "weight_decay": 0.01, "schedule": "linear"} if arguments.start == "inherited" else {}),
        },
    }
    return run_stage("extract", settings).to_json()


def costs_of(result: dict[str, Any]) -> tuple[list[Cost], Cost]:
    top = result["metrics"]["maximum_point"]
    rows = result["metrics"]["candidates"]
    costs = [Cost(parameters=row["parameters"], latency_ms=row["latency_ms"]) for row in rows]
    return costs, Cost(parameters=top["parameters"], latency_ms=top["latency_ms"])


def w_of(result: dict[str, Any], costs: list[Cost], maximum: Cost) -> np.ndarray:
    """W of every candidate; one that diverged has none and is never chosen."""
    errors = {json.dumps(row["architecture"]): row["error"] for row in result["metrics"]["candidates"]}
    order = [json.dumps(value) for value in json.loads((plan_of(result)).read_text())["candidates"]]
    return np.asarray(
        [
            w_coefficient(cost, errors[key], maximum) if key in errors else -1.0
            for key, cost in zip(order, costs, strict=True)
        ]
    )


def plan_of(result: dict[str, Any]) -> Path:
    return Path(result["config"]["out"]) / "plan.json"


def judged(found: list[np.ndarray], wanted: np.ndarray, epsilon: int) -> dict[str, Any]:
    """What the choice of each seed is worth in the reference."""
    ranks, ratios = [], []
    for w in found:
        taken = np.arange(len(w))[::epsilon]
        chosen = int(taken[np.argmax(w[taken])])
        ranks.append(1 + int((wanted > wanted[chosen]).sum()))
        ratios.append(float(wanted[chosen] / wanted.max()))
    reachable = float(wanted[::epsilon].max() / wanted.max())
    deviation = 1 - min(ratios)
    return {
        "trained": len(range(0, len(wanted), epsilon)),
        "ranks": ranks,
        "w_ratios": ratios,
        "best_reachable_ratio": reachable,
        "bound": abs(1 - epsilon),
        "bound_held": deviation <= abs(1 - epsilon),
    }


def spearman(several: list[np.ndarray]) -> float | None:
    """Mean rank correlation between the references of two seeds."""
    ranks = [np.argsort(np.argsort(w)) for w in several]
    pairs = [(a, b) for i, a in enumerate(ranks) for b in ranks[i + 1 :]]
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])) if pairs else None


def timed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of whole runs over the number of trained candidates, and the line through them."""
    steps = min(arguments.steps)
    points = []
    for epsilon in arguments.epsilons:
        result = search(arguments, steps, 0, epsilon, again=1)
        points.append(
            {"epsilon": epsilon, "trained": len(result["metrics"]["candidates"]), "seconds": result["seconds"]}
        )
    x, y = (np.asarray([point[key] for point in points], dtype=float) for key in ("trained", "seconds"))
    slope, start = np.polyfit(x, y, 1) if len(points) > 1 else (float("nan"), float("nan"))
    left = float(((y - slope * x - start) ** 2).sum() / max(1e-12, ((y - y.mean()) ** 2).sum()))
    return {"steps": steps, "points": points, "seconds_per_candidate": slope, "fixed_seconds": start, "r2": 1 - left}


def figure(rows: list[dict[str, Any]], times: dict[str, Any]) -> go.Figure:
    drawn = go.Figure()
    for steps in sorted({row["steps"] for row in rows}):
        line = [row for row in rows if row["steps"] == steps]
        drawn.add_scatter(
            x=[row["epsilon"] for row in line],
            y=[statistics.mean(row["w_ratios"]) for row in line],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [max(row["w_ratios"]) - statistics.mean(row["w_ratios"]) for row in line],
                "arrayminus": [statistics.mean(row["w_ratios"]) - min(row["w_ratios"]) for row in line],
            },
            name=f"s = {steps}",
        )
    line = [row for row in rows if row["steps"] == rows[0]["steps"]]
    drawn.add_scatter(
        x=[row["epsilon"] for row in line],
        y=[row["best_reachable_ratio"] for row in line],
        name="best that the grid holds",
        line={"dash": "dot"},
    )
    points = times["points"]
    drawn.add_scatter(
        x=[p["epsilon"] for p in points], y=[p["seconds"] for p in points], name="seconds", yaxis="y2", mode="markers"
    )
    drawn.update_layout(
        title="W of the choice over the largest W, mean and range over seeds",
        xaxis={"title": "ε", "type": "log", "tickvals": sorted({row["epsilon"] for row in rows})},
        yaxis={"title": "ratio of W", "rangemode": "tozero"},
        yaxis2={
            "title": "seconds",
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "tickformat": ".0f",
            "showgrid": False,
        },
        legend={"orientation": "h", "y": -0.2},
    )
    return drawn


def show(report: dict[str, Any]) -> None:
    print(f"{report['candidates']} candidates; reference: {report['reference_steps']} steps, {report['seeds']} seeds")
    print(f"{'s':>5} {'ε':>4} {'trained':>8} {'ranks':>16} {'ratio of W':>12} {'reachable':>10} {'bound':>6}")
    for row in report["choices"]:
        ranks = ",".join(map(str, row["ranks"]))
        ratio = statistics.mean(row["w_ratios"])
        bound = "held" if row["bound_held"] else "broken"
        print(
            f"{row['steps']:>5} {row['epsilon']:>4} {row['trained']:>8} {ranks:>16} {ratio:>12.3f} "
            f"{row['best_reachable_ratio']:>10.3f} {bound:>6}"
        )
    times = report["times"]
    print(
        f"time: {times['fixed_seconds']:.2f} s + {times['seconds_per_candidate']:.3f} s a candidate "
        f"(s = {times['steps']}, R² {times['r2']:.4f})"
    )


if __name__ == "__main__":
    main()
