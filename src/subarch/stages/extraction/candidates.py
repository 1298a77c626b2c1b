"""The workshop of a task: everything that all candidates share, and what is done with one of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_classifier, build_config, empty_classifier
from subarch.arch.pretrained import quiet_transformers
from subarch.arch.vocabulary import cut_special_ids, cut_tokenizer_files, keep_tokens
from subarch.optimize.fptas import mean_with_interval
from subarch.running.budget import Deadline
from subarch.stages.extraction.settings import Attempt, ExtractConfig, SurrogateError, Timing, name_of_units
from subarch.stages.extraction.timing import nominal_timings, random_requests, time_in_turn
from subarch.stages.inputs import ModelFolder
from subarch.storage import read_json, replacing_folder
from subarch.tasks.base import Task, TaskData
from subarch.tasks.encode import bucketed_batches, pad
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData, TeacherOutputs, distillation_loss_for, loss_for, training_batches
from subarch.training.importance import Importance, measure_importance
from subarch.training.inherit import inherit, select
from subarch.training.loop import LoopContext, train
from subarch.training.losses import Batch, surrogate_errors
from subarch.training.precision import cast_weights, inference_dtype, prepare_for_training
from subarch.training.predict import predict
from subarch.training.processes import process_state
from subarch.training.skipping import rank_by_skipping
from subarch.training.stack import ENCODER_INPUTS

CALIBRATION_TOKENS = 4096
"""Tokens of training text by which the teacher is weighed and students are corrected; ours."""
RANKING_EXAMPLES = 32
"""Rows of it on which layers are left out; ours."""
TIMED_LENGTHS = (0.25, 0.5, 0.75)
"""Quantiles of the validation lengths at which candidates are timed."""


@dataclass(frozen=True, kw_only=True)
class TaskWorkshop:
    """The teacher opened up on the task's data, ready to make students of any size."""

    config: ExtractConfig
    task: Task
    teacher: ModelFolder
    model: PreTrainedModel
    calibration: Calibration
    importance: Importance
    drop_order: tuple[int, ...]
    kept_tokens: tuple[int, ...] | None
    student_tokenizer: ModelFolder
    train_data: EncodedData
    validation: EncodedData
    teacher_train: TeacherOutputs
    teacher_validation: np.ndarray
    labels: np.ndarray

    @property
    def vocab_size(self) -> int:
        """Tokens that students keep."""
        return self.teacher.architecture.vocab_size if self.kept_tokens is None else len(self.kept_tokens)

    def build(self, candidate: Architecture, *, correct: bool = True) -> PreTrainedModel:
        """A student of this size with the teacher's most important weights, or with random ones.

        Args:
            candidate: Its sizes.
            correct: Whether what was cut is made up for; what is only timed does not need it.
        """
        labels: dict[str, Any] = {
            "num_labels": self.task.num_outputs,
            "id2label": dict(enumerate(self.task.labels)) or {0: self.task.label},
            "problem_type": self.model.config.problem_type,
        }
        if self.config.start == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.seed)
                return build_classifier(candidate, self._student_config, **labels)
        teacher = self.teacher.architecture
        selection = select(candidate, teacher, self.importance, drop_order=self.drop_order, vocab=self.kept_tokens)
        config = build_config(candidate, self._student_config, layers=selection.layers, **labels)
        student = empty_classifier(config)
        inherit(student, self.model, (candidate, teacher), selection, self.calibration if correct else None)
        return student

    def facts(self, candidate: Architecture) -> dict[str, Any]:
        """`error_name`, and `imitated_layers`, unless it is deeper than the teacher."""
        imitated = {}
        if candidate.num_hidden_layers <= self.teacher.architecture.num_hidden_layers:
            imitated = {"imitated_layers": list(self.imitated_layers(candidate))}
        return {"error_name": self._error_name, **imitated}

    def imitated_layers(self, candidate: Architecture) -> tuple[int, ...]:
        """For each layer of the student, the teacher's (from 1) after which the next kept one comes."""
        kept = self._kept_layers(candidate.num_hidden_layers)
        return (*kept[1:], self.teacher.architecture.num_hidden_layers)

    def _kept_layers(self, count: int) -> list[int]:
        layers = self.teacher.architecture.num_hidden_layers
        return sorted(set(range(layers)) - set(self.drop_order[: layers - count]))

    def error_of(self, attempt: Attempt) -> SurrogateError:
        """Lines 7 and 8 of Algorithm 1: build, train for s steps, ê on held-out rows."""
        student = self.build(attempt.candidate)
        if attempt.steps:
            self._train(student, attempt)
        device = process_state().device
        cast_weights(student.to(device), inference_dtype("auto", device))
        outputs = predict(student, self.validation.encoded, self.validation.pad_token_id)
        teacher = torch.from_numpy(self.teacher_validation)
        variance = float(np.var(self.teacher_validation)) or 1.0 if self.task.kind == "regression" else None
        errors = surrogate_errors(torch.from_numpy(outputs), teacher, kind=self.config.error, variance=variance).numpy()
        mean, interval = mean_with_interval(errors)
        units = name_of_units(self.validation.encoded.input_ids, self.teacher_validation)
        return SurrogateError(error=mean, interval=interval, errors=tuple(errors.tolist()), units=units)

    def _train(self, student: PreTrainedModel, attempt: Attempt) -> None:
        prepare_for_training(student, dropout=False)
        settings = replace(self.config.loops[attempt.theta], max_steps=attempt.steps)
        batches = training_batches(
            self.train_data, batch_size=settings.batch_size, seed=self.config.seed, teacher=self.teacher_train
        )
        loss = distillation_loss_for(self.task, self.labels)
        train(student, batches, loss, config=settings, context=LoopContext(seed=self.config.seed))

    def latencies(self, candidates: Sequence[Architecture]) -> tuple[Timing, list[Timing]]:
        """î of the teacher and of every candidate, milliseconds for one batch, all in turn."""
        timing = self.config.timing
        if self.config.latency == "nominal":
            median = max(1, round(float(np.median(self.validation.encoded.lengths))))
            lengths = timing.sequence_lengths or (median,)
            teacher, *others = nominal_timings((self.teacher.architecture, *candidates), lengths, timing.batch_size)
            return teacher, others
        requests = random_requests(timing, self.vocab_size) or self._requests
        build = partial(self.build, correct=False)
        return time_in_turn(timing, self.model.float(), candidates, build, requests)

    def save_student(self, candidate: Architecture, path: Path) -> None:
        """Write the untrained student with its tokenizer as a Hugging Face folder."""
        with replacing_folder(path) as temporary, quiet_transformers():
            self.build(candidate).save_pretrained(temporary)
            self.student_tokenizer.tokenizer.save_pretrained(temporary)

    @cached_property
    def _requests(self) -> list[dict[str, np.ndarray]]:
        lengths = self.validation.encoded.lengths
        order = np.argsort(lengths, kind="stable")
        chosen = [order[int(share * (len(order) - 1))] for share in TIMED_LENGTHS]
        requests = []
        for index in chosen:
            batch = np.full(self.config.timing.batch_size, index)
            arrays = pad(self.validation.encoded, batch, self.validation.pad_token_id)
            arrays.pop("labels", None)
            requests.append(arrays)
        return requests

    @property
    def _error_name(self) -> str:
        if self.task.kind == "regression":
            return "squared distance from the teacher, in units of its variance"
        names = {"kl": "KL divergence from the teacher (nats)"}
        return names.get(self.config.error, "cross-entropy to the teacher (nats)")

    @cached_property
    def _student_config(self) -> dict[str, Any]:
        if self.kept_tokens is None:
            return self.teacher.config
        return cut_special_ids(self.teacher.config, self.kept_tokens)


