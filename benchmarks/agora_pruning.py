"""In how many iterations does Agora's pruning end, what does it train for that, and how good is what survives?

    python benchmarks/agora_pruning.py --sets published --landscapes 50 --json

No model is trained: the accuracy of a hyperparameter set is the sum of an effect of each of its values, of an effect of
its learning rate and weight decay together, and of one of its own, rounded to the rows of a validation set. Each
iteration measures it anew, with noise. The kinds differ in the size of these, and the last one leaves a share of the
sets at chance, as small tasks do. --growth adds accuracy to every set as the data grow, half of the rest each
iteration. --sets is `published` (240 sets), or a number of default sets.

An iteration trains every remaining set; the survivor is the last set, and the model returned is the best measured of
all iterations. Their rank and regret are in the true accuracies of the landscape. `enumerate` is one pass over all
sets, which returns the best measured; `passes alone` is enumeration with as many trainings as the rule had: several
whole passes, and the set with the best mean. Ranks are medians, regrets means in points of accuracy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from subarch.optimize.hyperparameters import PUBLISHED, HyperparameterSet, default_sets
from subarch.optimize.pruning import Rule, prune

ROWS = 277
"""Of the validation set: as many as RTE has."""
BASE, CHANCE = 0.68, 0.5
EFFECTS = {"learning_rate": 0.04, "weight_decay": 0.02, "warmup": 0.01, "batch_size": 0.01, "seed": 0.01}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Standard deviations of what makes a landscape, in accuracy."""

    name: str
    additive: float = 1.0  # times EFFECTS
    together: float = 0.0  # of a learning rate with a weight decay
    own: float = 0.0  # of one set
    noise: float = 0.0  # of one measurement
    collapsed: float = 0.0  # share of the sets at chance


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a rule comes to; sets by their place."""

    iterations: int
    trainings: int
    survivor: int
    returned: int


KINDS = (
    Kind(name="additive, no noise"),
    Kind(name="additive", noise=0.01),
    Kind(name="interaction", together=0.02, own=0.01, noise=0.01),
    Kind(name="interaction, noisy", together=0.02, own=0.01, noise=0.03),
    Kind(name="own effects", additive=0.3, own=0.03, noise=0.01),
    Kind(name="collapses", together=0.02, own=0.01, noise=0.02, collapsed=0.4),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default="published", help="published, or a number of default sets")
    parser.add_argument("--landscapes", type=int, default=50, help="of each kind")
    parser.add_argument("--growth", type=float, default=0.0, help="accuracy that the grown data can add")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    theta = PUBLISHED if arguments.sets == "published" else default_sets(int(arguments.sets), 5e-5, 0)
    rows = []
    for number, kind in enumerate(KINDS):
        runs = [
            one_landscape(theta, kind, np.random.default_rng([arguments.seed, number, index]), arguments.growth)
            for index in range(arguments.landscapes)
        ]
        rows += [summarise(kind.name, rule, [run[rule] for run in runs], len(theta)) for rule in runs[0]]
    if arguments.json:
        print(json.dumps({"sets": len(theta), "settings": vars(arguments), "rows": rows}, indent=2))
    else:
        print(f"{len(theta)} sets, {arguments.landscapes} landscapes of each kind, growth {arguments.growth}")
        print(table(rows))


def one_landscape(
    theta: Sequence[HyperparameterSet], kind: Kind, rng: np.random.Generator, growth: float
) -> dict[str, dict[str, float]]:
    """What enumeration and each rule come to; all of them meet the same noise."""
    accuracy = landscape(theta, kind, rng)
    noise = kind.noise * rng.standard_normal((len(theta), len(theta)))
    grown = growth * (1 - 0.5 ** np.arange(len(theta)))[:, None]
    measured = np.round(ROWS * (accuracy + grown + noise)) / ROWS  # iteration x set
    first = int(np.argmax(measured[0]))
    outcomes = {"enumerate": Outcome(iterations=1, trainings=len(theta), survivor=first, returned=first)}
    outcomes |= {rule: iterate(theta, measured, rule) for rule in get_args(Rule)}
    return {
        rule: judged(outcome, accuracy) | {"enumerated_regret": enumerated(measured, outcome.trainings, accuracy)}
        for rule, outcome in outcomes.items()
    }


def landscape(theta: Sequence[HyperparameterSet], kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """True accuracy of each set, shape (sets,)."""
    total = np.full(len(theta), BASE) + kind.own * rng.standard_normal(len(theta))
    for field, size in EFFECTS.items():
        total += kind.additive * size * effects([getattr(one, field) for one in theta], rng)
    total += kind.together * effects([(one.learning_rate, one.weight_decay) for one in theta], rng)
    total[rng.random(len(theta)) < kind.collapsed] = CHANCE
    return np.clip(total, CHANCE, 1.0)


def effects(values: Sequence[Hashable], rng: np.random.Generator) -> np.ndarray:
    """A normal number for each distinct value, spread over the sets that have it."""
    distinct = list(dict.fromkeys(values))
    return rng.standard_normal(len(distinct))[[distinct.index(value) for value in values]]


def iterate(theta: Sequence[HyperparameterSet], measured: np.ndarray, rule: Rule) -> Outcome:
    """Agora's loop until no set remains."""
    index = {one: place for place, one in enumerate(theta)}
    kept, trainings, iterations, returned = tuple(theta), 0, 0, (-1.0, -1)
    while kept:
        scores = measured[iterations]
        best = max(kept, key=lambda one: scores[index[one]])
        returned = max(returned, (float(scores[index[best]]), index[best]))
        trainings, iterations, last = trainings + len(kept), iterations + 1, best
        kept = prune([(one, float(scores[index[one]])) for one in kept], rule).kept
    return Outcome(iterations=iterations, trainings=trainings, survivor=index[last], returned=returned[1])


