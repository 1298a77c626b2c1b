"""Fine-tuning on every task of a suite, each in a folder and a run of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.errors import DataError, ModelError, UserError
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder
from subarch.running.budget import Budget
from subarch.session.output import Result, claim
from subarch.session.session import Session, seconds_left
from subarch.stages.finetuning.settings import FinetuneConfig
from subarch.stages.growth.admission import prepared
from subarch.stages.growth.transforming import require_possible
from subarch.tasks.base import TaskData
from subarch.tasks.registry import castings
from subarch.tasks.suites.averages import find_suite


def finetune_suite(
    config: FinetuneConfig, session: Session, finetune: Callable[[FinetuneConfig, Session], Result]
) -> Result:
    """Fine-tune on each task of a suite that has training data; every task starts from `config.model`.

    A killed run goes on in the task where it was. Tasks without data, or for which the teacher's folder holds no
    model, are skipped, and with Agora those that it refuses. A budget is shared out evenly over the tasks; what one
    leaves, the later ones get. With casting "paper", tasks that have none are cast as usual.

    Args:
        config: Its task is the name of a suite; its teacher a folder with a model's folder for each task.
        session: Where it is recorded and reported.
        finetune: What is done for one task.

    Returns:
        Metrics: `tasks`, for each what `finetune` returns, its main metric's name (`metric`) and `notes` on its data;
        and `skipped`, for each the reason. The scores are of validation data, so there is no official average:
        `evaluate` gives it.

    Raises:
        UserError: No task has data, or what a task's own run raises.
        InterruptedRun: Stopped by the user, after saving.
    """
    model = ModelFolder.of(config.model)
    suite = find_suite(config.data.task or "")
    if config.teacher is not None and not Path(config.teacher).is_dir():
        raise DataError(f"no folder {config.teacher}", f"for {suite.name}, --teacher holds a folder for each task")
    parts, skipped = _plan(config, suite.tasks)
    if not parts:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"no task of {suite.name} can be trained, {name} for this reason: {reason}")
    models = {"model": model.path, "teacher": None if config.teacher is None else Path(config.teacher)}
    with claim(config.out, "finetune", config, models=models) as folder:
        if folder.result is not None:
            return folder.result
        done: dict[str, dict[str, Any]] = {}
        budget = Budget(seconds_left(session.deadline), {part.out.name: 1.0 for part, _ in parts})
        with session.recorded(folder, f"finetune {suite.name}") as run:
            started = time.monotonic()
            for part, facts in parts:
                name = part.out.name
                try:
                    with budget.stage(name) as deadline:
                        result = finetune(part, session.inside(run.run_id, deadline))
                except ModelError as error:
                    if config.agora is None:
                        raise
                    # Socrates knows this task too little
                    skipped[name] = error.message
                    continue
                done[name] = {**facts, **result.metrics}
                run.log({f"{name}_validation_score": result.metrics["score"]}, step=len(done))
            if not done:
                raise ModelError(f"no task of {suite.name} was trained, {name} for this reason: {skipped[name]}")
        metrics = {"tasks": done, "skipped": skipped}
        artifacts = {name: folder.path / name for name in done}
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


def _plan(
    config: FinetuneConfig, tasks: tuple[str, ...]
) -> tuple[list[tuple[FinetuneConfig, dict[str, Any]]], dict[str, str]]:
    """The configuration of each task that can be trained, and what the result says of it; why the others cannot."""
    parts: list[tuple[FinetuneConfig, dict[str, Any]]] = []
    skipped: dict[str, str] = {}
    for name in tasks:
        teacher = None if config.teacher is None else Path(config.teacher) / name
        if teacher is not None and not teacher.is_dir():
            skipped[name] = f"no teacher in {teacher}"
            continue
        data = _data_of(config.data, name)
        try:
            found = load_data(data)
        except DataError as error:
            skipped[name] = error.message
            continue
        if teacher is not None:
            ModelFolder.of(teacher).require_answers(found.task)
        path = None if teacher is None else str(teacher)
        part = replace(config, data=data, teacher=path, out=config.out / name)
        if refusal := _refusal(part, found):
            skipped[name] = refusal
            continue
        parts.append((part, {"metric": found.task.main_metric, "notes": list(found.notes)}))
    return parts, skipped


def _refusal(part: FinetuneConfig, data: TaskData) -> str:
    """Why Agora cannot grow these data, as far as that is known before."""
    if part.agora is None:
        return ""
    try:
        require_possible(part.agora, prepared(part, data))
    except UserError as error:
        return error.message
    return ""


def _data_of(data: DataConfig, name: str) -> DataConfig:
    return replace(data, task=name, casting=data.casting if data.casting in castings(name) else "standard")