def open_workshop(
    config: ExtractConfig, data: TaskData, teacher: ModelFolder, folder: Path, deadline: Deadline | None = None
) -> TaskWorkshop:
    """Read the teacher, cut its vocabulary, and weigh its parts on training data; in less of them after `deadline`."""
    model = teacher.classifier(data.task).eval()
    teacher_train = teacher.encode(data.train, config.max_length)
    kept, tokenizer = _cut_vocabulary(config, teacher, teacher_train, folder / "tokenizer")
    validation = data.validation.sample(config.error_examples, config.seed)
    teacher_validation = teacher.encode(validation, config.max_length)
    assert data.train.labels is not None
    calibration = Calibration(
        teacher=model,
        architecture=teacher.architecture,
        batches=tuple(_calibration(teacher_train, config.seed)),
        outputs=_answers,
        divergence=distillation_loss_for(data.task, data.train.labels),
    )
    importance, drop_order = _weigh(calibration, data.task, data.train.labels, deadline)
    return TaskWorkshop(
        config=config,
        task=data.task,
        teacher=teacher,
        model=model,
        calibration=calibration,
        importance=importance,
        drop_order=drop_order,
        kept_tokens=kept,
        student_tokenizer=tokenizer,
        train_data=tokenizer.encode(data.train, config.max_length),
        validation=tokenizer.encode(validation, config.max_length),
        teacher_train=TeacherOutputs(
            teacher=_answering(model),
            data=teacher_train,
            path=folder / "teacher_outputs.safetensors",
        ),
        teacher_validation=predict(model, teacher_validation.encoded, teacher_validation.pad_token_id),
        labels=data.train.labels,
    )


