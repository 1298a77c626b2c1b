"""Fine-tune a model on a task, or on each task of a suite; with a teacher, distil the teacher's answers into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from subarch.arch.build import head_layers
from subarch.arch.pretrained import check_finite
from subarch.arch.weights import weight_names
from subarch.errors import ConfigError, DataError
from subarch.inputs.agreement import check_teacher
from subarch.inputs.data import load_data
from subarch.inputs.looking import describe
from subarch.inputs.models import ModelFolder, aligned
from subarch.inputs.reading import check_reading
from subarch.kinds.registry import kind_of
from subarch.running.budget import Deadline, parse_duration
from subarch.session.output import OutputFolder, Result, claim, is_finished
from subarch.session.session import Session
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.saving import save_model
from subarch.stages.finetuning.settings import (
    CHECKPOINT,
    ROWS_READ,
    TEACHER_OUTPUTS,
    DistillationConfig,
    FinetuneConfig,
)
from subarch.stages.finetuning.suite import finetune_suite
from subarch.stages.finetuning.training import train_on_task
from subarch.stages.growth.academy import clear
from subarch.stages.growth.admission import admit, prepared
from subarch.stages.growth.agora import finetune_agora
from subarch.stages.growth.settings import PRESETS, AgoraConfig
from subarch.tasks.base import Task, TaskData
from subarch.tasks.scoring.measures import higher_is_better
from subarch.tasks.suites.averages import SUITES
from subarch.tracking.record import Run
from subarch.training.loop import TrainResult
from subarch.training.processes import require_one_process

__all__ = ["PRESETS", "AgoraConfig", "DistillationConfig", "FinetuneConfig", "finetune"]

_Work = Callable[[FinetuneConfig, Session, Job, tuple[OutputFolder, Run]], dict[str, Any]]
"""Gives the metrics, and leaves the model in the folder."""


def finetune(config: FinetuneConfig, session: Session | None = None) -> Result:
    """Train the model and leave it in `config.out` as an ordinary Hugging Face folder; of a suite, one for each task.

    Returns:
        Metrics: `score` (the task's main metric on validation data, which selected the weights), `steps`, `seconds`.
        Of Agora also what `stages.growth.agora` adds.
        Of a suite: `tasks` (these metrics by task) and `skipped` (the reason by task).

    Raises:
        UserError: Data, a model or an output folder that cannot be used.
        InterruptedRun: Stopped by the user, after saving.
    """
    require_one_process("finetune")
    started = time.monotonic()
    session = _timed(session or Session(), config)
    if config.data.task is not None and config.data.task.lower() in SUITES:
        return finetune_suite(config, session, finetune)
    data = loaded = load_data(config.data)
    _require_labels(data)
    model = ModelFolder.of(config.model)
    teacher = ModelFolder.of(config.teacher) if config.teacher else None
    if teacher is not None:
        teacher.require_answers(data.task)
        config.distillation.require_depth(teacher.architecture.num_hidden_layers)
    data = aligned(data, teacher or model)
    _check_head(config, model, data.task)
    described: dict[str, Any] = {}
    if not is_finished(config.out):
        described = describe(loaded, session)
        _look(config, session, Job(data=data, model=model, teacher=teacher), data.notes[len(loaded.notes) :])
    work: _Work = _train
    if config.agora is not None:
        data = prepared(config, data)
        if not is_finished(config.out):
            work = partial(
                finetune_agora, admission=admit(config, session, Job(data=data, model=model, teacher=teacher))
            )
    others = {"model": model.path, "teacher": None if teacher is None else teacher.path, **_of_agora(config)}
    with claim(config.out, "finetune", config, data.fingerprint, others) as folder:
        if folder.result is not None:
            return folder.result
        name = f"{'agora' if config.agora else 'distil' if teacher else 'finetune'} {data.task.name}"
        with session.recorded(folder, name) as run:
            job = Job(data=data, model=model, teacher=teacher)
            metrics = work(config, session, job, (folder, run)) | {"data": described}
            run.log({"validation_score": metrics["score"]}, step=metrics["steps"])
        return _finish(folder, metrics, run.run_id, time.monotonic() - started)


def _look(config: FinetuneConfig, session: Session, job: Job, notes: tuple[str, ...]) -> None:
    """Compare data, tokenizers, tables and teacher before anything is trained."""
    data, model, teacher = job.data, job.model, job.teacher
    length = config.length_for(data.task)
    for folder in (model, *(() if teacher is None else (teacher,))):
        check_finite(folder.path)
        check_reading(folder, data.train, length, session)
    unused = model.unused_head(data.task)
    for note in (*notes, *(() if unused is None else (unused,))):
        session.tell("phase", name="note", detail=note)
    if teacher is not None and config.agora is None:  # Agora examines it by its own rule
        check_teacher(teacher, data, length, session, force=config.data.force)


def _train(
    config: FinetuneConfig, session: Session, job: Job, folder_and_run: tuple[OutputFolder, Run]
) -> dict[str, Any]:
    """One training, whose model is the result."""
    folder, run = folder_and_run
    data, model, teacher = job.data, job.model, job.teacher
    name = f"{'distil' if teacher else 'finetune'} {data.task.name}"
    cut = model.cut(data.task, data.train, config.length_for(data.task))
    if cut is not None and cut.text and session.parent is None:
        session.tell("phase", name="note", detail=cut.text)  # a stage of another's has been told before
    trained = train_on_task(config, session, job, session.recording(run, name))
    notes = [cut.text] if cut is not None and cut.text else []
    save_model(folder.path, trained.model, model, data.task, notes, trained.said)
    return _metrics(trained.result, data.task) | ({} if cut is None else {"cut": {**asdict(cut), "text": cut.text}})


def _of_agora(config: FinetuneConfig) -> dict[str, Path | None]:
    """What Agora reads besides, as `claim` takes it."""
    agora = config.agora
    if agora is None:
        return {}
    refiller = None if agora.masked_lm is None else ModelFolder.of(agora.masked_lm).path
    return {"agora.masked_lm": refiller, "agora.unlabelled": agora.unlabelled}


def _timed(session: Session, config: FinetuneConfig) -> Session:
    """The session with the stage's own deadline, where that is the nearer one."""
    if config.budget is None:
        return session
    own = Deadline.after(parse_duration(config.budget))
    return session.inside(session.parent, own) if own.remaining() < session.deadline.remaining() else session


def _require_labels(data: TaskData) -> None:
    for name, examples in (("training", data.train), ("validation", data.validation)):
        if not (len(examples) and kind_of(data.task).labelled(examples)):
            found = "no rows" if not len(examples) else "rows without labels"
            raise DataError(f"the {name} data of {data.task.name} have {found}, expected labelled rows")


def _check_head(config: FinetuneConfig, model: ModelFolder, task: Task) -> None:
    """Refuse settings of a head that would have no effect, or that the family's classes cannot have."""
    if not config.draws_head:
        return
    setting = f"head={config.head}, head_init={config.head_init}"
    kind = kind_of(task)
    if not kind.draws_head:
        raise ConfigError(f"{setting} is for classifiers, but {task.name} asks for {kind.expected}", "leave both out")
    if model.answers(task):
        raise ConfigError(f"{setting}, but {model.path} brings a head for {task.name}, which stays", "leave both out")
    head_layers(model.architecture.family, config.head, weight_names(model.path))


def _metrics(outcome: TrainResult, task: Task) -> dict[str, Any]:
    sign = 1.0 if higher_is_better(task.main_metric) else -1.0
    score = None if outcome.best_score is None else sign * outcome.best_score
    return {
        "score": score,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "seconds": outcome.seconds,
    }


def _finish(folder: OutputFolder, metrics: dict[str, Any], run_id: str | None, seconds: float) -> Result:
    result = folder.finish(metrics, {"model": folder.path / "model.safetensors"}, run_id, seconds)
    # Only now: with `result.json` written, nothing will ask for these again.
    if folder.config["agora"] is not None:
        clear(folder.path)
    for name in (CHECKPOINT, TEACHER_OUTPUTS, ROWS_READ, Path(TEACHER_OUTPUTS).with_suffix(".hidden").name):
        (folder.path / name).unlink(missing_ok=True)
    return result
