"""How long a suggestion takes when 300 trials are known: ours against Optuna's GPSampler, in turn in one process.

    python benchmarks/suggestion_time.py
    python benchmarks/suggestion_time.py --parameters 17 --metrics 3 --suggestions 18

The trials are random ones of a smooth function with a little noise, told to both. Ours fits hyperparameters anew in one
suggestion of 18, so that 18 suggestions have one such. Set OMP_NUM_THREADS=1. Prints JSON, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from itertools import product

import numpy as np

from subarch.optimize.domain import Domain, Float, Params
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.registry import make_sampler
from subarch.optimize.study import Study
from subarch.running.machine import describe_machine

KNOWN_TRIALS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=int, nargs="+", default=[10, 17])
    parser.add_argument("--metrics", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--suggestions", type=int, default=18, help="of ours; Optuna's GPSampler gives a third as many")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for parameters, metrics in product(arguments.parameters, arguments.metrics):
        known = trials(parameters, metrics, arguments.seed)
        ours = timed(subarch_suggestions(parameters, metrics, arguments.seed, known), arguments.suggestions)
        theirs = timed(optuna_suggestions(parameters, metrics, arguments.seed, known), -(-arguments.suggestions // 3))
        rows.append({"parameters": parameters, "metrics": metrics, "subarch": ours, "optuna_gp": theirs})
    print(json.dumps({"known_trials": KNOWN_TRIALS, "rows": rows, "machine": describe_machine()}, indent=2))


def names(parameters: int) -> list[str]:
    return [f"x{place}" for place in range(parameters)]


def measured(params: Params, metrics: int, rng: np.random.Generator) -> list[float]:
    """Bowls around different places, each of some of the parameters."""
    x = np.array([float(value) for value in params.values()])
    bowls = [((x[place::metrics] - (place + 1) / (metrics + 1)) ** 2).sum() for place in range(metrics)]
    return [float(bowl + 0.1 * x[0] + 0.01 * rng.standard_normal()) for bowl in bowls]


def trials(parameters: int, metrics: int, seed: int) -> list[tuple[dict[str, float], list[float]]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(KNOWN_TRIALS):
        params = {name: float(rng.random()) for name in names(parameters)}
        found.append((params, measured(params, metrics, rng)))
    return found


Step = Callable[[], None]
"""One suggestion, and its result told."""
Known = list[tuple[dict[str, float], list[float]]]


def subarch_suggestions(parameters: int, metrics: int, seed: int, known: Known) -> Step:
    domain = Domain(parameters={name: Float(low=0.0, high=1.0) for name in names(parameters)})
    objectives = [f"f{place}" for place in range(metrics)]
    problem = Problem(domain=domain, metrics=tuple(Metric(name=name, direction="minimize") for name in objectives))
    study = Study(problem, make_sampler("bayesian", seed=seed), seed)
    rng = np.random.default_rng(seed)
    for params, values in known:
        study.tell(study.ask(params).number, dict(zip(objectives, values, strict=True)))

    def step() -> None:
        trial = study.ask()
        study.tell(trial.number, dict(zip(objectives, measured(trial.params, metrics, rng), strict=True)))

    return step


def optuna_suggestions(parameters: int, metrics: int, seed: int, known: Known) -> Step:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    sampler = optuna.samplers.GPSampler(seed=seed)
    study = optuna.create_study(directions=["minimize"] * metrics, sampler=sampler)
    ranges = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names(parameters)}
    rng = np.random.default_rng(seed)
    study.add_trials(
        [optuna.trial.create_trial(params=params, distributions=ranges, values=values) for params, values in known]
    )

    def step() -> None:
        trial = study.ask(ranges)
        study.tell(trial, measured(trial.params, metrics, rng))

    return step


def timed(step: Step, count: int) -> dict[str, float]:
    """Processor seconds; the first suggestion, which fits whatever the trials are, is apart."""
    seconds = []
    for _ in range(count + 1):
        started = time.process_time()
        step()
        seconds.append(time.process_time() - started)
    first, *rest = seconds
    return {"first": first, "median": statistics.median(rest), "low": min(rest), "high": max(rest), "count": len(rest)}


if __name__ == "__main__":
    main()
