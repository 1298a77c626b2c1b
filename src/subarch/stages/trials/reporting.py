"""What a search says of itself: the page that is written while it runs, and the metrics of `result.json`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from subarch.optimize.domain import Choice, Domain, Float
from subarch.optimize.importance import importance
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.trials import Trial
from subarch.report.search import search_page
from subarch.stages.trials.driver import Driver
from subarch.stages.trials.ledger import Entry
from subarch.storage import read_json, replacing_file, write_json

REPORT_FILE = "report.html"
SECONDS = 30.0
"""Least time between two writings of the page while the search runs."""
SHARE = 0.05
"""Most of the time that writing it may take."""

Confirmed = Mapping[int, Mapping[str, Mapping[str, float]]]
"""{trial: {metric: {"mean", "std", "count"}}} on data that selected nothing."""


@dataclass(kw_only=True)
class Reporter:
    """Writes the page of a search, not too often."""

    folder: Path
    title: str
    facts: Mapping[str, str]
    notes: tuple[str, ...] = ()
    """What was told of the data."""
    _due: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def path(self) -> Path:
        """The page."""
        return self.folder / REPORT_FILE

    def keep_slices(self, entry: Entry, value: Mapping[str, Any]) -> None:
        """Keep a trial's scores by slice, which are too long for the record."""
        if value.get("slices"):
            write_json(self.folder / "slices" / f"{entry.number}.json", value["slices"])

    def refresh(self, driver: Driver) -> None:
        """Write the page, if it is time."""
        began = time.monotonic()
        if began < self._due:
            return
        self.write(driver, running=True)
        now = time.monotonic()
        self._due = now + max(SECONDS, (now - began) / SHARE)

    def write(self, driver: Driver, confirmed: Confirmed | None = None, *, running: bool = False) -> dict[str, Any]:
        """Write the page, and return the metrics of `result.json` that go with it."""
        study, entries = driver.study, driver.entries
        effects = _effects(study.problem, study.trials, driver.plan.seed)
        inert = _inert(study.problem, effects)
        numbers = [trial.number for trial in study.front()]
        baseline = driver.baseline
        content = {
            "title": self.title,
            "subtitle": subtitle(driver),
            "metrics": [_metric(metric) for metric in study.problem.metrics],
            "parameters": _parameters(study.problem),
            "trials": _trials(driver, baseline),
            "baseline": baseline,
            "front": numbers,
            "hypervolume": study.hypervolume_history(),
            "importance": effects,
            "inert": inert,
            "confirmed": [{"number": number, "metrics": metrics} for number, metrics in (confirmed or {}).items()],
            "slices": self._slices([*numbers, *([] if baseline is None else [baseline])]),
            "curves": {
                number: [list(point) for point in entry.ending.curve]
                for number, entry in entries.items()
                if entry.ending is not None and entry.ending.curve
            },
            "notes": list(self.notes),
            "facts": dict(self.facts),
            "running": running,
        }
        with replacing_file(self.path) as temporary:
            temporary.write_text(search_page(content), encoding="utf-8")
        return {**_metrics(driver, confirmed or {}), "inert": inert}

    def _slices(self, numbers: list[int]) -> dict[int, Any]:
        files = {number: self.folder / "slices" / f"{number}.json" for number in numbers}
        return {number: read_json(file) for number, file in files.items() if file.exists()}


def subtitle(driver: Driver) -> str:
    """How far it is, in one line; where no trial is feasible yet, the nearest is named."""
    seen = driver.progress()
    line = f"{seen['done']} of {seen['total']} trials, {seen['front']} on the front"
    missed = unmet(driver)
    return f"{line}; {missed}" if missed else line


def unmet(driver: Driver) -> str | None:
    """Which thresholds nothing meets yet, and by how much the nearest trial misses them; None where one is feasible."""
    nearest = driver.study.nearest_to_feasible()
    if nearest is None:
        return None
    limits = driver.study.problem.limited
    names = " and ".join(f"{m.name} {'>=' if m.direction == 'maximize' else '<='} {m.threshold:g}" for m in limits)
    values = ", ".join(f"{metric.name} {nearest.metrics[metric.name]:.4g}" for metric in limits)
    return f"no trial meets {names} yet, the nearest is trial {nearest.number} with {values}"


def _metrics(driver: Driver, confirmed: Confirmed) -> dict[str, Any]:
    study = driver.study
    states = [trial.state for trial in study.trials]
    volume = study.hypervolume()
    return {
        "trials": driver.ended,
        "failed": states.count("failed"),
        "stopped": states.count("stopped"),
        "lost": [entry.number for entry in driver.lost],
        "front": [_row(driver, trial, confirmed) for trial in study.front()],
        "baseline": None if driver.baseline is None else _row(driver, study.trials[0], confirmed),
        "hypervolume": volume if math.isfinite(volume) else 0.0,
        "thresholds": {metric.name: metric.threshold for metric in study.problem.limited},
        "unmet": unmet(driver),
        "seconds_of_trials": round(sum(e.ending.seconds or 0 for e in driver.entries.values() if e.ending), 3),
    }


def _row(driver: Driver, trial: Trial, confirmed: Confirmed) -> dict[str, Any]:
    return {
        "number": trial.number,
        "params": dict(trial.params),
        "metrics": dict(trial.metrics),
        "run_id": driver.entries[trial.number].run_id,
        "confirmed": confirmed.get(trial.number),
    }


def _trials(driver: Driver, baseline: int | None) -> list[dict[str, Any]]:
    classes = driver.study.problem.classify(driver.study.trials, baseline)
    rows = []
    for trial in driver.study.trials:
        ending = driver.entries[trial.number].ending
        lost = ending is not None and ending.state == "lost"
        rows.append(
            {
                **{name: getattr(trial, name) for name in ("number", "params", "metrics", "errors")},
                "state": "failed" if lost else trial.state,
                "class": "failed" if lost else classes[trial.number],
                "reason": trial.reason if ending is None else ending.reason,
                "seconds": None if ending is None else ending.seconds,
            }
        )
    return rows


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "direction": metric.direction,
        "threshold": metric.threshold,
        "role": metric.role,
    }


def _parameters(problem: Problem) -> list[dict[str, Any]]:
    domain = problem.domain if isinstance(problem.domain, Domain) else problem.domain.domain
    rows = []
    for name, parameter in domain.parameters.items():
        choice = isinstance(parameter, Choice)
        kind = "choice" if choice else "float" if isinstance(parameter, Float) else "int"
        log = False if isinstance(parameter, Choice) else parameter.log
        choices = list(parameter.values) if isinstance(parameter, Choice) else None
        rows.append({"name": name, "kind": kind, "log": log, "choices": choices})
    return rows


def _effects(problem: Problem, trials: tuple[Trial, ...], seed: int) -> dict[str, list[dict[str, Any]]]:
    names = [metric.name for metric in problem.metrics]
    found = importance(problem, trials, seed)
    return {name: [asdict(effect) for effect in found[name]] for name in names if name in found}


def _inert(problem: Problem, effects: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Parameters that move no metric. Parameters about which too little is known are left out."""
    moving = {effect["parameter"] for rows in effects.values() for effect in rows if not effect["inert"]}
    shown = {effect["parameter"] for rows in effects.values() for effect in rows}
    return [row["name"] for row in _parameters(problem) if row["name"] in shown - moving]
