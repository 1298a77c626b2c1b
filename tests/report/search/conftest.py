"""A made-up search that looks like a real one: distilled students of some widths, with failures and a baseline."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import pytest

TOPICS = ("Normans", "Force", "Sky_(UK)", "Computational_complexity_theory", "Rhine", "Oxygen", "Black_Death", "Kenya")
TOPICS += ("Warsaw", "Packet_switching", "Yuan_dynasty", "Chloroplast", "Steam_engine", "Prime_number", "Huguenot")

METRICS = [
    {"name": "exact_match", "direction": "maximize", "threshold": 50.0, "role": "objective"},
    {"name": "num_parameters", "direction": "minimize", "threshold": None, "role": "objective"},
    {"name": "f1", "direction": "maximize", "threshold": None, "role": "stored"},
    {"name": "latency_ms", "direction": "minimize", "threshold": None, "role": "stored"},
]
PARAMETERS = [
    {"name": "student.num_hidden_layers", "kind": "int", "log": False, "choices": None},
    {"name": "student.num_attention_heads", "kind": "choice", "log": False, "choices": [2, 4, 6, 8, 10, 12]},
    {"name": "student.layers", "kind": "choice", "log": False, "choices": ["important", "first", "last", "spread"]},
    {"name": "loop.learning_rate", "kind": "float", "log": True, "choices": None},
    {"name": "loop.batch_size", "kind": "int", "log": True, "choices": None},
    {"name": "loop.weight_decay", "kind": "float", "log": True, "choices": None},
    {"name": "distillation.kind", "kind": "choice", "log": False, "choices": ["none", "logits"]},
    {"name": "distillation.temperature", "kind": "float", "log": False, "choices": None},
    {"name": "student.attention_probs_dropout_prob", "kind": "float", "log": False, "choices": None},
]


def _params(rng: random.Random) -> dict[str, Any]:
    params = {
        "student.num_hidden_layers": rng.randint(1, 12),
        "student.num_attention_heads": rng.choice([2, 4, 6, 8, 10, 12]),
        "student.layers": rng.choice(["important", "first", "last", "spread"]),
        "loop.learning_rate": 10 ** rng.uniform(-5.7, -2.0),
        "loop.batch_size": 2 ** rng.randint(2, 6),
        "loop.weight_decay": 10 ** rng.uniform(-7, -2),
        "distillation.kind": rng.choice(["none", "logits", "logits"]),
        "student.attention_probs_dropout_prob": rng.uniform(0, 0.6),
    }
    if params["distillation.kind"] == "logits":
        params["distillation.temperature"] = rng.uniform(1, 10)
    return params


def _measured(params: dict[str, Any], rng: random.Random) -> dict[str, float]:
    layers, heads = params["student.num_hidden_layers"], params["student.num_attention_heads"]
    size = 23_835_648 + layers * (4_727_000 + heads * 196_800)
    quality = 71 - 34 * math.exp(-layers * (0.6 + heads / 12) / 3)
    quality -= 3.2 * (math.log10(params["loop.learning_rate"]) + 4.3) ** 2
    quality += 1.5 * (params["distillation.kind"] == "logits") - 6 * params["student.attention_probs_dropout_prob"]
    quality = max(quality + rng.gauss(0, 0.7), 3.0)
    return {
        "exact_match": quality,
        "num_parameters": float(size),
        "f1": quality + 3.1 + rng.gauss(0, 0.3),
        "latency_ms": 1.3 + layers * (0.9 + heads / 20),
    }


def _dominates(one: dict[str, float], other: dict[str, float], metrics: list[dict[str, Any]]) -> bool:
    signs = [(m["name"], -1 if m["direction"] == "maximize" else 1) for m in metrics if m["role"] == "objective"]
    costs = [(sign * one[name], sign * other[name]) for name, sign in signs]
    return all(a <= b for a, b in costs) and any(a < b for a, b in costs)


def _meets(values: dict[str, float], metrics: list[dict[str, Any]]) -> bool:
    return all(
        m["threshold"] is None
        or (
            values[m["name"]] >= m["threshold"] if m["direction"] == "maximize" else values[m["name"]] <= m["threshold"]
        )
        for m in metrics
    )


def classified(content: dict[str, Any]) -> dict[str, Any]:
    """The content with classes, front and hypervolume made anew from its trials and metrics."""
    metrics, trials = content["metrics"], content["trials"]
    finished = [t for t in trials if t["state"] == "finished"]
    good = [t for t in finished if _meets(t["metrics"], metrics)]
    front = [t["number"] for t in good if not any(_dominates(o["metrics"], t["metrics"], metrics) for o in good)]
    for trial in trials:
        kind = trial["state"]
        if kind == "finished":
            kind = "front" if trial["number"] in front else "dominated" if trial in good else "beyond"
        trial["class"] = "baseline" if trial["number"] == content["baseline"] else kind
    content["front"] = front
    ended = [t for t in trials if t["state"] != "running"]
    content["hypervolume"] = [3.0e8 * (1 - math.exp(-index / 12)) for index in range(len(ended))] if front else []
    return content


def make_content(trials: int = 60, seed: int = 0) -> dict[str, Any]:
    """A search of so many trials; the first is the baseline."""
    rng = random.Random(seed)
    baseline = _params(rng) | {
        "student.num_hidden_layers": 6,
        "student.num_attention_heads": 12,
        "loop.learning_rate": 7.5e-6,
        "student.attention_probs_dropout_prob": 0.25,
        "distillation.kind": "none",
    }
    baseline.pop("distillation.temperature", None)
    content: dict[str, Any] = {
        "title": "SQuAD 2.0: all-MiniLM-L6-v2 → student",
        "subtitle": "exact match against parameters, 480 trials at most",
        "metrics": copy.deepcopy(METRICS),
        "parameters": copy.deepcopy(PARAMETERS),
        "trials": [_trial(number, _params(rng) if number else baseline, rng) for number in range(trials)],
        "baseline": 0,
        "inert": ["loop.weight_decay"],
        "notes": ["text 'text', label 'label': classification, 2 classes", "3 of 40 rows of test stand in train"],
        "facts": {"teacher": "all-MiniLM-L6-v2", "sampler": "bayesian, seed 0", "command": "subarch search r.toml"},
        "running": False,
    }
    classified(content)
    content["importance"] = _importance()
    members = [0, *(number for number in content["front"] if number)]
    by_number = {t["number"]: t for t in content["trials"]}
    content["confirmed"] = [_confirmed(by_number[number], rng) for number in members]
    content["slices"] = {number: _slices(by_number[number], rng) for number in members}
    content["curves"] = {t["number"]: _curve(t, rng) for t in content["trials"] if t["metrics"]}
    return content


def _trial(number: int, params: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    trial = {"number": number, "params": params, "metrics": {}, "errors": {}, "state": "finished", "reason": None}
    trial["seconds"] = 60 + 30 * params["student.num_hidden_layers"] + rng.uniform(0, 20)
    if params["loop.batch_size"] >= 32 and params["student.num_hidden_layers"] >= 8:
        size = rng.uniform(1, 4)
        trial |= {"state": "failed", "reason": f"CUDA out of memory: tried to allocate {size:.2f} GiB\nTraceback: …"}
    elif params["loop.learning_rate"] > 3e-3:
        trial |= {"state": "failed", "reason": f"DivergedError: the loss became nan at step {rng.randint(10, 900)}"}
    else:
        trial["metrics"] = _measured(params, rng)
        trial["errors"] = {"exact_match": 0.6 + rng.random() / 4}
        if number and trial["metrics"]["exact_match"] < 44:
            trial |= {"state": "stopped", "reason": "its curve can no longer reach the front"}
    return trial


def _importance() -> dict[str, list[dict[str, Any]]]:
    def rows(weights: list[float], directions: list[str | None]) -> list[dict[str, Any]]:
        return [
            {
                "parameter": parameter["name"],
                "importance": weight,
                "low": max(weight - 0.04, 0.0),
                "high": weight + 0.05,
                "direction": direction,
                "inert": parameter["name"] == "loop.weight_decay",
            }
            for parameter, weight, direction in zip(PARAMETERS, weights, directions, strict=True)
        ]

    ways = ["up", "up", None, "mixed", "down", None, None, "up", "down"]
    return {
        "exact_match": rows([0.38, 0.08, 0.03, 0.3, 0.02, 0.0, 0.07, 0.03, 0.09], ways),
        "num_parameters": rows([0.8, 0.2, 0, 0, 0, 0, 0, 0, 0], ways),
    }


def _confirmed(trial: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    values = trial["metrics"]
    mean = values["exact_match"] - rng.uniform(0.2, 1.6)
    size = values["num_parameters"]
    return {
        "number": trial["number"],
        "metrics": {
            "exact_match": {"mean": mean, "std": rng.uniform(0.2, 0.6), "count": 3},
            "f1": {"mean": mean + 3.0, "std": 0.3, "count": 3},
            "num_parameters": {"mean": size, "std": 0.0, "count": 3},
        },
    }


def _slices(trial: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    base = trial["metrics"]["exact_match"]
    topics = {
        topic: {"count": 40 + 13 * index, "exact_match": base - 15 + 2 * index + rng.gauss(0, 1)}
        for index, topic in enumerate(TOPICS)
    }
    answerable = {"yes": {"count": 2900, "exact_match": base - 6}, "no": {"count": 3000, "exact_match": base + 5.8}}
    return {"topic": topics, "answerable": answerable}


def _curve(trial: dict[str, Any], rng: random.Random) -> list[list[float]]:
    end = 4 if trial["state"] == "stopped" else 10
    top = trial["metrics"]["exact_match"]
    return [[step / 10, top * (1 - math.exp(-0.5 * step)) + rng.gauss(0, 0.4)] for step in range(1, end + 1)]


_CONTENT = make_content()


@pytest.fixture
def content() -> dict[str, Any]:
    return copy.deepcopy(_CONTENT)


@pytest.fixture(scope="session")
def make():
    """Builds a search of another size: `make(trials=500)`."""
    return make_content


@pytest.fixture(scope="session")
def classify():
    return classified