def _answering(model: PreTrainedModel) -> PreTrainedModel:
    """The teacher as it answers, in the device's precision; `model` stays in fp32 on the CPU."""
    device = process_state().device
    same = device.type == "cpu" and inference_dtype("auto", device) == torch.float32
    return model if same else deepcopy(model)


def _cut_vocabulary(
    config: ExtractConfig, teacher: ModelFolder, train_data: EncodedData, folder: Path
) -> tuple[tuple[int, ...] | None, ModelFolder]:
    """The kept token ids and the folder of the cut tokenizer; the whole vocabulary where the config says so."""
    if config.space.vocabulary >= 1:
        return None, teacher
    with replacing_folder(folder) as temporary, quiet_transformers():
        teacher.tokenizer.save_pretrained(temporary)
        counts = Counter(train_data.encoded.input_ids.tolist())
        whole = read_json(temporary / "tokenizer.json")
        size = max(len(counts), round(config.space.vocabulary * teacher.architecture.vocab_size))
        kept = keep_tokens(whole, counts, size)
        while lost := counts.keys() - set(kept):
            # Single characters were kept first: make room, so that every training text keeps its tokens.
            size = max(size, len(kept)) + len(lost)
            kept = keep_tokens(whole, counts, size)
        cut_tokenizer_files(temporary, kept)
        # The tokenizer's class is found through a config.json.
        (temporary / "config.json").write_bytes((teacher.path / "config.json").read_bytes())
    return tuple(kept), ModelFolder(folder)


def _weigh(
    calibration: Calibration, task: Task, labels: np.ndarray, deadline: Deadline | None
) -> tuple[Importance, tuple[int, ...]]:
    """Importance of the teacher's parts, and its layers from the most dispensable on."""
    architecture, loss = calibration.architecture, loss_for(task, labels)
    importance = measure_importance(calibration.teacher, architecture, calibration.batches, loss, deadline)
    return importance, tuple(rank_by_skipping(calibration, RANKING_EXAMPLES))


def _answers(model: nn.Module, batch: Batch) -> Tensor:
    logits: Tensor = model(**{name: batch[name] for name in ENCODER_INPUTS if name in batch}).logits
    return logits


def _calibration(train_data: EncodedData, seed: int) -> Iterator[Batch]:
    lengths = train_data.encoded.lengths
    batches = bucketed_batches(lengths, batch_size=16, seed=seed, epoch=0)
    totals = itertools.accumulate(int(lengths[indices].sum()) for indices in batches)
    for indices, total in zip(batches, totals, strict=True):
        yield train_data.batch(indices)
        if total >= CALIBRATION_TOKENS:
            return
