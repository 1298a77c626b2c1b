"""Trials that compute nothing, for `search_kills.py`: a module of their own, since every worker imports it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """What a cheap trial needs."""

    params: dict[str, Any]
    seconds: float


def cheap_trial(task: Task, tell: Any) -> dict[str, Any]:
    """A trade-off of two metrics; some configurations fail."""
    x, size, kind = task.params["x"], int(task.params["size"]), task.params["kind"]
    time.sleep(task.seconds)
    tell({"event": "evaluation", "step": 1, "progress": 0.5, "score": x})
    if kind == "b" and x > 0.9:
        raise RuntimeError("out of memory")
    score = 1 - (x - 0.3) ** 2 - 0.5 / size - (0.05 if kind == "c" else 0.0)
    return {"metrics": {"score": score, "cost": float(size)}, "errors": {"score": 0.01}}
