"""How `compress` spends its budget: a few rehearsed steps say what things cost here, and shares follow from that.

Without a budget nothing is rehearsed: the recipe decides, and all test rows are scored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from subarch.arch.architecture import Architecture
from subarch.arch.costs import flops
from subarch.errors import BudgetError
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import kind_of
from subarch.session.session import Session, seconds_left
from subarch.stages.compression.settings import CompressConfig
from subarch.stages.extraction.plan import LEAST_CANDIDATES
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.finetuning.training import step_seconds
from subarch.storage import read_dataclass, write_json
from subarch.tasks.base import TaskData
from subarch.training.settings import LoopConfig

PLAN = "plan.json"
STAGES = ("finetune", "extract", "distil", "deliver")
LEAST_ROWS = 1000
"""Test rows below which a difference of three points cannot be told from chance: scored at any budget, if there are so
many."""
LEAST_PASSES = {"teacher": 1.0, "student": 2.0}
"""Passes over the training rows below which more time helps most; ours."""

REHEARSED, REHEARSAL = 2, 0.05
"""Batches that are rehearsed, and the share of the time that they may take."""
SEARCH = 0.1
"""Share of the budget for the search; more where `LEAST_CANDIDATES` take longer."""
WEIGHING = 0.03
"""Share of the budget in which the search weighs the teacher's parts; a part of `SEARCH`."""
SCORING = 0.1
"""Share of the budget for scoring test rows beyond `LEAST_ROWS`."""
TEACHER = 0.5
"""Share of the training time that the teacher gets, if it has to be fine-tuned."""
EXPORTING = 20.0
"""Seconds that exports, the clock and the report take, whatever the model."""
CANDIDATE = 3.5
"""Seconds to build, to correct and to time a candidate, besides asking it."""
FORWARD = 1 / 3
"""Share of a training step that its forward pass takes (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""
RUNTIMES = 2.0
"""Forward passes of the teacher that all four models take together on a row: the student has at most half its
operations, and its exports are faster still."""


@dataclass(frozen=True, kw_only=True)
class CompressionPlan:
    """What the budget is spent on; written once, so that a resumed run rehearses nothing."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 1.0))
    """By stage: its weight in what is left of the budget."""
    test_rows: int | None = None
    """Test rows that are scored; None for all."""
    teacher_passes: float | None = None
    """Over the training rows; None where the teacher answers the task already."""
    student_passes: float
    candidates: int
    needed_seconds: float | None = None
    """The budget that would give what is missing; None where nothing is."""

    def scored(self, data: TaskData) -> int:
        """How many test rows are scored."""
        return len(data.test) if self.test_rows is None else self.test_rows

    def lines(self, data: TaskData) -> tuple[str, ...]:
        """What is planned, and where it falls short, which budget would do."""
        teacher = [] if self.teacher_passes is None else [f"teacher {_passes(self.teacher_passes)}"]
        parts = [*teacher, f"{self.candidates} candidates", f"student {_passes(self.student_passes)}"]
        planned = ", ".join([*parts, f"{self.scored(data):,} test rows"])
        return (planned, *(() if self.needed_seconds is None else (self._hint(),)))

    def _hint(self) -> str:
        minutes = math.ceil((self.needed_seconds or 0.0) / 60)
        teacher = "" if self.teacher_passes is None else f"the teacher {_passes(LEAST_PASSES['teacher'])} and "
        return f"--budget {minutes}m would give {teacher}the student {_passes(LEAST_PASSES['student'])} over the data"


def _passes(number: float) -> str:
    count = f"{number:.1f}".removesuffix(".0")
    return f"{count} epoch{'' if count == '1' else 's'}"


def read_or_make_plan(
    config: CompressConfig, session: Session, teacher: ModelFolder, data: TaskData, space: Sequence[Architecture]
) -> CompressionPlan:
    """The plan in the output folder, or a new one, written there; told in either case.

    Args:
        config: What to do.
        session: Its deadline is that of the whole budget.
        teacher: As it was given.
        data: With the splits that will be used.
        space: Students that the search may look at.

    Raises:
        BudgetError: The time is up before anything began.
    """
    file = config.out / PLAN
    if not file.exists():
        write_json(file, asdict(_plan(config, session, teacher, data, space)))
    plan = read_dataclass(CompressionPlan, file)
    planned, *hints = plan.lines(data)
    session.tell("phase", name="planned", detail=planned)
    for hint in hints:
        session.tell("phase", name="hint", detail=hint)
    return plan


def _plan(
    config: CompressConfig, session: Session, teacher: ModelFolder, data: TaskData, space: Sequence[Architecture]
) -> CompressionPlan:
    candidates = min(config.extract.candidates, len(space))
    trained = not teacher.answers(data.task)
    total = seconds_left(session.deadline)
    if total is None:
        return CompressionPlan(
            teacher_passes=_planned(config.finetune, len(data.train)) if trained else None,
            student_passes=_planned(config.distil, len(data.train)),
            candidates=candidates,
        )
    session.phase("rehearsing", "a few steps, to see how far the budget goes")
    row = _seconds_a_row(config, session, teacher, data)
    total = seconds_left(session.deadline) or 0.0
    if total <= 0:
        raise BudgetError("the budget was spent before anything began", "give a longer --budget")
    costs = _Costs(
        config=config,
        row=row,
        smaller=_smaller(teacher.architecture_for(data), space),
        rows=len(data.train),
        floor=kind_of(data.task).floor_seconds(len(data.train), data.task.num_outputs),
    )
    return _shared_out(costs, total, candidates, trained=trained, test_rows=len(data.test))


