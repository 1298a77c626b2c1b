"""Fine-tuning on every task of a suite, each in a folder and a run of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.errors import DataError
from subarch.stages.finetuning import FinetuneConfig
from subarch.stages.inputs import DataConfig, ModelFolder, load_data
from subarch.stages.output import Result, claim
from subarch.stages.session import Session
from subarch.tasks.registry import castings
from subarch.tasks.suites.averages import find_suite


def finetune_suite(
    config: FinetuneConfig, session: Session, finetune: Callable[[FinetuneConfig, Session], Result]
) -> Result:
    """Fine-tune on each task of a suite that has training data; every task starts from `config.model`.

    A killed run goes on in the task where it was. Tasks without data, or for which the teacher's folder holds no
    model, are skipped. With casting "paper", tasks that have none are cast as usual.

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
    ModelFolder.of(config.model)
    suite = find_suite(config.data.task or "")
    if config.teacher is not None and not Path(config.teacher).is_dir():
        raise DataError(f"no folder {config.teacher}", f"for {suite.name}, --teacher holds a folder for each task")
    parts, skipped = _plan(config, suite.tasks)
    if not parts:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"no task of {suite.name} can be trained, {name} for this reason: {reason}")
    with claim(config.out, "finetune", config) as folder:
        if folder.result is not None:
            return folder.result
        done: dict[str, dict[str, Any]] = {}
        with session.recorded(folder, f"finetune {suite.name}") as run:
            started = time.monotonic()
            for part, facts in parts:
                result = finetune(part, session.inside(run.run_id, session.deadline))
                done[part.out.name] = {**facts, **result.metrics}
                run.log({f"{part.out.name}_validation_score": result.metrics["score"]}, step=len(done))
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
        facts = {"metric": found.task.main_metric, "notes": list(found.notes)}
        parts.append((replace(config, data=data, teacher=path, out=config.out / name), facts))
    return parts, skipped


def _data_of(data: DataConfig, name: str) -> DataConfig:
    return replace(data, task=name, casting=data.casting if data.casting in castings(name) else "standard")
