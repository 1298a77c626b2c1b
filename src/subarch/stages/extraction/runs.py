"""The trainings of a search: through the executor, each kept in a file and as a child run, none done twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.errors import DivergedError, InterruptedRun
from subarch.optimize import fptas
from subarch.running.executor import Outcome
from subarch.session.session import Session
from subarch.stages.extraction.plan import LEAST_CANDIDATES, Plan
from subarch.stages.extraction.settings import Attempt, SurrogateError, Workshop
from subarch.storage import read_json, write_json
from subarch.tracking.record import Run

Pair = tuple[Architecture, int]


@dataclass(kw_only=True)
class CandidateRuns:
    """Measures candidates, and remembers what came of each."""

    plan: Plan
    workshop: Workshop
    session: Session
    run: Run
    """The run of the stage, whose children the candidates are."""
    folder: Path
    done: int = 0
    failed: list[dict[str, Any]] = field(default_factory=list)
    """Trainings that diverged: architecture, θ, steps and reason."""

    def __post_init__(self) -> None:
        self._known = {child["name"] for child in self.session.record.known("candidate", self.run.run_id)}

    def measure(self, steps: int, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, fptas.Measured]]:
        """ê of each candidate under its θ after so many steps; one that diverged is left out.

        Raises:
            InterruptedRun: Stopped by the user; what is finished is kept.
        """
        to_do = []
        for candidate, theta in pairs:
            attempt = Attempt(candidate=candidate, theta=theta, steps=steps)
            if self._file(attempt).exists():
                yield from self._told(attempt)
            else:
                to_do.append(attempt)
        least = 1 if steps else LEAST_CANDIDATES
        if not to_do or (self.done >= least and self.session.deadline.expired):
            return
        for outcome in self.session.executor.map(self.workshop.error_of, to_do):
            self._keep(outcome)
            yield from self._told(outcome.item)
            if self.session.stop_requested():
                raise InterruptedRun(f"interrupted after {self.done} candidates, saved", "the same command resumes")
            if self.done >= least and self.session.deadline.expired:
                return  # the rest is left out, but never the first, nor the first few where none is trained

    def _keep(self, outcome: Outcome[Attempt, SurrogateError]) -> None:
        if isinstance(outcome.error, DivergedError):
            write_json(self._file(outcome.item), {"failed": outcome.error.message, "traceback": outcome.traceback})
            return
        write_json(self._file(outcome.item), outcome.result().to_json())

    def _told(self, attempt: Attempt) -> Iterator[tuple[Pair, fptas.Measured]]:
        """Report and record a finished attempt, and yield it unless it failed."""
        found = read_json(self._file(attempt))
        self.done += 1
        self.session.tell("candidate", done=self.done)
        if "failed" in found:
            row = {"architecture": attempt.candidate.to_json(), "hyperparameters": attempt.theta}
            self.failed.append(row | {"steps": attempt.steps, "reason": found["failed"]})
            self._record(attempt, {}, found["traceback"])
            return
        told = SurrogateError.from_json(found)
        cost = self.plan.costs[attempt.candidate]
        w = fptas.w_coefficient(cost, told.error, self.plan.maximum_cost)
        numbers = {"parameters": cost.parameters, "latency_ms": cost.latency_ms, "error": told.error, "w": w}
        self._record(attempt, numbers, None)
        measured = fptas.Measured(
            cost=cost, error=told.error, error_interval=told.interval, errors=told.errors, units=told.units
        )
        yield (attempt.candidate, attempt.theta), measured

    def _record(self, attempt: Attempt, numbers: dict[str, float], traceback: str | None) -> None:
        name = f"candidate {self._name(attempt, '{}')}"
        if name in self._known:
            return  # a killed run got this far
        config = attempt.candidate.to_json() | {"steps": attempt.steps, "hyperparameters": attempt.theta}
        with self.session.record.start("candidate", name=name, config=config, parent=self.run.run_id) as child:
            if traceback is None:
                child.log(numbers, step=0)
            else:
                child.error(traceback)
                child.finish("FAILED")

    def _file(self, attempt: Attempt) -> Path:
        return self.folder / "candidates" / f"{self._name(attempt, '{:03d}')}.json"

    def _name(self, attempt: Attempt, form: str) -> str:
        """Its place in the plan; θ and s only where they are not the only ones."""
        name = form.format(self.plan.candidates.index(attempt.candidate))
        theta = f"-theta{attempt.theta}" if attempt.theta else ""
        return name + theta + (f"-steps{attempt.steps}" if attempt.steps != self.plan.steps else "")