def enumerated(measured: np.ndarray, trainings: int, accuracy: np.ndarray) -> float:
    """Regret of the best mean over as many whole passes as the trainings are worth."""
    passes = max(1, round(trainings / len(accuracy)))
    return float(accuracy.max() - accuracy[int(np.argmax(measured[:passes].mean(axis=0)))])


def judged(outcome: Outcome, accuracy: np.ndarray) -> dict[str, float]:
    row: dict[str, float] = {"iterations": outcome.iterations, "trainings": outcome.trainings}
    for name, place in (("survivor", outcome.survivor), ("returned", outcome.returned)):
        row[f"{name}_rank"] = 1 + int((accuracy > accuracy[place]).sum())
        row[f"{name}_regret"] = float(accuracy.max() - accuracy[place])
    return row


def summarise(kind: str, rule: str, runs: list[dict[str, float]], sets: int) -> dict[str, Any]:
    columns = {name: np.asarray([run[name] for run in runs]) for name in runs[0]}
    return {
        "landscape": kind,
        "rule": rule,
        "iterations": float(np.median(columns["iterations"])),
        "most_iterations": int(columns["iterations"].max()),
        "trainings": float(columns["trainings"].mean()),
        "of_all_sets_every_iteration": float((columns["trainings"] / (sets * columns["iterations"])).mean()),
        "passes": float(columns["trainings"].mean() / sets),
        **{f"{name}_rank": float(np.median(columns[f"{name}_rank"])) for name in ("survivor", "returned")},
        **{name: float(columns[name].mean()) for name in columns if name.endswith("_regret")},
        "regret_error": float(columns["survivor_regret"].std() / np.sqrt(len(runs))),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| landscape | rule | iterations (most) | trainings | of all, every iteration | passes | "
        "survivor: rank, regret | returned: rank, regret | passes alone: regret |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['landscape']} | {row['rule']} | {row['iterations']:g} ({row['most_iterations']}) "
            f"| {row['trainings']:.0f} | {row['of_all_sets_every_iteration']:.0%} | {row['passes']:.1f} "
            f"| {row['survivor_rank']:g}, {100 * row['survivor_regret']:.2f} ± {100 * row['regret_error']:.2f} "
            f"| {row['returned_rank']:g}, {100 * row['returned_regret']:.2f} "
            f"| {100 * row['enumerated_regret']:.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
