"""One trial: a configuration becomes a student, which is trained, scored and measured."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from subarch.arch.costs import parameters
from subarch.errors import DivergedError
from subarch.inputs.data import DATA_SEED
from subarch.kinds.base import Tokenised
from subarch.kinds.registry import kind_of
from subarch.kinds.scorer import Scorer
from subarch.running.accelerators import held_to_share
from subarch.running.executor import Tell
from subarch.stages.finetuning.saving import save_model
from subarch.stages.trials.costs import counted_length, operations
from subarch.stages.trials.latency import read_table, size_key, time_student
from subarch.stages.trials.params import apply_params
from subarch.stages.trials.settings import SearchConfig
from subarch.stages.trials.shared import Shared, open_shared
from subarch.stages.trials.student import architecture_of, restore_dropouts
from subarch.stages.trials.views import View, curve_examples
from subarch.storage import write_json
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import score
from subarch.tasks.scoring.scores import slices as scores_by_slice
from subarch.tasks.scoring.slices import slice_columns
from subarch.training.classifier import training_batches
from subarch.training.loop import Event, LoopContext, TrainResult, train
from subarch.training.precision import prepare_for_training

TRIAL_FILE = "trial.json"
"""Written last into the trial's folder: what `run_trial` returns, with the configuration."""
INTERVAL_ERRORS = 2 * 1.96
"""Standard errors that a 95 % interval is wide."""
_SLICES = ("length",)
"""Left out: it is no property of the data that anyone would choose a model by."""


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """What travels to where a trial runs."""

    number: int
    params: dict[str, Any]
    seed: int
    search: SearchConfig
    shared: Path
    """Folder of what trials share, from `prepare_shared`."""
    out: Path
    """The trial's own folder."""
    accelerator_share: float = 1.0
    """Of the memory of the accelerator that it runs on, if it does."""
    split: Literal["validation", "test"] = "validation"
    """What the student is scored on: the data that select, or those that select nothing, to confirm a choice."""


def run_trial(task: TrialTask, tell: Tell) -> dict[str, Any]:
    """Build, train, score and measure one student, and leave it in `task.out` as a Hugging Face folder.

    The same task gives the same metrics in any process; only `latency_ms`, where it is measured, and `seconds` differ.
    A trial that is killed begins anew.

    Args:
        task: What to try.
        tell: Told each evaluation on validation data: {"event": "evaluation", "step", "progress", "score"}, a higher
            score being better. What it raises ends the trial.

    Returns:
        {"metrics": {name: value}, "errors": {name: standard error}, "slices": as `scores.slices` without intervals,
        "steps", "seconds"}. Metrics are all those of the task on `task.split`, and of `COSTS` those that the search
        asks for. The error of a latency is the spread of its rounds.

    Raises:
        ConfigError: A configuration that cannot be.
        DivergedError: A loss, gradients or outputs that are no numbers.
        WorkerLost: Other processes took the memory of the accelerator.
    """
    started = time.monotonic()
    config = apply_params(task.search, task.params)
    with _threads(max(1, int(config.cpus))), held_to_share(task.accelerator_share):
        shared = open_shared(config, task.shared)
        view = shared.view(config.student.vocabulary)
        student, trained = _train(config, shared, view, task.seed, tell)
        predictions, examples = _answered(student, shared, view, task.split)
        restore_dropouts(student, config.student, shared.donor.teacher.config)
        _save(task.out, student, view, shared.data.task, predictions)
        metrics, errors = _qualities(shared.data.task, predictions, examples)
        for name, (value, error) in _costs(config, shared, view, student, task.out).items():
            metrics[name] = value
            errors |= {} if error is None else {name: error}
    result = {
        "metrics": metrics,
        "errors": errors,
        "slices": _slices(shared.data.task, predictions, examples),
        "steps": trained.steps,
        "seconds": round(time.monotonic() - started, 3),
    }
    write_json(task.out / TRIAL_FILE, {"number": task.number, "params": task.params, "seed": task.seed, **result})
    return result


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for PyTorch, in every process alike: sums differ in their last digits with their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(
    config: SearchConfig, shared: Shared, view: View, seed: int, tell: Tell
) -> tuple[PreTrainedModel, TrainResult]:
    task, settings = shared.data.task, config.distillation
    kind, labels = kind_of(task), view.train.encoded.labels
    distilled = settings.weight > 0 or settings.hidden_weight > 0
    student = shared.donor.build(config.student, view.kept, dropout=settings.dropout or not distilled, seed=seed)
    prepare_for_training(student, dropout=True)  # the build has set those that are off to 0
    batches = training_batches(
        view.train,
        batch_size=config.loop.batch_size,
        seed=seed,
        teacher=shared.outputs(view, config.student, settings.layers) if distilled else None,
        groups=kind.groups(shared.data.train),
        repeats=settings.repeats if distilled else 1,
    )
    sample = curve_examples(shared.data)
    evaluate = Scorer(kind=kind, task=task, rows=view.curve, examples=sample, check=_require_finite)

    def on_event(event: Event) -> None:
        if event["event"] == "evaluation":
            tell({**event, "score": float(event["score"])})

    context = LoopContext(seed=seed, on_event=on_event)
    loss = kind.distillation_loss(labels, **settings.weights) if distilled else kind.task_loss(labels)
    result = train(kind.network(student), batches, loss, config=config.loop, context=context, evaluate=evaluate)
    student.set_attn_implementation("sdpa")  # as it will run
    return student, result


