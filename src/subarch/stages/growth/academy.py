"""Agora's academy on a task: Timaeus is trained through the executor, Socrates labels, and all of it lies on disk.

Everything that a call makes is in a file before the call ends, and a file that is there is not made again: so a killed
run, started again, finds its way to where it was.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from subarch.errors import BudgetError, InterruptedRun
from subarch.inputs.models import ModelFolder
from subarch.kinds.registry import grown_kind, kind_of
from subarch.optimize.hyperparameters import HyperparameterSet
from subarch.running.budget import Deadline
from subarch.session.session import Session, seconds_left
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.finetuning.training import teacher_answers
from subarch.stages.growth.asking import Asking
from subarch.stages.growth.points import PointMaker, read_points, write_points
from subarch.stages.growth.settings import AgoraConfig
from subarch.stages.growth.timaeus import (
    RESULT_FILE,
    WEIGHTS,
    Lesson,
    Timaeus,
    config_of,
    discard_model,
    expansion_outputs,
    joined_data,
    read_training,
)
from subarch.storage import read_json
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tracking.record import Run
from subarch.training.agora import Growth, Trained, best_of
from subarch.training.classifier import EncodedData, TeacherOutputs

TRAININGS, POINTS, ANSWERS = "trainings", "points", "answers"
GROWING = 0.08
"""Share of the time left that making points may take at a time."""
SPARE = 0.03
"""Share of the time left that no training gets: points have to be made, and the model saved."""


@dataclass(kw_only=True)
class TaskAcademy:
    """The `Academy` of `training.agora` for one task."""

    config: FinetuneConfig
    settings: AgoraConfig
    data: TaskData
    """D, with E as its validation split."""
    growing: Examples
    """Those rows of E whose mistakes are transformed."""
    reserved: Examples
    """Those that compare iterations, since nothing grows from them; all of E where none are reserved."""
    model: ModelFolder
    socrates: ModelFolder
    maker: PointMaker
    session: Session
    run: Run
    folder: Path
    rounds: int | None
    """After how many iterations it ends, where that is fixed."""
    passes: float | None = None
    """Over D, that each training would see in a single iteration; None where nobody has rehearsed it."""
    settled: dict[int, int] = field(default_factory=dict)
    """Which attempt's points an iteration added."""

    def __post_init__(self) -> None:
        self._children = {child["name"]: child for child in self.session.record.known("training", self.run.run_id)}

    def train(self, iteration: int, attempt: int, thetas: Sequence[HyperparameterSet]) -> tuple[Trained, ...]:
        """Step 1; fewer than all where the time is up."""
        if iteration == 1:
            self._grow_at_first()
        lessons = [
            Lesson(theta=theta, iteration=iteration, attempt=attempt, index=index, seconds=None)
            for index, theta in enumerate(thetas)
        ]
        for lesson in filter(self._done, lessons):
            self._record(lesson)
        to_do = [lesson for lesson in lessons if not self._done(lesson)]
        if to_do and not self.session.deadline.expired:
            follow = following(len(thetas), iteration, self.rounds)
            later = trainings_to_come(len(thetas), follow, self.settings.last)
            end = self.session.deadline.share((1 - SPARE) * len(to_do) / (len(to_do) + later))
            timaeus = self._timaeus(to_do, end)
            timed = self._timed(to_do, self._later(len(to_do), later, end))
            for outcome in self.session.executor.map(timaeus.train, timed):
                if not isinstance(outcome.error, BudgetError):  # then its share was too short for a first step
                    outcome.result()
                    self._record(outcome.item)
        trained = tuple(read_training(self._place(lesson)) for lesson in lessons if self._done(lesson))
        if not trained and iteration == 1:
            raise BudgetError("the budget was spent before the first training", "give a longer --budget")
        if trained:
            self._discard_models(iteration, attempt)
        return trained

    def grow(self, best: Trained, attempt: int) -> Growth:
        """Steps 2 to 4."""
        file = self._points_file(best.iteration, attempt)
        if not file.exists():
            self.session.phase("growing", f"iteration {best.iteration}")
            rng = np.random.default_rng((self.config.seed, best.iteration, attempt))
            write_points(file, self.maker.around_mistakes(self.mistakes(best), rng, self._time_to_grow()))
        points = read_points(file)
        self.maker.know(points.examples)
        return points.growth

    def settle(self, iteration: int, attempt: int) -> None:
        """The points of this attempt count."""
        self.settled[iteration] = attempt

    def mistakes(self, best: Trained) -> Examples:
        """Rows of E that a finished training gets wrong, whole groups of a choice."""
        growing, kind = self.growing, grown_kind(self.data.task)
        found = kind.said(expansion_outputs(self.place_of(best)), growing.groups)
        # A part of E may lack the ends of the scale.
        labels = [part.labels for part in (self.data.train, self.data.validation) if part.labels is not None]
        return growing.take(np.flatnonzero(kind.wrong(found.labels, growing, np.concatenate(labels))))

    def place_of(self, trained: Trained) -> Path:
        """Folder of a finished training."""
        for place in sorted((self.folder / TRAININGS).glob(f"{trained.iteration:02d}-{trained.attempt}-*")):
            if HyperparameterSet.from_json(read_json(place / RESULT_FILE)["theta"]) == trained.theta:
                return place
        raise ValueError(f"no training of {trained}")

    @property
    def first_points(self) -> int:
        """How many points were added before the first iteration."""
        file = self._points_file(0, 0)
        return read_points(file).growth.added if file.exists() else 0

    def _time_to_grow(self) -> Deadline:
        return self.session.deadline.share(GROWING)

    def _grow_at_first(self) -> None:
        file = self._points_file(0, 0)
        if not self.settings.first_growth:
            return
        if not file.exists():
            self.session.phase("growing", "around the training examples")
            rng = np.random.default_rng((self.config.seed, 0, 0))
            write_points(file, self.maker.around_training(self.settings.first_growth, rng, self._time_to_grow()))
        self.maker.know(read_points(file).examples)

    def _timaeus(self, lessons: Sequence[Lesson], end: Deadline) -> Timaeus:
        """Ready for lessons of one iteration, which ends then."""
        iteration, attempt = lessons[0].iteration, lessons[0].attempt
        points = [read_points(file).examples for file in self._files_before(iteration, attempt)]
        data = joined_data(self.data, [examples for examples in points if len(examples)])
        soft = self.settings.soft_labels
        return Timaeus(
            config=self.config,
            data=data,
            growing=self.growing,
            reserved=self.reserved,
            model=self._start(iteration),
            teacher=self.socrates if soft else None,
            answers=self._answers(data, lessons, end) if soft else None,
            folder=self.folder / TRAININGS,
            session=self.session,
        )

    def _start(self, iteration: int) -> ModelFolder:
        """What the trainings of an iteration start from: the student, or the best model of the earlier ones."""
        if not self.settings.warm_start:
            return self.model
        before = {each: place for each, place in self._finished().items() if each.iteration < iteration}
        return ModelFolder(before[self._best_of(list(before))]) if before else self.model

    def _finished(self) -> dict[Trained, Path]:
        """The finished trainings, the latest first, and where; few of them still have their weights."""
        places = sorted((path.parent for path in (self.folder / TRAININGS).glob(f"*/{RESULT_FILE}")), reverse=True)
        return {read_training(place): place for place in places}

    def _best_of(self, trained: Sequence[Trained]) -> Trained:
        return best_of(trained, seen_most=self.settings.warm_start)

    def _answers(self, data: TaskData, lessons: Sequence[Lesson], end: Deadline) -> Path:
        """File with what Socrates says of `data`, which every training of the iteration reads.

        Without a budget it has everything. With one, and fixed steps or a single training, he is asked when a batch
        needs it; before several trainings that compete by time, see `_ask_ahead`.
        """
        iteration, attempt = lessons[0].iteration, lessons[0].attempt
        path = self.folder / ANSWERS / f"{iteration:02d}-{attempt}.safetensors"
        if path.exists():
            return path
        rows = self.model.tokenise(data.task, data.train, self.config.length_for(data.task))
        outputs = teacher_answers(self.config, data, (rows, self.socrates), path)
        assert isinstance(outputs, TeacherOutputs)  # `prepared` refuses other kinds
        # These data begin with those of the iteration before.
        before = path.with_stem(f"{iteration - 1:02d}-{self.settled.get(iteration - 2, 0)}")
        if before.exists():
            outputs.take_over(before)
        if self.session.deadline.remaining() == math.inf:
            self.session.phase("asking Socrates", f"about {len(data.train):,} examples")
            outputs.complete()
        elif len(lessons) > 1 and self.config.loop.max_steps is None:
            self._ask_ahead(outputs, (data, rows.data), lessons, end)
        outputs.save()
        for file in path.parent.iterdir():
            if int(file.name.split("-")[0]) < iteration - 1:  # they are large, and nobody will begin with them again
                file.unlink()
        return path

    def _ask_ahead(
        self, outputs: TeacherOutputs, data: tuple[TaskData, EncodedData], lessons: Sequence[Lesson], end: Deadline
    ) -> None:
        """Ask what the lessons will need, so far as is known, in no more time than one of them gets.

        Where nobody has rehearsed their steps, asking about a row is taken to cost as much as learning it once.
        """
        asking = Asking(
            trainings=[config_of(self.config, lesson, self.folder) for lesson in lessons],
            data=data[1],
            groups=kind_of(self.data.task).groups(data[0].train),
            rows=math.inf if self.passes is None else self.passes * len(self.data.train),
        )
        self.session.phase("asking Socrates", f"about {len(data[0].train):,} examples at most")
        share = 1 / (1 + len(lessons) * (self.config.distillation.repeats if self.passes is None else 1))
        if not asking.complete(outputs, end.share(share), self.session.stop_requested):
            raise InterruptedRun(
                "interrupted while the teacher was asked, without saving that", "the same command resumes"
            )

    def _files_before(self, iteration: int, attempt: int) -> Iterator[Path]:
        for number in range(iteration):
            file = self._points_file(number, attempt if number == iteration - 1 else self.settled.get(number, 0))
            if file.exists():
                yield file

    def _later(self, count: int, later: float, end: Deadline) -> float:
        """What follows so many trainings, in trainings as long as these, where what was done before them has to be
        taken from their iteration alone, which was to last until `end`.
        """
        left, own = self.session.deadline.remaining(), end.remaining()
        # With nothing left of its own the iteration shares what the others have.
        return later if own == 0 or math.isinf(left) else count * ((1 - SPARE) * left / own - 1)

    def _timed(self, lessons: list[Lesson], later: float) -> Iterator[Lesson]:
        """Each lesson with its share of the time that is left when it is drawn, when so many follow them all."""
        for done, lesson in enumerate(lessons):
            if self.session.stop_requested():
                raise InterruptedRun("interrupted between two trainings, saved", "the same command resumes")
            if self.session.deadline.expired:
                return
            left = seconds_left(self.session.deadline)
            detail = f"iteration {lesson.iteration}, {done + 1} of {len(lessons)}: {lesson.theta.label}"
            self.session.phase("training", detail)
            share = (1 - SPARE) / (len(lessons) - done + later)
            yield replace(lesson, seconds=None if left is None else left * share)

    def _record(self, lesson: Lesson) -> None:
        """A finished training becomes a child run, unless a killed run got this far."""
        name = f"training {lesson.name}"
        known = self._children.get(name, {})
        if known.get("status") in ("FINISHED", "FAILED"):
            return
        found = read_json(self._place(lesson) / RESULT_FILE)
        sign = 1.0 if higher_is_better(self.data.task.main_metric) else -1.0
        with self.session.record.start(
            "training", name=name, config=lesson.theta.to_json(), parent=self.run.run_id, run_id=known.get("run_id")
        ) as child:
            if "failed" in found:
                child.error(found["failed"])
                child.finish("FAILED")
            else:
                child.log({"score": sign * found["score"]}, step=found["steps"])

    def _discard_models(self, iteration: int, attempt: int) -> None:
        """Of finished trainings keep the model of the best so far, or of several as good; and what this iteration began
        with, since a replay begins there again.

        Nothing where a later one has begun: it was done before that, and what that one began with has to stay.
        """
        begun = (path.name.split("-") for path in (self.folder / TRAININGS).iterdir())
        if max((int(number), int(replay)) for number, replay, _ in begun) > (iteration, attempt):
            return
        finished = self._finished()
        before = [each for each in finished if each.iteration < iteration]
        kept = {
            (best.iteration, best.score) for best in (self._best_of(part) for part in (list(finished), before) if part)
        }
        for each, place in finished.items():
            if (each.iteration, each.score) not in kept and (place / WEIGHTS).exists():
                discard_model(place)

    def _done(self, lesson: Lesson) -> bool:
        return (self._place(lesson) / RESULT_FILE).exists()

    def _place(self, lesson: Lesson) -> Path:
        return self.folder / TRAININGS / lesson.name

    def _points_file(self, iteration: int, attempt: int) -> Path:
        return self.folder / POINTS / f"{iteration:02d}-{attempt}.parquet"


def following(sets: int, iteration: int, rounds: int | None) -> int:
    """How many iterations follow one with so many sets; where nobody knows, as many as if each halved the sets."""
    return math.ceil(math.log2(sets)) if rounds is None else rounds - iteration


def trainings_to_come(sets: int, follow: int, last: float) -> float:
    """What the iterations after this one need, in trainings as long as each of the `sets` of this one.

    Of the time the last iteration gets a share of `last`, since it trains what is kept; the others have equal shares of
    the rest.
    """
    return sets * (follow - 1 + last / (1 - last) * follow) if follow else 0.0


def clear(folder: Path) -> None:
    """Remove what nobody will ask for again, now that the best model is the folder's."""
    shutil.rmtree(folder / ANSWERS, ignore_errors=True)
    for path in (folder / TRAININGS).glob(f"*/{RESULT_FILE}"):
        discard_model(path.parent)
