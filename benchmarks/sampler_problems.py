"""What `samplers.py` gives samplers to solve: plain functions with a domain, metrics and a reference point.

ZDT1 to 3 are of Zitzler, Deb and Thiele (2000), DTLZ2 of Deb et al. (2002), C2-DTLZ2 of Jain and Deb (2014). The others
have the shape of a search for smaller encoders: quality as an S-curve in the size, a training that must fit, a size
that is a function of the configuration, configurations that fail. Hypervolume is taken against the threshold of an
objective or else the reference given here, of noise-free values, and of the trials that meet every threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from json_lines import read_lines
from subarch.optimize.domain import Choice, Condition, Domain, Float, Int, Params
from subarch.optimize.metrics import Metric
from subarch.optimize.study import Problem

Values = dict[str, float]


class Failed(Exception):
    """This configuration fails, whenever it is tried."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A problem, and the function behind it."""

    problem: Problem
    truth: Callable[[Params], Values]
    """Noise-free metrics; raises Failed."""
    noise: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation of what is reported, by metric."""
    errors: Mapping[str, float] = field(default_factory=dict)
    """Standard errors that are reported along with the metrics."""
    traits: tuple[str, ...] = ()

    def reported(self, truth: Values, rng: np.random.Generator) -> Values:
        return {name: value + self.noise.get(name, 0.0) * rng.standard_normal() for name, value in truth.items()}


def task(name: str) -> Task:
    """By its name in PROBLEMS, or `table:FILE` for trials that were run before."""
    if name.startswith("table:"):
        return table(Path(name.removeprefix("table:")))
    if name not in PROBLEMS:
        raise SystemExit(f"unknown problem {name}, expected table:FILE or one of {', '.join(PROBLEMS)}")
    return PROBLEMS[name]()


# Of the unit cube.


def zdt1(x: list[float]) -> Values:
    g = 1 + 9 * float(np.mean(x[1:]))
    return {"f1": x[0], "f2": g * (1 - math.sqrt(x[0] / g))}


def zdt2(x: list[float]) -> Values:
    g = 1 + 9 * float(np.mean(x[1:]))
    return {"f1": x[0], "f2": g * (1 - (x[0] / g) ** 2)}


def zdt3(x: list[float]) -> Values:
    g = 1 + 9 * float(np.mean(x[1:]))
    return {"f1": x[0], "f2": g * (1 - math.sqrt(x[0] / g) - x[0] / g * math.sin(10 * math.pi * x[0]))}


def dtlz2(x: list[float], objectives: int) -> Values:
    g = sum((value - 0.5) ** 2 for value in x[objectives - 1 :])
    angles = [math.pi / 2 * value for value in x[: objectives - 1]]
    values = {}
    for place in range(objectives):
        cosines = angles[: objectives - 1 - place]
        sine = math.sin(angles[objectives - 1 - place]) if place else 1.0
        values[f"f{place + 1}"] = (1 + g) * math.prod(map(math.cos, cosines)) * sine
    return values


def c2dtlz2(x: list[float], radius: float = 0.2) -> Values:
    """Only balls around the corners and the middle of the front are feasible: `slack` of zero or more."""
    values = dtlz2(x, 2)
    f = np.array(list(values.values()))
    corners = min((f[i] - 1) ** 2 + f[1 - i] ** 2 - radius**2 for i in range(2))
    middle = float(((f - 1 / math.sqrt(2)) ** 2).sum() - radius**2)
    return {**values, "slack": -float(min(corners, middle))}


def cube(
    function: Callable[[list[float]], Values],
    dimensions: int,
    metrics: tuple[Metric, ...],
    reference: Values,
    **more: Any,
) -> Task:
    names = [f"x{place + 1}" for place in range(dimensions)]
    domain = Domain(parameters={name: Float(low=0.0, high=1.0) for name in names})
    problem = Problem(domain=domain, metrics=metrics, reference=reference)
    return Task(problem=problem, truth=lambda params: function([float(params[name]) for name in names]), **more)


def minimised(count: int, **thresholds: float) -> tuple[Metric, ...]:
    names = [f"f{place + 1}" for place in range(count)]
    return tuple(Metric(name=name, direction="minimize", threshold=thresholds.get(name)) for name in names)


# Of the shape of a compression.

VOCABULARY = 30_522
WIDTH_OF_HEAD = 64


def size_of(params: Params) -> float:
    """Parameters of an encoder of the BERT family."""
    width = WIDTH_OF_HEAD * int(params["heads"])
    inner = int(params["inner"])
    layer = 4 * width * width + 2 * width * inner + 9 * width + inner
    return float(VOCABULARY * width + int(params["layers"]) * layer)


LARGEST = size_of({"layers": 12, "heads": 12, "inner": 3072})


def exact_match(params: Params) -> float:
    """In per cent: an S-curve in the logarithm of the size, times how well the training fits.

    About one random configuration in ten reaches 50. The best learning rate falls with the width, and rises with the
    batch; the warm-up and the weight decay hardly matter, as some settings of every search.
    """
    size = 1 / (1 + math.exp(-(math.log10(size_of(params)) - 7.32) / 0.16))
    best = -3.8 - 0.6 * math.log10(int(params["heads"]) / 6) + 0.25 * math.log2(int(params["batch"]) / 16)
    rate = math.exp(-(((math.log10(float(params["learning_rate"])) - best) / 1.1) ** 2))
    deep = 1 - 0.15 * max(0.0, (3 - int(params["layers"])) / 3) ** 2
    heat = math.log10(float(params["temperature"]) / 3)
    soft = 1 - 0.25 * (float(params["soft_share"]) - 0.75) ** 2 - 0.08 * heat**2
    small = 1 - 0.01 * abs(float(params["warmup"]) - 0.1) - 0.005 * float(params["weight_decay"])
    return 8 + 62 * size * rate * deep * soft * small


TRAINING = {
    "layers": Int(low=1, high=12),
    "heads": Int(low=2, high=12),
    "inner": Choice(values=(256, 512, 1024, 1536, 2048, 3072), ordered=True),
    "learning_rate": Float(low=1e-6, high=1e-2, log=True),
    "batch": Choice(values=(8, 16, 32, 64), ordered=True),
    "soft_share": Float(low=0.0, high=1.0),
    "temperature": Float(low=1.0, high=10.0),
    "warmup": Float(low=0.0, high=0.3),
    "weight_decay": Float(low=0.0, high=0.3),
}
NOISE = 0.8
"""Of an exact match on a few thousand questions, in points."""


def compression(fails: bool) -> Task:
    """Quality with a threshold of 50 %, and the size, which is known; some fail."""

    def truth(params: Params) -> Values:
        if fails:
            require_possible(params)
        return {"exact_match": exact_match(params), "num_parameters": size_of(params)}

    problem = Problem(
        domain=Domain(parameters=TRAINING),
        metrics=(Metric(name="exact_match", threshold=50.0), Metric(name="num_parameters", direction="minimize")),
        known={"num_parameters": size_of},
        reference={"num_parameters": LARGEST},
    )
    traits = ("threshold", "mixed", "noise", *(("failures",) if fails else ()))
    noise = {"exact_match": NOISE}
    return Task(problem=problem, truth=truth, noise=noise, errors=noise, traits=traits)


def require_possible(params: Params) -> None:
    """About a third fails: out of memory where size times batch is large, else divergence at large learning rates."""
    memory = int(params["layers"]) * int(params["heads"]) * int(params["batch"])
    if memory > 2000:
        raise Failed("out of memory")
    if math.log10(float(params["learning_rate"])) > -2.6 - 0.05 * int(params["layers"]):
        raise Failed("the loss is not finite")


def mixed() -> Task:
    """Categories, whole numbers and conditions: the error and the minutes of a training, no threshold."""
    parameters = {
        "optimizer": Choice(values=("adamw", "sgd", "lamb")),
        "learning_rate": Float(low=1e-5, high=1.0, log=True),
        "momentum": Float(low=0.0, high=0.99),
        "decay": Float(low=1e-4, high=1.0, log=True),
        "start": Choice(values=("inherited", "random")),
        "inherit": Choice(values=("first", "last", "spread")),
        "layers": Int(low=1, high=12),
        "batch": Int(low=4, high=128, log=True),
        "epochs": Int(low=1, high=10),
    }
    conditions = {
        "momentum": Condition(parent="optimizer", values=("sgd",)),
        "decay": Condition(parent="optimizer", values=("adamw",)),
        "inherit": Condition(parent="start", values=("inherited",)),
    }
    problem = Problem(
        domain=Domain(parameters=parameters, conditions=conditions),
        metrics=(Metric(name="error", direction="minimize"), Metric(name="minutes", direction="minimize")),
        reference={"error": 0.6, "minutes": 60.0},
    )
    return Task(problem=problem, truth=mixed_truth, traits=("mixed",))


def mixed_truth(params: Params) -> Values:
    layers, epochs, batch = int(params["layers"]), int(params["epochs"]), int(params["batch"])
    best, floor = {"adamw": (-3.7, 0.10), "sgd": (-1.2, 0.12), "lamb": (-2.4, 0.11)}[str(params["optimizer"])]
    best += 0.3 * math.log2(batch / 32) / 2
    rate = 1 - math.exp(-(((math.log10(float(params["learning_rate"])) - best) / 0.7) ** 2))
    extra = 0.01
    if "momentum" in params:
        extra = 0.10 * (float(params["momentum"]) - 0.9) ** 2
    elif "decay" in params:
        extra = 0.01 * (math.log10(float(params["decay"])) + 2) ** 2
    if params["start"] == "random":
        start, needed = 0.10, 3.0
    else:
        start, needed = {"first": 0.03, "last": 0.05, "spread": 0.0}[str(params["inherit"])], 1.5
    untrained = 0.35 * math.exp(-epochs / needed)
    shallow = 0.3 * math.exp(-layers / 2.5)
    error = min(0.9, floor + 0.5 * rate + extra + start + untrained + shallow)
    return {"error": error, "minutes": epochs * (0.2 + 0.4 * layers) * (1 + 8 / batch)}


# Of trials that were run.

FOREST = {"n_estimators": 200, "min_samples_leaf": 2, "max_features": 0.5, "random_state": 0}


def table(path: Path) -> Task:
    """A landscape learned from the trials that `search_table.py` wrote: accuracy and failure by random forests.

    Such surrogates of real trials are what samplers are compared on where each trial is dear (Eggensperger et al. 2015,
    "Efficient Benchmarking of Hyperparameter Optimizers via Surrogates"). The nearest trial instead would make a
    landscape of cells, in which whoever looks near a good trial finds the same one again. Known metrics are exact. The
    first line of the file holds the parameters and the metrics, every other one a trial.
    """
    header, *rows = read_lines(path)
    domain = Domain.parse(header["parameters"])
    metrics = tuple(Metric(**metric) for metric in header["metrics"])
    sizes, names = header["sizes"], header["known"]
    known_of = {
        tuple(values[: len(sizes)]): dict(zip(names, values[len(sizes) :], strict=True))
        for values in header["known_of_sizes"]
    }
    finished = [row for row in rows if row["state"] == "finished"]
    places = domain.encode_many([row["params"] for row in rows])
    fails = RandomForestClassifier(**FOREST).fit(places, [row["state"] == "failed" for row in rows])
    where = domain.encode_many([row["params"] for row in finished])
    learned = {
        metric.name: RandomForestRegressor(**FOREST).fit(where, [row["metrics"][metric.name] for row in finished])
        for metric in metrics
        if metric.name not in names
    }

    def truth(params: Params) -> Values:
        place = domain.encode_many([params])
        if fails.predict(place)[0]:
            raise Failed("as the trials there")
        return {name: float(forest.predict(place)[0]) for name, forest in learned.items()} | {
            name: known(name, params) for name in names
        }

    def known(name: str, params: Params) -> float:
        return float(known_of[tuple(params[size] for size in sizes)][name])

    worst = {
        metric.name: max((row["metrics"][metric.name] for row in finished), key=metric.minimised)
        for metric in metrics
        if metric.role == "objective" and metric.threshold is None
    }
    errors = {name: float(np.mean([row["errors"][name] for row in finished])) for name in learned}
    problem = Problem(
        domain=domain, metrics=metrics, known={name: partial(known, name) for name in names}, reference=worst
    )
    traits = ["mixed", "noise", "table"]
    traits += ["threshold"] if any(metric.threshold is not None for metric in metrics) else []
    traits += ["failures"] if len(finished) < len(rows) else []
    return Task(problem=problem, truth=truth, noise=errors, errors=errors, traits=tuple(traits))


ZDT = {"f1": 1.1, "f2": 5.0}
"""Beyond what f1 can be, and worse than most random f2."""
DTLZ = {"f1": 1.1, "f2": 1.1, "f3": 1.1}

PROBLEMS: dict[str, Callable[[], Task]] = {
    "zdt1": lambda: cube(zdt1, 6, minimised(2), ZDT),
    "zdt2": lambda: cube(zdt2, 8, minimised(2), ZDT),
    "zdt3": lambda: cube(zdt3, 10, minimised(2), ZDT),
    "dtlz2": lambda: cube(partial(dtlz2, objectives=3), 6, minimised(3), DTLZ),
    "zdt1-noisy": lambda: cube(zdt1, 6, minimised(2), ZDT, noise={"f1": 0.02, "f2": 0.2}, traits=("noise",)),
    "c2dtlz2": lambda: cube(
        c2dtlz2,
        6,
        (*minimised(2), Metric(name="slack", threshold=0.0, constraint=True)),
        {"f1": 1.1, "f2": 1.1},
        traits=("constraint",),
    ),
    "dtlz2-threshold": lambda: cube(
        partial(dtlz2, objectives=2), 6, minimised(2, f2=0.5), {"f1": 1.5}, traits=("threshold",)
    ),
    "compression": lambda: compression(fails=False),
    "compression-failing": lambda: compression(fails=True),
    "mixed": mixed,
}
