"""Fine-tune a model on a task; with a teacher, distil the teacher's answers into it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.pretrained import quiet_transformers
from subarch.errors import BudgetError, ConfigError
from subarch.stages.inputs import DataConfig, ModelFolder, aligned, load_data
from subarch.stages.output import OutputFolder, Result, claim
from subarch.stages.session import Session, seconds_left
from subarch.storage import replacing_folder
from subarch.tasks.base import Task, TaskData
from subarch.tasks.metrics import METRICS
from subarch.training.classifier import (
    EncodedData,
    TeacherOutputs,
    distillation_loss_for,
    loss_for,
    scorer,
    training_batches,
)
from subarch.training.loop import LoopConfig, LoopContext, TrainResult, train
from subarch.training.precision import prepare_for_training

CHECKPOINT = "checkpoint.safetensors"
TEACHER_OUTPUTS = "teacher_outputs.safetensors"
HIDDEN_BYTES = 4_000_000_000
"""Above this the teacher's hidden layers are not kept, and the student imitates its logits alone."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """How a student learns from its teacher."""

    weight: float = 0.9
    """Weight of imitating the teacher; the rest is the task's own loss."""
    temperature: float = 2.0
    """Softens both distributions."""
    hidden_weight: float = 1.0
    """Weight of imitating the teacher's last hidden layer, token by token; only where both see the same tokens."""
    dropout: bool = False
    """Whether the student keeps its dropout: imitating a function, it needs none."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"weight is {self.weight}, expected a share from 0 to 1")
        if self.hidden_weight < 0:
            raise ConfigError(f"hidden_weight is {self.hidden_weight}, expected 0 or more")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature}, expected a positive number")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What to fine-tune on what."""

    model: str
    """Folder or Hub id of the model to train."""
    out: Path
    """Folder for the trained model."""
    teacher: str | None = None
    """Folder or Hub id of a model that already answers the task; then its answers are distilled."""
    data: DataConfig
    seed: int = 0
    max_length: int = 128
    """Longest input in tokens."""
    validation_examples: int = 2000
    """Score at most so many validation rows, a fixed sample of them, each time that the best weights are sought."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)


def finetune(config: FinetuneConfig, session: Session | None = None) -> Result:
    """Train the model and leave it in `config.out` as an ordinary Hugging Face folder.

    Returns:
        Metrics: `score` (the task's main metric on validation data, which selected the weights), `steps`, `seconds`.

    Raises:
        UserError: Data, a model or an output folder that cannot be used.
        InterruptedRun: Stopped by the user, after saving.
    """
    session = session or Session()
    data = load_data(config.data)
    model = ModelFolder.of(config.model)
    teacher = ModelFolder.of(config.teacher) if config.teacher else None
    if teacher is not None:
        teacher.require_answers(data.task)
        data = aligned(data, teacher)
    else:
        data = aligned(data, model)
    with claim(config.out, "finetune", config, data.fingerprint) as folder:
        if folder.result is not None:
            return folder.result
        name = f"{'distil' if teacher else 'finetune'} {data.task.name}"
        with session.recorded(folder, name) as run:
            started = time.monotonic()
            outcome, trained = _train(config, session, (data, model, teacher), session.recording(run, name))
            save_model(folder.path, trained, model, data.task)
            metrics = _metrics(outcome, data.task)
            run.log({"validation_score": metrics["score"]}, step=outcome.steps)
        return _finish(folder, metrics, run.run_id, time.monotonic() - started)


def _train(
    config: FinetuneConfig,
    session: Session,
    inputs: tuple[TaskData, ModelFolder, ModelFolder | None],
    on_event: Any,
) -> tuple[TrainResult, PreTrainedModel]:
    data, model, teacher = inputs
    session.phase("reading", f"{len(data.train):,} examples")
    encoded = model.encode(data.train, config.max_length)
    outputs = None
    if teacher is not None:
        outputs = _teacher_outputs(config, data.task, teacher, encoded, teacher.encode(data.train, config.max_length))
    classifier = fresh_classifier(model, data, config.seed)
    prepare_for_training(classifier, dropout=outputs is None or config.distillation.dropout)
    if seconds_left(session.deadline) == 0:
        raise BudgetError("the budget was spent before the first training step", "give a longer --budget")
    context = LoopContext(
        seed=config.seed,
        checkpoint=config.out / CHECKPOINT,
        seconds=seconds_left(session.deadline),
        on_event=on_event,
        stop_requested=session.stop_requested,
        before_save=outputs.save if outputs else lambda: None,
    )
    assert data.train.labels is not None
    settings = config.distillation
    loss = loss_for(data.task, data.train.labels)
    if outputs is not None:
        loss = distillation_loss_for(
            data.task,
            data.train.labels,
            weight=settings.weight,
            temperature=settings.temperature,
            hidden_weight=settings.hidden_weight,
        )
    batches = training_batches(encoded, batch_size=config.loop.batch_size, seed=config.seed, teacher=outputs)
    validation = model.encode(data.validation.sample(config.validation_examples), config.max_length)
    result = train(
        classifier, batches, loss, config=config.loop, context=context, evaluate=scorer(data.task, validation)
    )
    return result, classifier


def _teacher_outputs(
    config: FinetuneConfig, task: Task, teacher: ModelFolder, student_data: EncodedData, teacher_data: EncodedData
) -> TeacherOutputs:
    same_tokens = np.array_equal(student_data.encoded.offsets, teacher_data.encoded.offsets)
    needed = len(teacher_data.encoded.input_ids) * teacher.architecture.hidden_size * 2
    return TeacherOutputs(
        teacher=teacher.classifier(task),
        data=teacher_data,
        path=config.out / TEACHER_OUTPUTS,
        with_hidden=config.distillation.hidden_weight > 0 and same_tokens and needed <= HIDDEN_BYTES,
    )


def fresh_classifier(model: ModelFolder, data: TaskData, seed: int) -> PreTrainedModel:
    """The classifier of a folder; a head that it lacks is drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = model.classifier(data.task)
    if data.task.kind == "regression" and not model.answers(data.task) and data.train.labels is not None:
        # Starting at the mean answer spares the first epochs the climb towards it.
        last = [module for module in classifier.modules() if isinstance(module, torch.nn.Linear)][-1]
        with torch.no_grad():
            last.bias.fill_(float(data.train.labels.mean()))
    return classifier


def save_model(path: Path, classifier: PreTrainedModel, source: ModelFolder, task: Task) -> None:
    """Write model, tokenizer and a model card; files appear whole or not at all."""
    with replacing_folder(path / "model.partial") as temporary, quiet_transformers():
        classifier.to("cpu").save_pretrained(temporary)
        source.tokenizer.save_pretrained(temporary)
        (temporary / "README.md").write_text(_card(path.name, task), encoding="utf-8")
    # config.json last: without it the folder is no model.
    for file in sorted((path / "model.partial").iterdir(), key=lambda file: file.name == "config.json"):
        file.replace(path / file.name)
    (path / "model.partial").rmdir()


def _card(name: str, task: Task) -> str:
    labels = f"Labels: {', '.join(task.labels)}." if task.labels else "One real-valued output."
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: text-classification\n---\n\n# {name}\n\n"
        f"A model for the task {task.name}, trained by subarch. {labels}\n\n"
        "```python\nfrom transformers import pipeline\n"
        'classify = pipeline("text-classification", model="PATH_OF_THIS_FOLDER")\n```\n'
    )


def _metrics(outcome: TrainResult, task: Task) -> dict[str, Any]:
    sign = 1.0 if METRICS[task.main_metric].higher_is_better else -1.0
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
    for name in (CHECKPOINT, TEACHER_OUTPUTS, Path(TEACHER_OUTPUTS).with_suffix(".hidden").name):
        (folder.path / name).unlink(missing_ok=True)
    return result
