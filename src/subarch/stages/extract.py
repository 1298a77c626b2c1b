"""Extract an architecture: the FPTAS over a space around the teacher, with the task's own surrogate error.

Differences from Bort's search, all on purpose: candidates start from the teacher's weights instead of noise, they
train with AdamW (which the paper allows), the error is taken on the task, and only î of PyTorch on this machine is
measured. The algorithm itself is optimize/fptas.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.arch.costs import parameters
from subarch.arch.space import space_around
from subarch.errors import BudgetError, ConfigError, InterruptedRun
from subarch.optimize import fptas
from subarch.stages.candidates import ExtractConfig, Workshop, open_workshop
from subarch.stages.inputs import ModelFolder, aligned, load_data
from subarch.stages.output import OutputFolder, Result, claim
from subarch.stages.session import Session, seconds_left
from subarch.storage import read_json, write_json
from subarch.tasks.base import Task
from subarch.tracking.record import Run

SEARCHED = ("classification", "regression")
"""Kinds of tasks whose surrogate error is defined."""


def extract(config: ExtractConfig, session: Session | None = None) -> Result:
    """Choose the architecture with the largest W-coefficient, and leave a student that inherits from the teacher.

    Returns:
        Metrics: `maximum_point`, `candidates` (with parameters, latency_ms, error, error_interval, w), `chosen`,
        `tied`, `front`, `imitated_layers` (of the teacher, from 1, for each layer of the student); files:
        `architecture.json` and the folder `student` (inherited, not yet distilled).

    Raises:
        UserError: Data, teacher, space or output folder that cannot be used.
        InterruptedRun: Stopped by the user; finished candidates are kept.
    """
    session = session or Session()
    data = load_data(config.data)
    require_searchable(data.task)
    teacher = ModelFolder.of(config.teacher)
    teacher.require_answers(data.task)
    data = aligned(data, teacher)
    with claim(config.out, "extract", config, data.fingerprint) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, f"extract {data.task.name}") as run:
            started = time.monotonic()
            session.phase("weighing the teacher's parts")
            workshop = open_workshop(config, data, teacher, folder.path)
            extraction, maximum_point = _search(config, session, workshop, folder)
            chosen = extraction.trials[extraction.chosen].candidate
            workshop.save_student(chosen, folder.path / "student")
            write_json(folder.path / "architecture.json", chosen.to_json())
            metrics = _metrics(extraction, maximum_point) | {
                "error_name": _error_name(config.error, data.task.kind),
                "imitated_layers": list(workshop.imitated_layers(chosen)),
            }
            _record_trials(session, run, metrics)
            artifacts = {
                "architecture": folder.path / "architecture.json",
                "student": folder.path / "student",
            }
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


def require_searchable(task: Task) -> None:
    """Raise ConfigError unless the task's surrogate error is defined."""
    if task.kind not in SEARCHED:
        raise ConfigError(
            f"{task.name} is a {task.kind}, but the search judges by classes or numbers",
            "distil into a model of your choice: subarch finetune --model SMALL --teacher DIR",
        )


def _search(
    config: ExtractConfig, session: Session, workshop: Workshop, folder: OutputFolder
) -> tuple[fptas.Extraction[Architecture], fptas.Cost]:
    space = space_around(workshop.teacher.architecture, config.space, workshop.vocab_size)
    plan_file = folder.path / "plan.json"
    if not plan_file.exists():
        write_json(plan_file, _plan(config, session, workshop, space))
    plan = read_json(plan_file)
    candidates = [Architecture.from_json(value) for value in plan["candidates"]]
    maximum_point = fptas.Cost(**plan["maximum_point"])
    costs = {c: fptas.Cost(**cost) for c, cost in zip(candidates, plan["costs"], strict=True)}
    session.tell("candidates", total=len(candidates))

    def measure(item: tuple[Architecture, int]) -> fptas.Measured:
        candidate, _ = item
        file = folder.path / "candidates" / f"{candidates.index(candidate):03d}.json"
        if not file.exists():
            error, interval = workshop.error_of(candidate, plan["steps"])
            write_json(file, {"error": error, "error_interval": interval})
        found = read_json(file)
        low, high = found["error_interval"]
        return fptas.Measured(cost=costs[candidate], error=found["error"], error_interval=(low, high))

    def run(function: Any, work: Iterable[Any]) -> Iterator[Any]:
        return _run_candidates(session, function, work)

    return fptas.extract(candidates, maximum_point, measure, run=run), maximum_point


