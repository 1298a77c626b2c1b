"""One training of Timaeus, Agora's small model: in a folder of its own, and where an executor puts it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedModel

from subarch.errors import DivergedError
from subarch.inputs.models import ModelFolder
from subarch.optimize.hyperparameters import HyperparameterSet
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.saving import save_model
from subarch.stages.finetuning.settings import CHECKPOINT, FinetuneConfig
from subarch.stages.finetuning.training import train_on_task
from subarch.storage import read_json, replacing_file, write_json
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import main_score, standard_error
from subarch.training.agora import Trained
from subarch.training.predict import predict

RESULT_FILE, OUTPUTS_FILE = "training.json", "expansion_outputs.safetensors"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Which training: what travels to where it runs."""

    theta: HyperparameterSet
    iteration: int
    attempt: int
    index: int
    """Of θ among the sets of its iteration."""
    seconds: float | None
    """At most so long; None for as many steps as the loop says."""

    @property
    def name(self) -> str:
        """Unique in a run, and in the order of its lessons."""
        return f"{self.iteration:02d}-{self.attempt}-{self.index:03d}"


@dataclass(kw_only=True)
class Timaeus:
    """Trains the student under any θ on the data of one iteration, and leaves a model's folder.

    In an executor's worker it has no session, so it reports nothing and does not notice Ctrl-C.
    """

    config: FinetuneConfig
    data: TaskData
    """D with all that was added, and E as its validation split: all of it finds the best moment of a training."""
    growing: Examples
    """Those rows of E whose mistakes are wanted."""
    reserved: Examples
    """Those from which nothing grows."""
    model: ModelFolder
    teacher: ModelFolder | None
    """Socrates, where his probabilities are learned."""
    answers: Path | None
    """File with his outputs on D, then."""
    folder: Path
    session: Session | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "session": None}

    def train(self, lesson: Lesson) -> None:
        """Do the lesson; its folder's `training.json` comes last, also where the training diverged."""
        place = self.place(lesson)
        session = self.session or Session()
        inside = replace(session, deadline=Deadline.after(lesson.seconds))
        try:
            trained = train_on_task(
                config_of(self.config, lesson, place),
                inside,
                Job(data=self.data, model=self.model, teacher=self.teacher),
                lambda event: session.on_event({**event, "stage": f"agora {lesson.name}"}),
                self.answers,
            )
        except DivergedError as error:
            write_json(place / RESULT_FILE, {"theta": lesson.theta.to_json(), "score": None, "failed": error.message})
            (place / CHECKPOINT).unlink(missing_ok=True)
            return
        outputs, task = self._outputs(trained.model, self.growing), self.data.task
        held_out = Predictions(self._outputs(trained.model, self.reserved))
        sign = 1.0 if higher_is_better(task.main_metric) else -1.0
        with replacing_file(place / OUTPUTS_FILE) as temporary:
            save_file({"outputs": outputs}, temporary)
        save_model(place, trained.model, self.model, task)
        numbers = {
            "score": trained.result.best_score,
            "held_out": sign * main_score(task, held_out, self.reserved),
            "error": standard_error(task, held_out, self.reserved, self.config.seed),
            "steps": trained.result.steps,
            "best_step": trained.result.best_step,
        }
        write_json(
            place / RESULT_FILE,
            {"theta": lesson.theta.to_json(), **numbers, "seconds": round(trained.result.seconds, 3)},
        )
        (place / CHECKPOINT).unlink(missing_ok=True)

    def _outputs(self, trained: PreTrainedModel, examples: Examples) -> np.ndarray:
        seen = self.model.encode(examples, self.config.length_for(self.data.task))
        return predict(trained, seen.encoded, seen.pad_token_id)

    def place(self, lesson: Lesson) -> Path:
        """Folder of a lesson."""
        return self.folder / lesson.name


def config_of(config: FinetuneConfig, lesson: Lesson, place: Path) -> FinetuneConfig:
    """The training's settings under θ."""
    settings: dict[str, Any] = dict(lesson.theta.pairs)
    seed = int(settings.pop("seed", config.seed))
    uniform = config.agora is not None and config.agora.uniform_head and not config.draws_head
    head: dict[str, Any] = {"head_init": "uniform", "head_scale": 0.5} if uniform else {}
    return replace(config, out=place, seed=seed, agora=None, loop=replace(config.loop, **settings), **head)


def read_training(place: Path) -> Trained:
    """What came of the lesson whose folder this is, which is done."""
    found = read_json(place / RESULT_FILE)
    iteration, attempt, _ = place.name.split("-")
    return Trained(
        theta=HyperparameterSet.from_json(found["theta"]),
        iteration=int(iteration),
        attempt=int(attempt),
        score=found["score"],
        held_out=found.get("held_out"),
        error=found.get("error", 0.0),
    )


def discard_model(place: Path) -> None:
    """Of a lesson that is done keep what came of it; the weights go last, as they tell that there is more to remove."""
    kept = (RESULT_FILE, OUTPUTS_FILE)
    others = [file for file in place.iterdir() if file.is_file() and file.name not in kept]
    for file in sorted(others, key=lambda file: file.name == WEIGHTS):
        file.unlink()


def expansion_outputs(place: Path) -> np.ndarray:
    """(N, C) what the model of a lesson says of the part of E that grows."""
    outputs: np.ndarray = load_file(place / OUTPUTS_FILE)["outputs"]
    return outputs


def joined_data(data: TaskData, points: list[Examples]) -> TaskData:
    """D with points added, batch after batch."""
    train = data.train
    for added in points:
        train = train.joined(added)
    return replace(data, train=train)
