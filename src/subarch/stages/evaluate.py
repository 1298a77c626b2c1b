"""Score a model on data that selected nothing, with intervals and slices, and keep its predictions."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subarch.deploy.runtime import TorchRuntime, answer, open_runtime
from subarch.errors import ConfigError
from subarch.inputs.agreement import check_order
from subarch.inputs.data import load_data
from subarch.inputs.looking import describe
from subarch.inputs.models import ModelFolder
from subarch.inputs.reading import check_reading
from subarch.kinds.base import Tokenised
from subarch.kinds.registry import kind_of
from subarch.running.machine import describe_machine
from subarch.session.output import Result, claim, is_finished
from subarch.session.session import Session
from subarch.stages.evaluation.settings import EvaluateConfig
from subarch.stages.evaluation.suite import evaluate_suite
from subarch.stages.evaluation.target import Target, own_data, read_target
from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.classes import class_scores
from subarch.tasks.scoring.prediction_files import read_predictions, save_predictions
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import compare, score
from subarch.tasks.scoring.scores import slices as scores_by_slice
from subarch.tasks.scoring.slices import slice_columns
from subarch.tasks.suites.averages import SUITES
from subarch.tasks.suites.submissions import read_submission, write_submission
from subarch.training.processes import require_one_process

__all__ = ["PREDICTIONS", "EvaluateConfig", "evaluate", "opened", "predict_task", "scores"]

PREDICTIONS = "predictions.parquet"
ALWAYS_ANSWERED = frozenset({"squad1"})
"""Tasks of spans in which every question has an answer: no threshold can be right there."""


def evaluate(config: EvaluateConfig, session: Session | None = None) -> Result:
    """Score a model, or predictions.

    Returns:
        Metrics: `score` (the main metric), every metric of the task by name, `intervals` (95 %, bootstrap over
        examples or questions), `slices`, `classes` (as `class_scores`), `cut` of a model (what it does
        not read of the texts), and `against` if there is a second model; file: `predictions.parquet`.

    Raises:
        UserError: Data, a model, a file or an output folder that cannot be used.
    """
    require_one_process("evaluate")
    session = session or Session()
    if config.data.task is not None and config.data.task.lower() in SUITES:
        return evaluate_suite(config, session, evaluate)
    target = read_target(config.data, config.split, config.slice).sample(config.examples, config.seed)
    _check(config, target)
    slices = slice_columns(target.task, target.examples, config.slice)
    # Official tasks are known; of own data it is told where the rows that are scored come from.
    described = (
        {} if config.data.task or is_finished(config.out) else {"data": describe(own_data(config.data), session)}
    )
    source = _source(config.predictions or str(config.model), target, config, session)
    other = None if config.against is None else _source(config.against, target, config, session)
    read = {"model": config.model, "predictions": config.predictions, "against": config.against}
    others = {name: _place(given) for name, given in read.items()} | {"engine": config.engine}
    with claim(config.out, "evaluate", config, target.fingerprint, others) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, f"evaluate {target.task.name}") as run:
            started = time.monotonic()
            predictions = _predicted(source, target, config)
            metrics: dict[str, Any] = target.counts | described
            metrics |= _not_read(source, target, config)
            if target.labelled:
                metrics |= score(target.task, predictions, target.examples, config.seed)
                if classes := class_scores(target.task, predictions, target.examples, config.seed):
                    metrics["classes"] = classes
                metrics["slices"] = scores_by_slice(target.task, predictions, target.examples, slices, config.seed)
                if other is not None:
                    second = _predicted(other, target, config)
                    metrics["against"] = compare(target.task, second, predictions, target.examples, slices, config.seed)
            run.log({name: value for name, value in metrics.items() if isinstance(value, float)}, step=0)
            file = folder.path / PREDICTIONS
            save_predictions(file, target.task, predictions, target.examples, slices)
            if config.submission is not None:
                write_submission(config.submission, target.task, predictions, target.examples)
        return folder.finish(metrics, {"predictions": file}, run.run_id, time.monotonic() - started)


def _check(config: EvaluateConfig, target: Target) -> None:
    if not target.labelled and (config.submission is None or config.against is not None):
        raise ConfigError(
            f"split {config.split!r} of {target.task.name} has no labels, so nothing can be scored",
            "give --submission DIR for the file that the server scores, or choose --split dev",
        )
    if config.submission is not None and config.submission.exists() and not config.submission.is_dir():
        raise ConfigError(f"{config.submission} is a file, expected a folder", "choose another --submission")


def predict_task(
    model: ModelFolder, task: Task, examples: Examples, max_length: int | None = None, engine: Path | None = None
) -> Predictions:
    """What a model says of the examples, classes in the order of the task, whatever the model's own is.

    `engine` is the folder of an export of the model that is asked in its place.
    """
    kind, rows = kind_of(task), model.tokenise(task, examples, max_length or task.max_length)
    outputs = opened(model, task, engine)(rows)
    match = model.match(task) if task.labels else None
    if match is not None:
        outputs = outputs[:, list(match.order)]
    said = kind.as_set(kind.predictions(outputs, rows, examples), model.path)
    return replace(said, threshold=float("inf")) if task.source and task.name in ALWAYS_ANSWERED else said


def opened(model: ModelFolder, task: Task, engine: Path | None = None) -> Callable[[Tokenised], Array]:
    """Gives outputs of a model folder, as `Kind.predict` does, by whatever runtime the folder, or `engine`, is for."""
    kind = kind_of(task)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = int(describe_machine()["threads"])
    runtime = open_runtime(engine or model.path, threads, lambda path: kind.opened(path, task).to(device))

    def ask(rows: Tokenised) -> Array:
        with kind.sparing(runtime.model) if isinstance(runtime, TorchRuntime) else nullcontext():
            return answer(runtime, rows.data.encoded, rows.data.pad_token_id, by_token=kind.by_token)

    return ask


def scores(task: Task, outputs: np.ndarray, examples: Examples, seed: int) -> dict[str, Any]:
    """All metrics of the task, the main one as `score`, and their 95 % intervals."""
    return score(task, Predictions(outputs=outputs), examples, seed)


def _source(given: str | Path, target: Target, config: EvaluateConfig, session: Session) -> ModelFolder | Predictions:
    """The predictions of a file, or a model that answers the task: checked before anything is written."""
    if isinstance(given, Path) or Path(given).is_file():
        reader = read_predictions if Path(given).suffix.lower() == ".parquet" else read_submission
        return reader(Path(given), target.task, target.examples)
    model = ModelFolder.of_any(given)
    model.require_answers(target.task)
    length = config.max_length or target.task.max_length
    check_reading(model, target.examples, length, session)
    # Of own data a tenth is scored, too few to tell one order of the classes from another.
    labelled = target.examples if config.data.train is None else load_data(config.data).train
    check_order(model, target.task, labelled, length, session, force=config.data.force)
    return model


def _not_read(source: ModelFolder | Predictions, target: Target, config: EvaluateConfig) -> dict[str, Any]:
    """`cut`, where the model does not read all of the texts; of predictions nobody knows."""
    if isinstance(source, Predictions):
        return {}
    cut = source.cut(target.task, target.examples, config.max_length)
    return {"cut": {**asdict(cut), "text": cut.text}} if cut is not None and cut.text else {}


def _place(given: str | Path | None) -> Path | None:
    """Where what `_source` reads lies."""
    if given is None or Path(given).is_file():
        return None if given is None else Path(given)
    return ModelFolder.of_any(given).path


def _predicted(source: ModelFolder | Predictions, target: Target, config: EvaluateConfig) -> Predictions:
    if isinstance(source, Predictions):
        return source
    return predict_task(source, target.task, target.examples, config.max_length, config.engine)
