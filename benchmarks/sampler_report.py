"""What `samplers.py` says of its runs: hypervolumes, ranks, tests and seconds, as plain values and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from sampler_peers import VARIANTS
from sampler_problems import Task
from subarch.optimize.hypervolume import hypervolume_history
from subarch.tasks.scoring.sign_flip import sign_flip

Cell = tuple[str, int]
"""A problem and a seed."""
OURS = "bayesian"
FLIPS = 100_000
"""Sign flips that are drawn where there are too many problems to count all."""


def report(runs: Sequence[dict[str, Any]], tasks: Mapping[str, Task], checkpoints: Sequence[int]) -> dict[str, Any]:
    histories = {(run["problem"], run["sampler"], run["seed"]): history(run, tasks[run["problem"]]) for run in runs}
    best = {
        problem: max([h[-1] for key, h in histories.items() if key[0] == problem], default=0.0) for problem in tasks
    }
    samplers = list(dict.fromkeys(run["sampler"] for run in runs))
    found: dict[str, Any] = {
        "pending": runs[0]["pending"] if runs else None,
        "checkpoints": list(checkpoints),
        "best_hypervolume": best,
        "problems": {},
        "ranks": {},
        "tests": {},
        "seconds": {name: seconds([run for run in runs if run["sampler"] == name]) for name in samplers},
        "errors": [{k: run[k] for k in ("problem", "sampler", "seed", "error")} for run in runs if run["error"]],
    }
    for checkpoint in checkpoints:
        shares: dict[str, dict[Cell, float]] = {name: {} for name in samplers}
        for (problem, sampler, seed), values in histories.items():
            reached = values[min(checkpoint, len(values)) - 1]
            shares[sampler][problem, seed] = reached / best[problem] if best[problem] > 0 else 0.0
        key = str(checkpoint)
        found["problems"][key] = {name: by_problem(cells) for name, cells in shares.items()}
        ranked = {name: cells for name, cells in shares.items() if name not in VARIANTS}
        found["ranks"][key] = {trait: ranks(ranked, tasks, trait) for trait in ("", *traits(tasks))}
        found["tests"][key] = tests(shares)
    found["failures"] = failures(runs)
    return found


def history(run: dict[str, Any], problem: Task) -> list[float]:
    """Hypervolume after each trial; what failed or lies beyond a threshold adds nothing."""
    metrics = problem.problem.metrics
    reference = problem.problem.reference_point(())
    points = []
    for trial in run["trials"]:
        values = trial.get("metrics")
        inside = values is not None and all(metric.meets(values[metric.name]) for metric in metrics)
        points.append(
            [metric.minimised(values[metric.name]) for metric in problem.problem.objectives] if inside else reference
        )
    return hypervolume_history(points, reference) if points else [0.0]


def by_problem(cells: Mapping[Cell, float]) -> dict[str, dict[str, float]]:
    found = {}
    for problem in dict.fromkeys(problem for problem, _ in cells):
        values = [value for (name, _), value in cells.items() if name == problem]
        spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        found[problem] = {"mean": statistics.mean(values), "standard_error": spread, "seeds": len(values)}
    return found


def traits(tasks: Mapping[str, Task]) -> list[str]:
    return list(dict.fromkeys(trait for one in tasks.values() for trait in one.traits))


def ranks(
    shares: Mapping[str, Mapping[Cell, float]], tasks: Mapping[str, Task], trait: str
) -> dict[str, dict[str, float]]:
    """Per sampler; 1 is best, equals share theirs. Of the problems with a trait, or of all."""
    places: dict[str, list[float]] = {name: [] for name in shares}
    for cell in dict.fromkeys(cell for cells in shares.values() for cell in cells):
        if trait and trait not in tasks[cell[0]].traits:
            continue
        taking = [name for name, cells in shares.items() if cell in cells]
        for name, rank in zip(taking, rankdata([-shares[name][cell] for name in taking]), strict=True):
            places[name].append(float(rank))
    return {
        name: {"median": statistics.median(values), "mean": statistics.mean(values), "runs": len(values)}
        for name, values in places.items()
        if values
    }


def tests(shares: Mapping[str, Mapping[Cell, float]]) -> dict[str, dict[str, float]]:
    """Ours against each other one: wins and losses over problems and seeds, and over problems, with the p of these.

    Seeds of a problem are no independent witnesses of how the samplers compare on other problems. So p is of all sign
    flips of the problems' mean differences: of n problems none is below 2^(1 - n).
    """
    found = {}
    for name, cells in shares.items():
        if name == OURS or OURS not in shares:
            continue
        differences = np.array([shares[OURS][cell] - value for cell, value in cells.items() if cell in shares[OURS]])
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        if not wins + losses:
            continue
        shared = [cell for cell in cells if cell in shares[OURS]]
        by_problem = np.array(
            [
                statistics.mean(shares[OURS][cell] - cells[cell] for cell in shared if cell[0] == problem)
                for problem in dict.fromkeys(problem for problem, _ in shared)
            ]
        )
        found[name] = {
            "wins": wins,
            "losses": losses,
            "mean_difference": float(differences.mean()),
            "problems": len(by_problem),
            "problem_wins": int((by_problem > 0).sum()),
            "p_over_problems": sign_flip(by_problem, np.random.default_rng(0), FLIPS),
        }
    return found


def seconds(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of a suggestion, with telling: over all trials, and over those after the 90 % mark, when most is known."""
    trials = [trial for run in runs for trial in run["trials"]]
    late = [trial for run in runs for trial in run["trials"][int(0.9 * len(run["trials"])) :]]
    found = {"suggestions": float(len(trials))}
    for unit in ("seconds", "cpu_seconds"):
        for label, chosen in (("", trials), ("late_", late)):
            values = [trial[unit] for trial in chosen] or [0.0]
            found[f"{label}{unit}_median"] = float(np.median(values))
            found[f"{label}{unit}_p90"] = float(np.quantile(values, 0.9))
            found[f"{label}{unit}_mean"] = float(np.mean(values))
    return found


