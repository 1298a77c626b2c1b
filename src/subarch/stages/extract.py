"""Extract an architecture: the FPTAS over a space around the teacher, judged on a task or on a corpus.

The algorithm itself is optimize/fptas.py; `--preset bort` follows the paper's search on a corpus. The other settings
are ours: candidates start from the teacher's weights instead of noise, train with AdamW (which the paper allows), and
may be judged on the task.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from subarch.arch.architecture import Architecture
from subarch.inputs.data import load_data
from subarch.inputs.looking import look
from subarch.inputs.models import ModelFolder, aligned
from subarch.optimize import fptas
from subarch.optimize.halving import Rung, halve, rung_steps
from subarch.running.budget import Deadline
from subarch.session.output import Result, claim, is_finished
from subarch.session.session import Session
from subarch.stages.extraction.candidates import open_workshop
from subarch.stages.extraction.plan import Plan, candidate_space, read_or_make_plan
from subarch.stages.extraction.runs import CandidateRuns
from subarch.stages.extraction.settings import PRESETS, ExtractConfig, Workshop, json_interval
from subarch.stages.extraction.table import write_table
from subarch.storage import write_json
from subarch.tasks.base import TaskData
from subarch.training.processes import require_one_process

__all__ = ["PRESETS", "ExtractConfig", "extract"]

WEIGHING = 0.1
"""Share of the search's time after which the pass that weighs the teacher's parts may stop early; ours."""


def extract(config: ExtractConfig, session: Session | None = None) -> Result:
    """Choose the architecture with the largest W-coefficient, and leave a student of it.

    Returns:
        Metrics: `maximum_point`, `candidates` (with parameters, latency_ms, error, error_interval, w), `chosen`,
        `tied`, `front`, `failed`, `imitated_layers` (of the teacher, from 1, for each layer of the student), and `data`
        of a task, as `looking.look`; files: `architecture.json`, `candidates.html`, `candidates.csv` and the folder
        `student` (not trained).

    Raises:
        UserError: Data, teacher, space or output folder that cannot be used.
        InterruptedRun: Stopped by the user; finished candidates are kept.
    """
    require_one_process("extract")
    session = session or Session()
    teacher = ModelFolder.of(config.teacher)
    source = open_source(config, teacher)
    candidate_space(config, teacher.architecture, source.least_vocabulary)
    described = {} if is_finished(config.out) else source.look(session)
    with claim(config.out, "extract", config, source.fingerprint, {"teacher": teacher.path}) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, f"extract {source.name}") as run:
            started = time.monotonic()
            session.phase("weighing the teacher's parts")
            workshop, vocab_size = source.open(folder.path, session.deadline.share(WEIGHING))
            space = candidate_space(config, teacher.architecture, vocab_size)
            plan = read_or_make_plan(config, session, workshop, space, folder.path)
            runs = CandidateRuns(plan=plan, workshop=workshop, session=session, run=run, folder=folder.path)
            rungs = _search(config, session, plan, runs)
            metrics = _metrics(config, plan, rungs) | {"failed": runs.failed} | described
            run.log({"chosen_w": metrics["candidates"][metrics["chosen"]]["w"]}, step=0)
            artifacts = _write(folder.path, workshop, rungs[-1].extraction, metrics)
            run.artifact(artifacts["table"])
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


class Source(Protocol):
    """On what candidates are judged: checked, not opened yet."""

    name: str
    fingerprint: str
    least_vocabulary: int
    """Fewest tokens that students can have."""

    def look(self, session: Session) -> dict[str, Any]:
        """Compare the teacher with the data before anything is weighed, and tell what was found; for the metrics.

        Raises:
            UserError: They do not fit together.
        """
        ...

    def open(self, folder: Path, deadline: Deadline) -> tuple[Workshop, int]:
        """The workshop, and the vocabulary of its students; the teacher is weighed by fewer rows after `deadline`."""
        ...


class TaskSource:
    """A task and a teacher that answers it."""

    def __init__(self, config: ExtractConfig, data: TaskData, teacher: ModelFolder) -> None:
        self.config, self.data, self.teacher = config, aligned(data, teacher), teacher
        self._loaded = data
        self.name, self.fingerprint = data.task.name, self.data.fingerprint
        self.least_vocabulary = max(1, round(config.space.vocabulary * teacher.architecture.vocab_size))

    def look(self, session: Session) -> dict[str, Any]:
        """Compare teacher, tokenizer and texts before anything is trained; see `looking.look`."""
        assert self.config.data is not None
        cuts = self.config.space.vocabulary < 1
        length = self.config.max_length or self.data.task.max_length
        return {"data": look(self.teacher, self._loaded, length, session, self.config.data, cuts=cuts)}

    def open(self, folder: Path, deadline: Deadline) -> tuple[Workshop, int]:
        """The workshop, and the vocabulary of its students; the teacher is weighed by fewer rows after `deadline`."""
        workshop = open_workshop(self.config, self.data, self.teacher, folder, deadline)
        return workshop, workshop.vocab_size


def open_source(config: ExtractConfig, teacher: ModelFolder) -> Source:
    """What the configuration judges candidates on.

    Raises:
        UserError: Data or shards that cannot be used, or a teacher that does not fit them.
    """
    if config.data is None:
        from subarch.stages.extraction.corpus_candidates import CorpusSource

        return CorpusSource.of(config, teacher)
    data = load_data(config.data)
    teacher.require_answers(data.task)
    return TaskSource(config, data, teacher)


def _search(config: ExtractConfig, session: Session, plan: Plan, runs: CandidateRuns) -> list[Rung[Architecture]]:
    """The rungs of the search; one where nothing is halved."""
    thetas = len(config.loops)
    pairs = [(candidate, theta) for theta in range(thetas) for candidate in plan.candidates]
    if config.halving is None:
        session.tell("candidates", total=len(pairs))
        extraction = fptas.extract(
            plan.candidates,
            plan.maximum_cost,
            lambda pair: next(iter(runs.measure(plan.steps, [pair])))[1],
            hyperparameters=thetas,
            run=lambda _, work: runs.measure(plan.steps, list(work)),
        )
        return [Rung(steps=plan.steps, extraction=extraction)]
    rungs = len(rung_steps(len(pairs), plan.steps, config.halving))
    session.tell("candidates", total=sum(max(1, len(pairs) // config.halving**rung) for rung in range(rungs)))
    return halve(pairs, plan.maximum_cost, runs.measure, steps=plan.steps, factor=config.halving)


def _metrics(config: ExtractConfig, plan: Plan, rungs: list[Rung[Architecture]]) -> dict[str, Any]:
    """The table: what the last rung measured first, so that its indices hold, then what earlier rungs left behind."""
    last = rungs[-1].extraction
    rows, seen = [], set()
    timings = dict(zip(plan.candidates, plan.timings, strict=True))
    for rung in reversed(rungs):
        for trial in rung.extraction.trials:
            if (trial.candidate, trial.hyperparameters) in seen:
                continue
            seen.add((trial.candidate, trial.hyperparameters))
            timing = timings[trial.candidate]
            rows.append(
                {
                    "architecture": trial.candidate.to_json(),
                    "parameters": trial.measured.cost.parameters,
                    "latency_ms": timing.latency_ms,
                    "latency_ms_low": timing.low_ms,
                    "latency_ms_high": timing.high_ms,
                    "error": trial.measured.error,
                    "error_interval": json_interval(trial.measured.error_interval),
                    "w": trial.w,
                    "w_interval": list(trial.w_interval),
                    "hyperparameters": trial.hyperparameters,
                    "steps": rung.steps,
                }
            )
    return {
        "maximum_point": {"parameters": plan.maximum_parameters, **asdict(plan.maximum_point)},
        "space": plan.space,
        "epsilon": plan.epsilon,
        "steps": plan.steps,
        "candidates": rows,
        "chosen": last.chosen,
        "tied": list(last.tied),
        "front": list(last.front),
        "hyperparameters": [asdict(theta) for theta in config.thetas],
        "rungs": [{"steps": rung.steps, "measured": len(rung.extraction.trials)} for rung in rungs],
    }


def _write(
    folder: Path, workshop: Workshop, extraction: fptas.Extraction[Architecture], metrics: dict[str, Any]
) -> dict[str, Path]:
    chosen = extraction.trials[extraction.chosen].candidate
    metrics |= workshop.facts(chosen)
    workshop.save_student(chosen, folder / "student")
    write_json(folder / "architecture.json", chosen.to_json())
    files = write_table(folder, metrics)
    return {"architecture": folder / "architecture.json", "student": folder / "student", **files}