def _planned(loop: LoopConfig, rows: int) -> float:
    """Passes over the rows that the recipe asks for."""
    return loop.epochs if loop.max_steps is None else loop.max_steps * loop.batch_size / rows


def _seconds_a_row(config: CompressConfig, session: Session, teacher: ModelFolder, data: TaskData) -> float:
    """Seconds of a training step of the teacher, for each of its rows."""
    rehearsal = FinetuneConfig(
        model=config.teacher, out=config.out / "teacher", data=config.data, loop=config.finetune,
        seed=config.seed, max_length=config.max_length,
    )  # fmt: skip
    step, _ = step_seconds(rehearsal, session, Job(data=data, model=teacher), REHEARSED, REHEARSAL)
    return step / min(config.finetune.batch_size, len(data.train))


def _smaller(teacher: Architecture, space: Sequence[Architecture]) -> float:
    """Operations of a middling student as a share of the teacher's."""
    length = min(32, teacher.max_length)
    return flops(space[len(space) // 2], length) / flops(teacher, length)


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """What things take on this machine, in seconds."""

    config: CompressConfig
    row: float
    """A row of the teacher's training."""
    smaller: float
    rows: int
    floor: float
    """The baselines."""

    @property
    def teacher_pass(self) -> float:
        """One pass of the teacher over the training rows."""
        return self.rows * self.row

    @property
    def student_pass(self) -> float:
        """One pass of the student, with the teacher's answers: they are known when a batch is repeated."""
        return self.rows * self.row * (self.smaller + FORWARD / self.config.distillation.repeats)

    @property
    def candidate(self) -> float:
        """One candidate that is not trained."""
        return CANDIDATE + self.config.extract.error_examples * self.smaller * FORWARD * self.row

    @property
    def test_row(self) -> float:
        """One test row, for all models together."""
        return RUNTIMES * FORWARD * self.row


def _shared_out(costs: _Costs, total: float, candidates: int, *, trained: bool, test_rows: int) -> CompressionPlan:
    least = min(LEAST_CANDIDATES, candidates)
    weighing = WEIGHING * total
    search = max(SEARCH * total, weighing + least * costs.candidate)
    rows = min(test_rows, max(LEAST_ROWS, int(SCORING * total / costs.test_row)))
    delivery = EXPORTING + costs.floor + rows * costs.test_row
    training = max(0.3 * total, total - search - delivery)
    most_teacher = _planned(costs.config.finetune, costs.rows) if trained else 0.0
    most_student = _planned(costs.config.distil, costs.rows)
    teacher = max(TEACHER * training, training - most_student * costs.student_pass)
    teacher = min(teacher, most_teacher * costs.teacher_pass)
    student = min(training - teacher, most_student * costs.student_pass)
    # What the trainings do not need is the search's.
    search += max(0.0, total - search - delivery - teacher - student)
    plan = CompressionPlan(
        seconds={"finetune": max(teacher, 1.0), "extract": search, "distil": max(student, 1.0), "deliver": delivery},
        test_rows=None if rows >= test_rows else rows,
        teacher_passes=teacher / costs.teacher_pass if trained else None,
        student_passes=student / costs.student_pass,
        candidates=max(least, min(candidates, int((search - weighing) / costs.candidate))),
    )
    wanted_teacher = min(LEAST_PASSES["teacher"], most_teacher)
    wanted_student = min(LEAST_PASSES["student"], most_student)
    if (plan.teacher_passes or 0.0) >= 0.99 * wanted_teacher and plan.student_passes >= 0.99 * wanted_student:
        return plan
    wanted = max(
        wanted_teacher * costs.teacher_pass / TEACHER,
        wanted_student * costs.student_pass / (1.0 - (TEACHER if trained else 0.0)),
    )
    return replace(plan, needed_seconds=(wanted + delivery) / (1.0 - SEARCH))


def shortfalls(search: Mapping[str, Any], scored: int, available: int) -> list[str]:
    """What the budget could not give, for the report: candidates enough to choose from, rows enough to decide by.

    Args:
        search: Metrics of `extract`.
        scored: Test rows that were scored.
        available: Test rows that there are.
    """
    found = []
    judged = len(search["candidates"])
    if judged < min(LEAST_CANDIDATES, search["space"]):
        found.append(f"the search judged {judged} candidates, fewer than {LEAST_CANDIDATES}: give a longer budget")
    if scored < min(LEAST_ROWS, available):
        found.append(f"{scored:,} of {available:,} test rows were scored, fewer than {LEAST_ROWS:,}")
    return found