def failures(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Share of the trials that failed, where any did."""
    found: dict[str, dict[str, float]] = {}
    failing = {run["problem"] for run in runs if any("failed" in trial for trial in run["trials"])}
    for problem in sorted(failing):
        found[problem] = {}
        for name in dict.fromkeys(run["sampler"] for run in runs):
            trials = [t for run in runs if (run["problem"], run["sampler"]) == (problem, name) for t in run["trials"]]
            if trials:
                found[problem][name] = sum("failed" in trial for trial in trials) / len(trials)
    return found


def markdown(content: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for checkpoint in content["checkpoints"]:
        key = str(checkpoint)
        shares, ranked = content["problems"][key], content["ranks"][key]
        problems = list(dict.fromkeys(problem for cells in shares.values() for problem in cells))
        rows = [
            [name, *(share(shares[name].get(problem)) for problem in problems)]
            for name in sorted(shares, key=lambda name: ranked[""].get(name, {"mean": 99.0})["mean"])
        ]
        flying = f"{content['pending']} in flight"
        parts += [
            f"### Hypervolume after {checkpoint} trials, {flying}",
            "",
            *grid(["sampler", *map(label, problems)], rows),
            "",
        ]
        groups = list(ranked)
        rows = [
            [name, *(place(ranked[group].get(name)) for group in groups), *versus(content["tests"][key].get(name))]
            for name in sorted(ranked[""], key=lambda name: ranked[""][name]["mean"])
        ]
        heads = [
            "sampler",
            *(group or "all" for group in groups),
            f"{OURS} wins to losses",
            "on problems",
            "p over problems",
        ]
        parts += [f"### Ranks after {checkpoint} trials: median (mean)", "", *grid(heads, rows), ""]
    parts += ["### A suggestion", "", *grid(*pace(content["seconds"])), ""]
    if content["failures"]:
        names = list(content["failures"])
        samplers = list(content["seconds"])
        rows = [[s, *(percent(content["failures"][name].get(s)) for name in names)] for s in samplers]
        parts += ["### Trials that failed", "", *grid(["sampler", *map(label, names)], rows), ""]
    for one in content["errors"]:
        parts.append(f"- {one['sampler']} broke off on {label(one['problem'])}, seed {one['seed']}: {one['error']}")
    return "\n".join(parts)


def pace(found: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[list[str]]]:
    columns = ("seconds_median", "seconds_p90", "cpu_seconds_median", "cpu_seconds_p90", "late_cpu_seconds_median")
    heads = ["sampler", "s, median", "s, p90", "CPU s, median", "CPU s, p90", "CPU s, median of the last tenth"]
    return heads, [[name, *(f"{values[column]:.3f}" for column in columns)] for name, values in found.items()]


def label(problem: str) -> str:
    """A table goes by the name of its file."""
    return problem.rpartition("/")[2]


def share(cell: Mapping[str, float] | None) -> str:
    return "-" if cell is None else f"{cell['mean']:.3f} ± {cell['standard_error']:.3f}"


def place(cell: Mapping[str, float] | None) -> str:
    return "-" if cell is None else f"{cell['median']:g} ({cell['mean']:.2f})"


def versus(test: Mapping[str, float] | None) -> list[str]:
    if test is None:
        return ["-", "-", "-"]
    on_problems = f"{test['problem_wins']} of {test['problems']}"
    return [f"{test['wins']} : {test['losses']}", on_problems, f"{test['p_over_problems']:.2g}"]


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def grid(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    return [
        f"| {' | '.join(heads)} |",
        f"|---|{'--:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
