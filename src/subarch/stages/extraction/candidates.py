"""The workshop of a task: everything that all candidates share, and what is done with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_config
from subarch.arch.pretrained import quiet_transformers
from subarch.arch.vocabulary import cut_special_ids
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import Kind, Tokenised
from subarch.kinds.registry import kind_of
from subarch.kinds.teacher_answers import TeacherAnswers
from subarch.optimize.fptas import mean_with_interval
from subarch.running.budget import Deadline
from subarch.stages.extraction.settings import Attempt, ExtractConfig, SurrogateError, Timing, name_of_units
from subarch.stages.extraction.timing import nominal_timings, random_requests, time_in_turn
from subarch.storage import replacing_folder
from subarch.students.vocabulary import cut_tokenizer
from subarch.students.weighing import calibration_of, importance_of, layer_order
from subarch.tasks.base import Examples, Task, TaskData
from subarch.training.calibration import Calibration
from subarch.training.classifier import EncodedData, training_batches
from subarch.training.importance import Importance
from subarch.training.inherit import inherit, select
from subarch.training.loop import LoopContext, train
from subarch.training.precision import cast_weights, inference_dtype, prepare_for_training
from subarch.training.processes import process_state

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
    train_rows: Tokenised
    """The training data as students read them."""
    validation_rows: Tokenised
    validation: Examples
    """The held-out examples that these rows are made of."""
    teacher_train: TeacherAnswers
    teacher_validation: np.ndarray
    """The teacher's outputs on the held-out rows."""
    train: Examples

    @property
    def kind(self) -> Kind:
        """What an answer is."""
        return kind_of(self.task)

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
            "id2label": self.kind.names_of_outputs(self.task),
            "problem_type": self.model.config.problem_type,
        }
        if self.config.start == "random":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.seed)
                return self.kind.build(build_config(candidate, self._student_config, **labels))
        teacher = self.teacher.architecture
        selection = select(candidate, teacher, self.importance, drop_order=self.drop_order, vocab=self.kept_tokens)
        config = build_config(candidate, self._student_config, layers=selection.layers, **labels)
        student = self.kind.build(config, empty=True)
        inherit(student, self.model, (candidate, teacher), selection, self.calibration if correct else None)
        return student

    def facts(self, candidate: Architecture) -> dict[str, Any]:
        """`error_name`, and `imitated_layers`, unless it is deeper than the teacher."""
        imitated = {}
        if candidate.num_hidden_layers <= self.teacher.architecture.num_hidden_layers:
            imitated = {"imitated_layers": list(self.imitated_layers(candidate))}
        return {"error_name": self.kind.error_names[self.config.error], **imitated}

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
        outputs = self.kind.predict(student, self.validation_rows)
        groups = self.kind.groups(self.validation)
        errors = self.kind.errors(outputs, self.teacher_validation, self.validation_rows, groups, self.config.error)
        mean, interval = mean_with_interval(errors)
        units = name_of_units(self.validation_rows.data.encoded.input_ids, self.teacher_validation)
        return SurrogateError(error=mean, interval=interval, errors=tuple(errors.tolist()), units=units)

    def _train(self, student: PreTrainedModel, attempt: Attempt) -> None:
        prepare_for_training(student, dropout=False)
        settings = replace(self.config.loops[attempt.theta], max_steps=attempt.steps)
        batches = training_batches(
            self.train_rows.data,
            batch_size=settings.batch_size,
            seed=self.config.seed,
            teacher=self.teacher_train,
            groups=self.kind.groups(self.train),
        )
        loss, context = self.kind.distillation_loss(self.train.labels), LoopContext(seed=self.config.seed)
        train(self.kind.network(student), batches, loss, config=settings, context=context)

    def latencies(self, candidates: Sequence[Architecture]) -> tuple[Timing, list[Timing]]:
        """î of the teacher and of every candidate, milliseconds for one batch, all in turn."""
        timing = self.config.timing
        if self.config.latency == "nominal":
            median = max(1, round(float(np.median(self.validation_rows.data.encoded.lengths))))
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
        lengths = self.validation_rows.data.encoded.lengths
        order = np.argsort(lengths, kind="stable")
        chosen = [order[int(share * (len(order) - 1))] for share in TIMED_LENGTHS]
        size = self.config.timing.batch_size
        return [self.validation_rows.request(np.full(size, row)) for row in chosen]

    @cached_property
    def _student_config(self) -> dict[str, Any]:
        if self.kept_tokens is None:
            return self.teacher.config
        return cut_special_ids(self.teacher.config, self.kept_tokens)


def open_workshop(
    config: ExtractConfig, data: TaskData, teacher: ModelFolder, folder: Path, deadline: Deadline | None = None
) -> TaskWorkshop:
    """Read the teacher, cut its vocabulary, and weigh its parts on training data; in less of them after `deadline`."""
    task, kind = data.task, kind_of(data.task)
    length = config.max_length or task.max_length
    model = teacher.model_for(task).eval()
    teacher_train = teacher.tokenise(task, data.train, length)
    kept, tokenizer = _cut_vocabulary(config, teacher, teacher_train.data, folder / "tokenizer")
    validation = data.validation.sample(config.error_examples, config.seed)
    rows = tokenizer.tokenise(task, validation, length)
    groups = kind.groups(data.train)
    calibration = calibration_of(task, model, teacher.architecture, teacher_train.data, groups, config.seed)
    importance = importance_of(calibration, task, data.train.labels, deadline)
    return TaskWorkshop(
        config=config,
        task=task,
        teacher=teacher,
        model=model,
        calibration=calibration,
        importance=importance,
        drop_order=tuple(layer_order(calibration)),
        kept_tokens=kept,
        student_tokenizer=tokenizer,
        train_rows=tokenizer.tokenise(task, data.train, length),
        validation_rows=rows,
        validation=validation,
        teacher_train=kind.teacher_answers(_answering(model), teacher_train, folder / "teacher_outputs.safetensors"),
        teacher_validation=kind.held_out_answers(model, rows, kept, lambda: teacher.tokenise(task, validation, length)),
        train=data.train,
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
    with replacing_folder(folder) as temporary:
        kept = cut_tokenizer(teacher, train_data.encoded.input_ids, config.space.vocabulary, temporary)
    return tuple(kept), ModelFolder(folder)
