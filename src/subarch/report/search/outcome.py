"""What a search's page shows, as values: read from a plain dict in which anything may be missing.

The dict holds `title`, `subtitle`, `metrics`, `parameters`, `trials`, `baseline`, `front`, `hypervolume`,
`importance`, `inert`, `confirmed`, `slices`, `curves`, `notes`, `facts` and `running`. Keys that are trial numbers may
be text, as JSON makes them. None, NaN and infinity count as not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any

from subarch.report import content as report_content
from subarch.report.search.metric import Metric, read_metrics

KINDS = ("failed", "stopped", "running", "beyond", "dominated", "front", "baseline")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What was searched: `label` is the shortest end of its dotted name that no other has."""

    name: str
    label: str
    kind: str = "float"
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A configuration that was tried; `kind` is its class among all trials."""

    number: int
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    errors: Mapping[str, float]
    kind: str
    reason: str = ""
    seconds: float | None = None

    @property
    def name(self) -> str:
        """How texts speak of it: `#17`."""
        return f"#{self.number}"

    @property
    def finished(self) -> bool:
        """Whether its values are final."""
        return self.kind in ("beyond", "dominated", "front", "baseline")


@dataclass(frozen=True, kw_only=True)
class Search:
    """All that the page shows."""

    title: str
    subtitle: str
    metrics: tuple[Metric, ...]
    parameters: tuple[Parameter, ...]
    trials: tuple[Trial, ...]
    baseline: int | None
    front: tuple[int, ...]
    hypervolume: tuple[float, ...]
    importance: Mapping[str, list[dict[str, Any]]]
    inert: tuple[str, ...]
    confirmed: Mapping[int, Mapping[str, Mapping[str, float]]]
    slices: Mapping[int, Mapping[str, Mapping[str, Mapping[str, float]]]]
    curves: Mapping[int, list[list[float]]]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    running: bool = False

    @cached_property
    def objectives(self) -> tuple[Metric, ...]:
        """The metrics that are optimised."""
        return tuple(metric for metric in self.metrics if metric.role == "objective")

    @cached_property
    def by_number(self) -> dict[int, Trial]:
        """The trials under their numbers."""
        return {trial.number: trial for trial in self.trials}

    @cached_property
    def members(self) -> tuple[Trial, ...]:
        """The trials on the front, the best in the first objective first."""
        found = [self.by_number[number] for number in self.front if number in self.by_number]
        first = self.objectives[0] if self.objectives else None
        return tuple(sorted(found, key=lambda trial: first.cost(trial.metrics.get(first.name)) if first else 0))

    @property
    def reference(self) -> Trial | None:
        """The baseline, where it has finished."""
        trial = self.by_number.get(self.baseline) if self.baseline is not None else None
        return trial if trial is not None and trial.finished else None

    def of(self, *kinds: str) -> list[Trial]:
        """The trials of these classes."""
        return [trial for trial in self.trials if trial.kind in kinds]

    def feasible(self, trial: Trial) -> bool:
        """Whether the trial has finished and meets every threshold."""
        return trial.finished and all(metric.met(trial.metrics.get(metric.name)) for metric in self.metrics)

    def label(self, parameter: str) -> str:
        """The short name of a parameter."""
        return next((known.label for known in self.parameters if known.name == parameter), parameter)


def read(content: Mapping[str, Any]) -> Search:
    """The search that the dict describes; what is missing in it is empty."""
    cleaned = {key: value for key, value in report_content.present(content).items() if key != "models"}
    trials = tuple(sorted((_trial(row) for row in _rows(cleaned, "trials")), key=lambda trial: trial.number))
    baseline = cleaned.get("baseline")
    return Search(
        title=str(cleaned.get("title") or "Search"),
        subtitle=str(cleaned.get("subtitle", "")),
        metrics=read_metrics(_rows(cleaned, "metrics"), [trial.metrics for trial in trials]),
        parameters=tuple(_parameters(_rows(cleaned, "parameters"))),
        trials=trials,
        baseline=None if baseline is None else int(baseline),
        front=tuple(int(number) for number in cleaned.get("front", ())),
        hypervolume=tuple(map(float, cleaned.get("hypervolume", ()))),
        importance={name: [dict(row) for row in rows] for name, rows in cleaned.get("importance", {}).items()},
        inert=tuple(map(str, cleaned.get("inert", ()))),
        confirmed={int(row["number"]): row.get("metrics", {}) for row in _rows(cleaned, "confirmed")},
        slices={int(number): slices for number, slices in cleaned.get("slices", {}).items()},
        curves={int(number): list(points) for number, points in cleaned.get("curves", {}).items()},
        notes=tuple(map(str, cleaned.get("notes", ()))),
        facts={str(key): str(value) for key, value in cleaned.get("facts", {}).items()},
        running=bool(cleaned.get("running", False)),
    )


def short_names(names: Sequence[str]) -> list[str]:
    """Each dotted name as the shortest of its ends that no other name ends with."""
    parts = [name.split(".") for name in names]
    short = []
    for name in parts:
        ends = [name[-count:] for count in range(1, len(name) + 1)]
        alone = (end for end in ends if sum(other[-len(end) :] == end for other in parts) == 1)
        short.append(".".join(next(alone, name)))
    return short


def _rows(cleaned: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [row for row in cleaned.get(key, []) if isinstance(row, dict)]


def _trial(row: Mapping[str, Any]) -> Trial:
    # A baseline that failed or still runs has no final values, whatever its class.
    state = row.get("state")
    kind = state if state in ("failed", "stopped", "running") else row.get("class")
    return Trial(
        number=int(row["number"]),
        params=row.get("params", {}),
        metrics=_numbers(row.get("metrics", {})),
        errors=_numbers(row.get("errors", {})),
        kind=kind if kind in KINDS else "running",
        reason=str(row.get("reason", "")),
        seconds=row.get("seconds"),
    )


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if isinstance(value, Real)}


def _parameters(rows: Sequence[Mapping[str, Any]]) -> Iterable[Parameter]:
    labels = short_names([str(row["name"]) for row in rows])
    for row, label in zip(rows, labels, strict=True):
        yield Parameter(
            name=str(row["name"]),
            label=label,
            kind=str(row.get("kind", "float")),
            log=bool(row.get("log", False)),
            choices=tuple(row.get("choices", ())),
        )
