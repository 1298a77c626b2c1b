"""The record of a search, and its only state: each trial is one child run. A resumed search reads them back.

A run is created together with a tag that says which trial it is. When the trial ends, one more tag is written, with
everything that the trial reported. Only MLflow's own status comes after that tag. So a kill at any moment leaves either
a trial that ended, or one that did not. A trial that did not end is tried again under the same number, parameters and
run. If the kill came before the status, a resumed search writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from subarch.errors import ConfigError
from subarch.optimize.parameters import Value
from subarch.optimize.trials import Trial
from subarch.tracking.record import Record, Run
from subarch.tracking.run import Status

TRIAL_TAG = "subarch.trial"
OUTCOME_TAG = "subarch.outcome"
THRESHOLDS_TAG = "subarch.thresholds"

_TAG_CHARACTERS = 5000
"""A longer tag would be cut, and JSON that is cut is lost."""
_REASON_CHARACTERS = 300

EndState = Literal["finished", "failed", "stopped", "lost"]
_STATUS: Mapping[EndState, Status] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "lost": "KILLED",
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What came of a trial, as it is kept."""

    state: EndState
    """lost: every attempt's worker died. That is no end: the next call of the search tries it again."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    seconds: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    """(progress, score) of its evaluations."""

    def to_text(self) -> str:
        """JSON that fits into a tag; of a long curve every second point is left out until it does."""
        text = json.dumps(asdict(self), allow_nan=False)
        while len(text) > _TAG_CHARACTERS and self.curve:
            return replace(self, curve=self.curve[1::2]).to_text()
        return _fitting(text, "what a trial reports")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial in the record: one configuration, under one seed."""

    number: int
    params: Mapping[str, Value]
    seed: int
    attempt: int = 1
    """1 for the first; counted on where a worker was lost, not where the search itself was killed."""
    run_id: str | None = None
    ending: Ending | None = None

    @property
    def key(self) -> tuple[int, int]:
        """What no two entries of a ledger share."""
        return self.number, self.seed

    @property
    def trial(self) -> Trial:
        """As a study sees it."""
        ending = self.ending
        if ending is None or ending.state == "lost":
            return Trial(number=self.number, params=self.params)
        return Trial(
            number=self.number,
            params=self.params,
            state=ending.state,
            metrics=ending.metrics,
            errors=ending.errors,
            reason=ending.reason,
        )

    def to_text(self) -> str:
        """JSON that fits into a tag."""
        values = {"number": self.number, "params": dict(self.params), "seed": self.seed, "attempt": self.attempt}
        return _fitting(json.dumps(values, allow_nan=False), f"the parameters of trial {self.number}")


class Ledger:
    """Writes and reads the child runs of a search.

    Args:
        record: Where they are.
        parent: Run id of the search; None where nothing is recorded.
        stage: What the children are called.
    """

    def __init__(self, record: Record, parent: str | None, stage: str = "trial") -> None:
        self._record, self._parent, self._stage = record, parent, stage
        self._runs: dict[tuple[int, int], Run] = {}

    def load(self) -> list[Entry]:
        """All entries by number, as an earlier process left them; what it could not complete is completed."""
        found: dict[tuple[int, int], Entry] = {}
        for run in self._record.runs(self._stage, self._parent) if self._parent else ():
            if TRIAL_TAG not in run["tags"]:
                continue
            entry = _entry(run)
            known = found.get(entry.key)
            # A server that answered too late was asked twice: of two runs of one entry, the one that ended counts.
            if known is None or (known.ending is None and entry.ending is not None):
                found[entry.key] = entry
            if run["status"] == "RUNNING" and entry.ending is not None:
                self._conclude(self._start(entry), entry.ending, run["traceback"])
            elif run["status"] == "RUNNING":
                self._start(entry).finish("KILLED")  # until it is tried again
        return sorted(found.values(), key=lambda entry: entry.key)

    def begin(self, entry: Entry) -> Entry:
        """Record that an entry is being tried; the one that comes back has its run."""
        run = self._start(entry)
        self._runs[entry.key] = run
        if entry.run_id is not None:
            run.tags({TRIAL_TAG: entry.to_text()})
        return replace(entry, run_id=run.run_id, ending=None)

    def point(self, entry: Entry, step: int, values: Mapping[str, float]) -> None:
        """Draw a point of each curve."""
        self._runs[entry.key].log(values, step=step)

    def end(self, entry: Entry, ending: Ending, traceback: str | None = None) -> None:
        """Record what came of an entry: with its outcome it has ended for good."""
        self._conclude(self._runs.pop(entry.key), ending, traceback)

    def leave(self) -> None:
        """End the runs of what is still being tried as stopped by the user: nothing is running any more."""
        for run in self._runs.values():
            run.finish("KILLED")
        self._runs.clear()

    def _start(self, entry: Entry) -> Run:
        return self._record.start(
            self._stage,
            name=f"{self._stage} {entry.number}",
            config={**entry.params, "seed": entry.seed},
            parent=self._parent,
            run_id=entry.run_id,
            tags={TRIAL_TAG: entry.to_text()},
        )

    def _conclude(self, run: Run, ending: Ending, traceback: str | None) -> None:
        failure = None if ending.state == "finished" else traceback or ending.reason or ending.state
        run.conclude(ending.metrics, 0, {OUTCOME_TAG: ending.to_text()}, failure)
        run.finish(_STATUS[ending.state])


def read_thresholds(record: Record, run_id: str | None) -> dict[str, float | None]:
    """The thresholds that were set after a search began, as its run keeps them."""
    for run in record.runs("search") if run_id else ():
        if run["run_id"] == run_id:
            found: dict[str, float | None] = json.loads(run["tags"].get(THRESHOLDS_TAG, "{}"))
            return found
    return {}


def write_thresholds(run: Run, thresholds: Mapping[str, float | None]) -> None:
    """Keep thresholds in the run of the search."""
    run.tags({THRESHOLDS_TAG: _fitting(json.dumps(dict(thresholds)), "thresholds")})


def finite(numbers: Mapping[str, Any]) -> dict[str, float]:
    """The numbers that are finite."""
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def short(reason: str) -> str:
    """A reason in one line that lists can show."""
    line = " ".join(reason.split())
    return line if len(line) <= _REASON_CHARACTERS else f"{line[: _REASON_CHARACTERS - 1]}…"


def _entry(run: Mapping[str, Any]) -> Entry:
    tags = run["tags"]
    ending = None
    if OUTCOME_TAG in tags:
        values = json.loads(tags[OUTCOME_TAG])
        curve = tuple((progress, score) for progress, score in values.pop("curve"))
        ending = Ending(**values, curve=curve)
        if ending.state == "lost":
            ending = None
    values = json.loads(tags[TRIAL_TAG])
    return Entry(**(values if ending else {**values, "attempt": 1}), run_id=run["run_id"], ending=ending)


def _fitting(text: str, what: str) -> str:
    if len(text) > _TAG_CHARACTERS:
        raise ConfigError(
            f"{what} takes {len(text)} characters in the record, expected at most {_TAG_CHARACTERS}",
            "search fewer parameters, or store fewer metrics",
        )
    return text
