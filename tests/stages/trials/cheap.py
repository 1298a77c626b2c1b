"""Searches whose trials take no time: a problem, its trial functions, and what makes a driver of them."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subarch.errors import DivergedError, StorageError
from subarch.optimize.domain import Domain, Float, Int
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.running.executor import InProcessExecutor, WorkerLost
from subarch.stages.trials.attempts import Trying
from subarch.stages.trials.driver import Driver, Plan
from subarch.stages.trials.ledger import Ledger


class Drifting:
    """A sampler whose suggestions depend on every trial that it is shown, and on its generator."""

    name = "drifting"

    def suggest(self, problem, trials, rng):
        told = sum(trial.metrics.get("score", 0.5) for trial in trials)
        return problem.domain.from_unit([(rng.random() + told) % 1.0, rng.random()])


@dataclass(frozen=True)
class Task:
    number: int
    params: dict
    seed: int
    attempt: int
    folder: Path | None = None


def task_of(entry):
    return Task(entry.number, dict(entry.params), entry.seed, entry.attempt)


def problem(score=None):
    domain = Domain(parameters={"x": Float(low=0.0, high=1.0), "size": Int(low=1, high=20)})
    quality = Metric(name="score", threshold=score)
    cost = Metric(name="cost", direction="minimize")
    return Problem(domain=domain, metrics=(quality, cost, Metric(name="kept", store=True)))


def trial(task, tell):
    x, size = task.params["x"], task.params["size"]
    score = 1 - (x - 0.3) ** 2 - 0.5 / size
    for step in (1, 2, 3):
        tell({"event": "evaluation", "step": step, "progress": step / 3, "score": score * step / 3})
    return {"metrics": {"score": score, "cost": float(size), "kept": x}, "errors": {"score": 0.01}}


def priced():
    """The same, where the cost is known in advance and nothing else is asked for."""
    given = problem()
    cost = {"cost": lambda params: float(params["size"])}
    return Problem(domain=given.domain, metrics=given.metrics[:2], known=cost)


def curved(task, tell):
    """A learning curve of ten noisy points, which rises faster for some configurations than for others."""
    x, size = task.params["x"], task.params["size"]
    noise = np.random.default_rng(task.seed).normal(0, 0.01, 11)
    score = 1 - (x - 0.3) ** 2 - 0.5 / size
    for step in range(1, 11):
        now = score * (1 - 0.5 * math.exp(-(2 + x) * step / 10)) + noise[step]
        tell({"event": "evaluation", "step": step, "progress": step / 10, "score": now})
    return {"metrics": {"score": score + noise[0]}, "errors": {"score": 0.01}}


def diverging(task, tell):
    if task.number % 2:
        raise DivergedError("the loss is nan at step 3")
    return trial(task, tell)


def unreported(task, tell):
    return {"metrics": {"score": 0.5, "cost": 1.0}}


def not_a_number(task, tell):
    return {"metrics": {"score": float("nan"), "cost": 1.0, "kept": 0.0}}


def lost_once(task, tell):
    if task.number == 2 and task.attempt == 1:
        raise WorkerLost("a worker died")
    return trial(task, tell)


def lost_for_good(task, tell):
    if task.number == 2:
        raise WorkerLost("a worker died")
    return trial(task, tell)


def always_lost(task, tell):
    raise WorkerLost("a worker died")


def full_disk(task, tell):
    if task.number == 3:
        raise StorageError("no space left on the disk while writing x", "free some space")
    return trial(task, tell)


def plan(trials=6, **changes):
    return Plan(**{"problem": problem(), "sampler": Drifting(), "trials": trials, "seed": 3, **changes})


def trying(function=trial, executor=None, **changes):
    settings = {"executor": executor or InProcessExecutor(), "function": function, "task_of": task_of}
    return Trying(**{**settings, **changes})


def opened(record, run_id=None, **changes):
    """A run for a search, and its driver."""
    run = record.start("search", name="cheap", config={}, run_id=run_id)
    return run, Driver(plan(**changes), Ledger(record, run.run_id))
