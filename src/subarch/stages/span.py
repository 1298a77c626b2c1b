"""Training and asking models for spans: windows, threshold and all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.pretrained import load_span_model
from subarch.errors import ConfigError, ModelError
from subarch.stages.finetuning import TEACHER_OUTPUTS, FinetuneConfig, loop_context
from subarch.stages.inputs import ModelFolder
from subarch.stages.session import Session
from subarch.storage import write_json
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.spans import best_spans, tune_threshold
from subarch.tasks.windows import Windows, encode_windows
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.loop import OnEvent, TrainResult, train
from subarch.training.losses import Loss
from subarch.training.precision import Precision, cast_weights, inference_dtype, prepare_for_training
from subarch.training.span import SpanModel, SpanTeacher, predict_spans, span_distillation_loss, span_loss, span_scorer

SETTINGS = "subarch.json"
"""What the model's folder says beyond its weights: {"no_answer_threshold": number, or null: always answer}."""

STRIDE = 128
"""Tokens that neighbouring windows share; a third of a window where that is less."""

HIDDEN_BYTES = 4_000_000_000
"""Above this the teacher's hidden layers are not kept, and the student imitates its logits alone."""


def windows_of(model: ModelFolder, examples: Examples, max_length: int) -> Windows:
    """Examples as windows of this model's tokenizer."""
    limit = min(max_length, model.architecture.max_length)
    return encode_windows(model.tokenizer, examples, max_length=limit, stride=min(STRIDE, limit // 3))


def train_span(
    config: FinetuneConfig,
    session: Session,
    inputs: tuple[TaskData, ModelFolder, ModelFolder | None],
    on_event: OnEvent,
) -> tuple[TrainResult, PreTrainedModel]:
    """Train the model on spans, with the answers of the teacher if there is one, and tune its threshold.

    The threshold of "no answer" is tuned on validation data and written to `SETTINGS` in `config.out`.

    Raises:
        ConfigError: A teacher whose tokenizer cuts texts otherwise than the student's.
        BudgetError: No time for a first step.
    """
    data, model, teacher = inputs
    length = config.length_for(data.task)
    session.phase("reading", f"{len(data.train):,} questions")
    windows = windows_of(model, data.train, length)
    outputs = None if teacher is None else _teacher_outputs(config, windows, teacher, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trained = load_span_model(model.path)
    prepare_for_training(trained, dropout=config.loop.dropout if outputs is None else config.distillation.dropout)
    context = loop_context(config, session, on_event, outputs.save if outputs else lambda: None)
    encoded = EncodedData(encoded=windows.encoded, pad_token_id=model.pad_token_id)
    batches = training_batches(
        encoded,
        batch_size=config.loop.batch_size,
        seed=config.seed,
        teacher=outputs,
        repeats=config.distillation.repeats if outputs else 1,
    )
    sample = data.validation.sample(config.validation_examples)
    held_out = windows_of(model, sample, length)
    evaluate = span_scorer(held_out, sample, model.pad_token_id)
    loss = _loss(config, distilled=outputs is not None)
    result = train(SpanModel(trained), batches, loss, config=config.loop, context=context, evaluate=evaluate)
    threshold = None
    # Where every question can be answered, every one is: nothing to tune, and no need to ask them all once more.
    if not all(sample.columns["answers"]):
        session.phase("tuning the threshold of no answer", f"{len(sample):,} questions")
        logits = predict_spans(trained, held_out, model.pad_token_id)
        tuned = tune_threshold(best_spans(*logits, held_out, sample), sample)
        threshold = tuned if np.isfinite(tuned) else None
    write_json(config.out / SETTINGS, {"no_answer_threshold": threshold})
    return result, trained


def predict_span_task(
    model: ModelFolder, examples: Examples, max_length: int, *, precision: Precision = "fp32"
) -> Predictions:
    """The answers of a model folder with its threshold (0 where the folder has none).

    Args:
        model: A folder with a head for spans.
        examples: Questions and contexts.
        max_length: Tokens of a window.
        precision: "bf16" or "auto" compute faster where the processor multiplies bf16, and not quite the same.

    Raises:
        ModelError: No such model, or one that spans cannot be asked of.
    """
    windows = windows_of(model, examples, max_length)
    network = load_span_model(model.path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cast_weights(network.to(device), inference_dtype(precision, device))
    logits = predict_spans(network, windows, model.pad_token_id)
    return replace(best_spans(*logits, windows, examples), threshold=read_threshold(model.path))


def read_threshold(path: Path) -> float:
    """The threshold of "no answer" saved with a model; 0 where there is none, infinite: always answer.

    Raises:
        ModelError: The file holds something else.
    """
    file = path / SETTINGS
    if not file.is_file():
        return 0.0
    try:
        value = json.loads(file.read_text(encoding="utf-8"))["no_answer_threshold"]
        return float("inf") if value is None else float(value)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f'{file} holds no threshold, expected {{"no_answer_threshold": number or null}}', "remove the file"
        ) from error


def _loss(config: FinetuneConfig, *, distilled: bool) -> Loss:
    if not distilled:
        return span_loss
    settings = config.distillation
    return span_distillation_loss(**settings.weights)


def _teacher_outputs(config: FinetuneConfig, windows: Windows, teacher: ModelFolder, data: TaskData) -> SpanTeacher:
    theirs = windows_of(teacher, data.train, config.length_for(data.task))
    # A trimmed vocabulary numbers the same pieces of text otherwise: what counts is where they are.
    same = np.array_equal(windows.encoded.offsets, theirs.encoded.offsets)
    if not (same and np.array_equal(windows.starts, theirs.starts) and np.array_equal(windows.ends, theirs.ends)):
        raise ConfigError(
            f"the tokenizer of {teacher.path} cuts texts otherwise than the student's, expected the same pieces",
            "a span is imitated token by token: take a teacher with the student's tokenizer",
        )
    needed = len(windows.starts) * teacher.architecture.hidden_size * 2
    return SpanTeacher(
        teacher=load_span_model(teacher.path),
        windows=theirs,
        pad_token_id=teacher.pad_token_id,
        path=config.out / TEACHER_OUTPUTS,
        with_hidden=config.distillation.hidden_weight > 0 and needed <= HIDDEN_BYTES,
    )
