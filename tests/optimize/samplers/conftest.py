"""Small problems for the samplers."""

import numpy as np
import pytest

from subarch.optimize.domain import Choice, Condition, Domain, Float, Int, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem

MIXED = Domain(
    parameters={
        "rate": Float(low=1e-5, high=1e-1, log=True),
        "layers": Int(low=1, high=6),
        "start": Choice(values=("random", "inherited")),
        "width": Choice(values=(64, 128, 256), ordered=True),
        "warm": Float(low=0.0, high=0.5),
    },
    conditions={"warm": Condition(parent="start", values=("inherited",))},
)


def quality(params):
    """Best at a rate of 1e-3, many layers, wide and inherited."""
    off = (np.log10(params["rate"]) + 3.0) ** 2
    loss = 0.05 * off + 0.3 / params["layers"] + 8.0 / params["width"]
    return 1.0 - loss - (0.1 if params["start"] == "random" else 0.1 * abs(params["warm"] - 0.1))


def size(params):
    return float(params["layers"] * params["width"])


def report(params):
    return {"quality": float(quality(params)), "size": size(params)}


@pytest.fixture
def mixed():
    metrics = (Metric(name="quality", threshold=0.4), Metric(name="size", direction="minimize"))
    return Problem(domain=MIXED, metrics=metrics, reference={"size": 1600.0})


@pytest.fixture
def square():
    """Two numbers, one metric: the distance from a corner region."""
    domain = Domain(parameters={"x": Float(low=0.0, high=1.0), "y": Float(low=0.0, high=1.0)})
    return Problem(domain=domain, metrics=(Metric(name="loss", direction="minimize"),))


@pytest.fixture
def table():
    rows = tuple({"layers": layers, "heads": heads} for layers in range(1, 7) for heads in range(1, 6))
    metrics = (Metric(name="quality"), Metric(name="size", direction="minimize"))
    return Problem(domain=Table(rows), metrics=metrics)