def predicted(model: nn.Module, rows: Tokenised, examples: Examples, task: Task) -> Predictions:
    """What a model says of examples, at the threshold that is best for them where there is one.

    Raises:
        DivergedError: Outputs that are no numbers.
    """
    kind = kind_of(task)
    outputs = kind.predict(model, rows)
    _require_finite(outputs)
    return kind.tuned(kind.predictions(outputs, rows, examples), examples)


def _answered(
    student: PreTrainedModel, shared: Shared, view: View, split: Literal["validation", "test"]
) -> tuple[Predictions, Examples]:
    """What the student says of a split, and the split; of spans at the threshold that validation data chose."""
    data = shared.data
    predictions = predicted(student, view.validation, data.validation, data.task)
    if split == "validation":
        return predictions, data.validation
    rows = view.model.tokenise(data.task, data.test, shared.length)
    return replace(predicted(student, rows, data.test, data.task), threshold=predictions.threshold), data.test


def _require_finite(outputs: np.ndarray) -> None:
    bad = int((~np.isfinite(outputs)).sum())
    if bad:
        raise DivergedError(f"{bad} outputs of the student are no finite numbers", "lower the learning rate")


def _save(out: Path, student: PreTrainedModel, view: View, task: Task, predictions: Predictions) -> None:
    view.model.tokenizer.backend_tokenizer.no_truncation()  # which encoding leaves in it
    save_model(out, student, view.model, task, said=predictions)


def _qualities(task: Task, predictions: Predictions, examples: Examples) -> tuple[dict[str, float], dict[str, float]]:
    """Every metric of the task, and their standard errors by the bootstrap over examples."""
    found = score(task, predictions, examples, DATA_SEED)
    intervals = found.pop("intervals")
    metrics = {name: float(value) for name, value in found.items() if not name.endswith("_threshold")}
    errors = {name: (high - low) / INTERVAL_ERRORS for name, (low, high) in intervals.items()}
    return metrics, {"score": errors[task.main_metric], **errors}


def _slices(task: Task, predictions: Predictions, examples: Examples) -> dict[str, Any]:
    columns = {name: column for name, column in slice_columns(task, examples).items() if name not in _SLICES}
    found = scores_by_slice(task, predictions, examples, columns, DATA_SEED)
    return {
        name: {
            value: {key: number for key, number in row.items() if key not in ("interval", "metric", "few")}
            for value, row in rows.items()
        }
        for name, rows in found.items()
    }


def _costs(
    config: SearchConfig, shared: Shared, view: View, student: PreTrainedModel, out: Path
) -> dict[str, tuple[float, float | None]]:
    """Those that the search asks for, with their error where they have one."""
    task, teacher = shared.data.task, shared.donor.teacher.architecture
    architecture = architecture_of(config.student, teacher, None if view.kept is None else len(view.kept))

    def latency() -> tuple[float, float | None]:
        table = read_table(shared.folder)
        return table.get(size_key(architecture)) or time_student(student, view.validation.data)

    length = counted_length(task, teacher, config.max_length)
    measures = {
        "num_parameters": lambda: (float(student.num_parameters()), None),
        "encoder_parameters": lambda: (float(parameters(architecture).encoder), None),
        "flops": lambda: (float(operations(architecture, task, length)), None),
        "model_bytes": lambda: (float((out / "model.safetensors").stat().st_size), None),
        "latency_ms": latency,
    }
    return {name: measure() for name, measure in measures.items() if name in config.metrics}
