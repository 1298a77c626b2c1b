"""A metric as people read it: its words, its unit, which of two values is better and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from subarch.report import numbers

Unit = Literal["score", "count", "bytes", "milliseconds", "seconds", "plain"]

_LABELS = {
    "num_parameters": "parameters",
    "encoder_parameters": "encoder parameters",
    "model_bytes": "size",
    "latency_ms": "latency",
    "flops": "FLOPs",
    "inference_time": "inference time",
}
_UNITS: dict[str, Unit] = {
    "parameters": "count",
    "flops": "count",
    "macs": "count",
    "bytes": "bytes",
    "ms": "milliseconds",
    "seconds": "seconds",
}
_SCORES = ("accuracy", "f1", "match", "correlation", "precision", "recall", "score", "agreement", "auc", "pearson")
_SUPERLATIVES = {"count": "smallest", "bytes": "smallest", "milliseconds": "fastest", "seconds": "fastest"}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number that trials report. `factor` is 100 where a share of one is shown in points."""

    name: str
    direction: str = "maximize"
    threshold: float | None = None
    role: str = "objective"
    unit: Unit = "plain"
    factor: int = 1

    @property
    def label(self) -> str:
        """Its words within a sentence."""
        if self.name in _LABELS:
            return _LABELS[self.name]
        ending = self.name.rsplit("_", 1)[-1]
        bare = self.name.removesuffix(f"_{ending}") if ending in ("ms", "bytes", "seconds") else self.name
        return numbers.metric_name(bare)

    @property
    def maximised(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"

    @property
    def superlative(self) -> str:
        """What a model is that is best in it: smallest, fastest, best, lowest."""
        return "best" if self.maximised else _SUPERLATIVES.get(self.unit, "lowest")

    def cost(self, value: float | None) -> float:
        """The value such that less is better; infinite where there is none."""
        if value is None:
            return math.inf
        return -value if self.maximised else value

    def met(self, value: float | None) -> bool:
        """Whether the value meets the threshold, if there is one."""
        return self.threshold is None or self.cost(value) <= self.cost(self.threshold)

    def written(self, value: float | None) -> str:
        """The value with its unit."""
        if value is None:
            return ""
        ways = {
            "count": numbers.count,
            "bytes": numbers.size,
            "milliseconds": numbers.milliseconds,
            "seconds": numbers.seconds,
        }
        if self.unit == "score":
            return numbers.score(value * self.factor / 100, percent=True)
        return ways.get(self.unit, numbers.significant)(value)

    def change(self, value: float, reference: float) -> str:
        """How the value differs from the reference: `+1.2 points` of a score, `−22 %` of anything else."""
        if self.unit == "score":
            difference = round(self.factor * (value - reference), 1)
            return f"{_signed(difference, '.1f')} point{'' if abs(difference) == 1 else 's'}"
        if reference == 0:
            return _signed(value, ".3g")
        share = 100 * (value - reference) / abs(reference)
        return f"{_signed(share, '.0f' if abs(share) >= 9.5 else '.1f')} %"

    def threshold_text(self) -> str:
        """The threshold as a condition: `exact match ≥ 50.0`."""
        return f"{self.label} {'≥' if self.maximised else '≤'} {self.written(self.threshold)}"


def read_metrics(rows: Sequence[Mapping[str, Any]], seen: Sequence[Mapping[str, float]]) -> tuple[Metric, ...]:
    """The metrics that the rows describe; the values seen in trials say whether a score is a share of one."""
    return tuple(_metric(row, [values[row["name"]] for values in seen if row["name"] in values]) for row in rows)


def _metric(row: Mapping[str, Any], seen: Sequence[float]) -> Metric:
    name, threshold = str(row["name"]), row.get("threshold")
    unit: Unit = next((unit for word, unit in _UNITS.items() if name.split("_")[-1] == word), "plain")
    if unit == "plain" and any(word in name for word in _SCORES):
        unit = "score"
    known = [*seen, *([threshold] if threshold is not None else [])]
    share = unit == "score" and all(-1 <= value <= 1 for value in known)
    return Metric(
        name=name,
        direction=str(row.get("direction", "maximize")),
        threshold=threshold,
        role=str(row.get("role", "objective")),
        unit=unit,
        factor=100 if share else 1,
    )


def _signed(value: float, form: str) -> str:
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{abs(value):{form}}"
