"""Score a model on data that selected nothing, with intervals, and keep its predictions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from subarch.deploy.runtime import answer, open_runtime
from subarch.errors import ConfigError
from subarch.running.machine import describe_machine
from subarch.stages.inputs import DataConfig, ModelFolder, aligned, load_data
from subarch.stages.output import Result, claim
from subarch.stages.session import Session
from subarch.storage import replacing_file
from subarch.tasks.base import Examples, Task
from subarch.tasks.metrics import bootstrap_interval, compute

PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Which model on which split."""

    model: str
    """Folder (PyTorch or ONNX) or Hub id of a model that answers the task."""
    out: Path
    data: DataConfig
    split: Literal["validation", "test"] = "test"
    """"test" selects nothing (the official dev set of a GLUE task); "validation" selected the weights."""
    max_length: int = 128
    examples: int | None = None
    """Score a random sample of so many; all by default."""
    seed: int = 0
    """Of the bootstrap and of the sample."""


def evaluate(config: EvaluateConfig, session: Session | None = None) -> Result:
    """Score a model.

    Returns:
        Metrics: `score` (the main metric), every metric of the task by name, and `intervals` (95 %, bootstrap over
        examples); file: `predictions.parquet` (id, prediction, probabilities, gold).

    Raises:
        UserError: Data, a model or an output folder that cannot be used.
    """
    session = session or Session()
    data = load_data(config.data)
    model = ModelFolder.of_any(config.model)
    model.require_answers(data.task)
    data = aligned(data, model)
    with claim(config.out, "evaluate", config, data.fingerprint) as folder:
        if folder.result is not None:
            return folder.result
        with session.recorded(folder, f"evaluate {data.task.name}") as run:
            started = time.monotonic()
            split = data.test if config.split == "test" else data.validation
            examples = split.sample(config.examples, config.seed)
            logits = answers_of(model, examples, config.max_length)
            metrics = scores(data.task, logits, examples, config.seed)
            run.log({name: value for name, value in metrics.items() if name != "intervals"}, step=0)
            file = folder.path / PREDICTIONS
            save_predictions(file, data.task, logits, examples)
        return folder.finish(metrics, {"predictions": file}, run.run_id, time.monotonic() - started)


def answers_of(model: ModelFolder, examples: Examples, max_length: int) -> np.ndarray:
    """Outputs of a model folder, (examples, classes or 1), by whatever runtime the folder is for."""
    encoded = model.encode(examples, max_length)
    runtime = open_runtime(model.path, int(describe_machine()["threads"]))
    return answer(runtime, encoded.encoded, encoded.pad_token_id)


def scores(task: Task, logits: np.ndarray, examples: Examples, seed: int) -> dict[str, Any]:
    """All metrics of the task, the main one as `score`, and their 95 % intervals."""
    if examples.labels is None:
        raise ConfigError("the split has no labels, so nothing can be scored")
    found: dict[str, Any] = dict(compute(task.kind, task.metrics, logits, examples.labels))
    intervals = {name: list(bootstrap_interval(name, logits, examples.labels, seed)) for name in task.metrics}
    return {"score": found[task.main_metric], **found, "intervals": intervals}


def save_predictions(path: Path, task: Task, logits: np.ndarray, examples: Examples) -> None:
    """Write one row an example, so that every figure can be recomputed without the model."""
    columns: dict[str, Any] = {"id": np.arange(len(examples))}
    if task.kind == "classification":
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        names = np.asarray(task.labels)
        columns["prediction"] = names[logits.argmax(axis=1)]
        columns["probabilities"] = list(probabilities.astype(np.float32))
        columns["gold"] = names[examples.labels]
    else:
        columns["prediction"] = logits[:, 0]
        columns["gold"] = examples.labels
    with replacing_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