def _run_candidates(session: Session, function: Any, work: Iterable[Any]) -> Iterator[Any]:
    """Hand the candidates to the executor; out of time, the rest is left out, but never the first."""
    for done, outcome in enumerate(session.executor.map(function, work), start=1):
        yield outcome.item, outcome.result()
        session.tell("candidate", done=done)
        if session.stop_requested():
            raise InterruptedRun(f"interrupted after {done} candidates, saved", "the same command resumes")
        if session.deadline.expired:
            return


def _plan(config: ExtractConfig, session: Session, workshop: Workshop, space: list[Architecture]) -> dict[str, Any]:
    """Which candidates, and what they cost; written once, so that a resumed run measures nothing twice."""
    epsilon = config.epsilon or math.ceil(len(space) / config.candidates)
    steps, remaining = config.steps, seconds_left(session.deadline)
    if remaining is not None:
        if remaining <= 0:
            raise BudgetError("the budget was spent before the first candidate", "give a longer --budget")
        fixed, each = _seconds_of_a_candidate(workshop, space[len(space) // 2])
        total = 0.85 * (seconds_left(session.deadline) or 0.0)
        # Fewer steps first, down to none: inherited weights alone tell candidates apart. Then fewer candidates.
        wanted = math.ceil(len(space) / epsilon)
        steps = int(min(config.steps, max(0.0, (total / wanted - fixed) / each)))
        if config.epsilon is None:
            affordable = max(1, int(total / (fixed + steps * each)))
            epsilon = max(epsilon, math.ceil(len(space) / affordable))
    candidates = fptas.every_epsilon(space, lambda a: parameters(a).total, min(epsilon, len(space)))
    session.phase("timing candidates")
    teacher_ms, latencies = workshop.latencies(candidates)
    teacher = workshop.teacher.architecture
    return {
        "space": len(space),
        "epsilon": epsilon,
        "steps": steps,
        "maximum_point": {"parameters": parameters(teacher).total, "latency_ms": teacher_ms},
        "candidates": [candidate.to_json() for candidate in candidates],
        "costs": [
            {"parameters": parameters(c).total, "latency_ms": ms} for c, ms in zip(candidates, latencies, strict=True)
        ],
    }


def _seconds_of_a_candidate(workshop: Workshop, candidate: Architecture) -> tuple[float, float]:
    """What a middling candidate takes without training, and what one step takes, from two short trainings."""
    workshop.error_of(candidate, 1)  # the first call also computes what all candidates share
    times = []
    for steps in (1, 4):
        started = time.monotonic()
        workshop.error_of(candidate, steps)
        times.append(time.monotonic() - started)
    each = max(1e-3, (times[1] - times[0]) / 3)
    return max(0.0, times[0] - each), each


def _metrics(extraction: fptas.Extraction[Architecture], maximum_point: fptas.Cost) -> dict[str, Any]:
    candidates = [
        {
            "architecture": trial.candidate.to_json(),
            "parameters": trial.measured.cost.parameters,
            "latency_ms": trial.measured.cost.latency_ms,
            "error": trial.measured.error,
            "error_interval": list(trial.measured.error_interval),
            "w": trial.w,
        }
        for trial in extraction.trials
    ]
    return {
        "maximum_point": {"parameters": maximum_point.parameters, "latency_ms": maximum_point.latency_ms},
        "candidates": candidates,
        "chosen": extraction.chosen,
        "tied": list(extraction.tied),
        "front": list(extraction.front),
    }


def _record_trials(session: Session, run: Run, metrics: dict[str, Any]) -> None:
    known = {child["name"] for child in session.record.runs("candidate", run.run_id)}
    for index, candidate in enumerate(metrics["candidates"]):
        if f"candidate {index}" in known:
            continue  # a killed run got this far
        numbers = {key: candidate[key] for key in ("parameters", "latency_ms", "error", "w")}
        with session.record.start(
            "candidate", name=f"candidate {index}", config=candidate["architecture"], parent=run.run_id
        ) as child:
            child.log(numbers, step=0)
    run.log({"chosen_w": metrics["candidates"][metrics["chosen"]]["w"]}, step=0)


def _error_name(name: str, kind: str) -> str:
    if kind == "regression":
        return "squared distance from the teacher, in units of its variance"
    return {"kl": "KL divergence from the teacher (nats)"}.get(name, "cross-entropy to the teacher (nats)")
