"""Scoring every task of a suite, each by the model in a folder of the task's name, and the official average."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from subarch.errors import ConfigError, DataError, ModelError
from subarch.session.output import Result, claim
from subarch.session.session import Session
from subarch.stages.evaluation.settings import EvaluateConfig
from subarch.stages.evaluation.target import read_target
from subarch.storage import write_json
from subarch.tasks.registry import castings, find_task, trained_on
from subarch.tasks.suites.averages import Suite, find_suite, suite_average
from subarch.tasks.suites.submissions import zip_suite


def evaluate_suite(
    config: EvaluateConfig, session: Session, evaluate: Callable[[EvaluateConfig, Session], Result]
) -> Result:
    """Evaluate each task of a suite whose model and data are there.

    Args:
        config: Its task is the name of a suite; its model a folder with a model's folder for each task, named as the
            task. Sets without training data are answered by the model of the task they belong to.
        session: Where it is recorded and reported.
        evaluate: What is done for one task.

    Returns:
        Metrics: `score`, the official average, None where a task is missing; `average_of_present`; `tasks`, for each
        its metrics, intervals and main metric; `missing`, what keeps the average away; `skipped`, the reason by task.

    Raises:
        UserError: No task can be evaluated, or what a task's own evaluation raises.
    """
    suite = find_suite(str(config.data.task))
    if config.model is None or config.against is not None:
        given = "--predictions" if config.model is None else "--against"
        raise ConfigError(f"{given} with the suite {suite.name}, expected --model alone", "name one task with --task")
    if not Path(config.model).is_dir():
        raise ModelError(f"no folder {config.model}", f"for {suite.name}, --model holds a folder for each task")
    with claim(config.out, "evaluate", config, models={"model": Path(config.model)}) as folder:
        if folder.result is not None:
            return folder.result
        skipped: dict[str, str] = {}
        tasks: dict[str, dict[str, Any]] = {}
        with session.recorded(folder, f"evaluate {suite.name}") as run:
            started = time.monotonic()
            for name, part in _parts(config, suite, skipped):
                session.phase("evaluating", name)
                found = evaluate(part, session.inside(run.run_id, session.deadline)).metrics
                kept = {key: value for key, value in found.items() if key not in ("slices", "examples")}
                tasks[name] = {"metric": find_task(name).main_metric, "count": found["examples"], **kept}
            if not tasks:
                name, reason = next(iter(skipped.items()))
                raise DataError(f"no task of {suite.name} can be evaluated, {name} because {reason}")
            metrics = _summary(suite, tasks, skipped)
            numbers = {"score": metrics["score"], "average_of_present": metrics["average_of_present"]}
            run.log({name: value for name, value in numbers.items() if value is not None}, step=0)
            if config.submission is not None and not metrics["skipped"]:
                zip_suite(config.submission, suite.name)
            write_json(folder.path / "scores.json", metrics)
        artifacts = {"scores": folder.path / "scores.json"} | {name: folder.path / name for name in tasks}
        return folder.finish(metrics, artifacts, run.run_id, time.monotonic() - started)


def _parts(config: EvaluateConfig, suite: Suite, skipped: dict[str, str]) -> Iterator[tuple[str, EvaluateConfig]]:
    """The configuration of each set that can be evaluated; the others' reasons in `skipped`."""
    for name in suite.evaluated:
        model = Path(str(config.model)) / trained_on(name)
        if not model.is_dir():
            skipped[name] = f"no folder {model}"
            continue
        casting = config.data.casting if config.data.casting in castings(name) else "standard"
        data = replace(config.data, task=name, casting=casting)
        try:
            target = read_target(data, config.split)
        except DataError as error:
            skipped[name] = error.message
            continue
        if not target.labelled and config.submission is None:
            skipped[name] = f"its split {config.split!r} has no labels, and there is no --submission"
            continue
        yield name, replace(config, model=str(model), data=data, out=config.out / name)


def _summary(suite: Suite, tasks: dict[str, dict[str, Any]], skipped: dict[str, str]) -> dict[str, Any]:
    scored = {
        name: {metric: value for metric, value in found.items() if isinstance(value, float)}
        for name, found in tasks.items()
    }
    questions = {name: found["questions"] for name, found in tasks.items() if "questions" in found}
    average = suite_average(suite.name, {name: found for name, found in scored.items() if found}, questions)
    return {
        "score": average.average,
        "average_of_present": average.average_of_present,
        "tasks": tasks,
        "missing": list(average.missing),
        "skipped": skipped,
    }
