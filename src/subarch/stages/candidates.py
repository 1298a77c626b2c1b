"""The workshop of the search: everything that all candidates share, and what is done with one of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.build import build_config, empty_classifier
from subarch.arch.costs import flops
from subarch.arch.pretrained import quiet_transformers
from subarch.arch.space import SpaceConfig
from subarch.arch.vocabulary import cut_special_ids, cut_tokenizer_files, keep_tokens
from subarch.deploy.runtime import TorchRuntime
from subarch.errors import ConfigError
from subarch.stages.inputs import DataConfig, ModelFolder
from subarch.stages.latency import in_turn
from subarch.storage import read_json, replacing_folder
from subarch.tasks.base import Task, TaskData
from subarch.tasks.encode import bucketed_batches, pad
from subarch.training.classifier import EncodedData, TeacherOutputs, distillation_loss_for, loss_for, training_batches
from subarch.training.importance import Importance, measure_importance
from subarch.training.inherit import inherit, rank_layers, select
from subarch.training.loop import LoopConfig, LoopContext, train
from subarch.training.losses import Batch, surrogate_errors
from subarch.training.precision import cast_weights, prepare_for_training, resolve_precision
from subarch.training.predict import predict

CALIBRATION_TOKENS = 4096
"""Tokens of training text from which importance is measured; ours."""
RANKING_EXAMPLES = 64
TIMED_LENGTHS = (0.25, 0.5, 0.75)
"""Quantiles of the validation lengths at which candidates are timed."""

ErrorName = Literal["cross-entropy", "kl"]
LatencyName = Literal["measured", "nominal"]
NOMINAL_FLOPS_PER_MS = 1e8
"""100 GFLOP/s: about one core of a present server processor in fp32; only ratios matter."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """Where to search and how to judge a candidate."""

    teacher: str
    """Folder or Hub id of the fine-tuned teacher: the maximum point T."""
    out: Path
    data: DataConfig
    seed: int = 0
    max_length: int = 128
    space: SpaceConfig = field(default_factory=SpaceConfig)
    """Ξ."""
    epsilon: int | None = None
    """Every ε-th candidate is trained; None takes as many as the time allows, at most `candidates`."""
    candidates: int = 12
    """How many candidates to aim at when ε is not given."""
    steps: int = 30
    """s: training steps of each candidate; fewer where a budget is short."""
    error: ErrorName = "cross-entropy"
    """ê: cross-entropy to the teacher's outputs as in the paper, or KL, which leaves out the teacher's entropy."""
    latency: LatencyName = "measured"
    """î: milliseconds on this machine, or nominal ones that follow from FLOPs and are the same in every run."""
    error_examples: int = 400
    """Validation examples that ê is the mean over."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(learning_rate=1e-4, evaluations=1))

    def __post_init__(self) -> None:
        for name in ("steps", "error_examples", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.epsilon is not None and self.epsilon < 1:
            raise ConfigError(f"epsilon is {self.epsilon}, expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The teacher opened up on the task's data, ready to make students of any size."""

    config: ExtractConfig
    task: Task
    teacher: ModelFolder
    model: PreTrainedModel
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

    def build(self, candidate: Architecture) -> PreTrainedModel:
        """A student of this size with the teacher's most important weights."""
        teacher = self.teacher.architecture
        selection = select(candidate, teacher, self.importance, drop_order=self.drop_order, vocab=self.kept_tokens)
        config = build_config(
            candidate,
            self._student_config,
            num_labels=self.task.num_outputs,
            id2label=dict(enumerate(self.task.labels)) or {0: self.task.label},
            problem_type=self.model.config.problem_type,
            layers=selection.layers,
        )
        student = empty_classifier(config)
        inherit(student, self.model, (candidate, teacher), selection, self.importance)
        return student

    def imitated_layers(self, candidate: Architecture) -> tuple[int, ...]:
        """For each layer of the student, the teacher's (from 1) after which the next kept one comes."""
        kept = select(candidate, self.teacher.architecture, self.importance, drop_order=self.drop_order).layers
        return (*kept[1:], self.teacher.architecture.num_hidden_layers)

    def error_of(self, candidate: Architecture, steps: int) -> tuple[float, tuple[float, float]]:
        """Lines 7 and 8 of Algorithm 1: build, train for s steps, ê on held-out data, with its 95 % interval."""
        student = self.build(candidate)
        if steps:
            self._train(student, steps)
        cast_weights(student, resolve_precision("auto", torch.device("cpu")))
        outputs = predict(student, self.validation.encoded, self.validation.pad_token_id)
        teacher = torch.from_numpy(self.teacher_validation)
        variance = float(np.var(self.teacher_validation)) or 1.0 if self.task.kind == "regression" else None
        errors = surrogate_errors(torch.from_numpy(outputs), teacher, kind=self.config.error, variance=variance).numpy()
        mean = float(errors.mean())
        half = 1.96 * float(errors.std()) / math.sqrt(len(errors))
        return mean, (max(0.0, mean - half), mean + half)

    def _train(self, student: PreTrainedModel, steps: int) -> None:
        prepare_for_training(student, dropout=False)
        settings = replace(self.config.loop, max_steps=steps)
        batches = training_batches(
            self.train_data, batch_size=settings.batch_size, seed=self.config.seed, teacher=self.teacher_train
        )
        loss = distillation_loss_for(self.task, self.labels)
        train(student, batches, loss, config=settings, context=LoopContext(seed=self.config.seed))

    def latencies(self, candidates: Sequence[Architecture]) -> tuple[float, list[float]]:
        """î of the teacher and of every candidate, milliseconds for one input, all in turn."""
        if self.config.latency == "nominal":
            length = max(1, round(float(np.median(self.validation.encoded.lengths))))
            teacher, *others = (
                flops(one, length) / NOMINAL_FLOPS_PER_MS for one in (self.teacher.architecture, *candidates)
            )
            return teacher, others
        models: dict[str, PreTrainedModel] = {"teacher": self.model.float()}
        models |= {str(index): self.build(candidate).eval() for index, candidate in enumerate(candidates)}
        contestants = {name: (TorchRuntime(model), self._requests) for name, model in models.items()}
        found = in_turn(contestants, threads=1, repeats=9, seconds=None)
        return found["teacher"].median_ms, [found[str(index)].median_ms for index in range(len(candidates))]

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
            arrays = pad(self.validation.encoded, np.asarray([index]), self.validation.pad_token_id)
            arrays.pop("labels", None)
            requests.append(arrays)
        return requests

    @cached_property
    def _student_config(self) -> dict[str, Any]:
        if self.kept_tokens is None:
            return self.teacher.config
        return cut_special_ids(self.teacher.config, self.kept_tokens)


def open_workshop(config: ExtractConfig, data: TaskData, teacher: ModelFolder, folder: Path) -> Workshop:
    """Read the teacher, cut its vocabulary, and weigh its parts on training data."""
    model = teacher.classifier(data.task)
    teacher_train = teacher.encode(data.train, config.max_length)
    kept, tokenizer = _cut_vocabulary(config, teacher, teacher_train, folder / "tokenizer")
    validation = data.validation.sample(config.error_examples, config.seed)
    teacher_validation = teacher.encode(validation, config.max_length)
    assert data.train.labels is not None
    importance, drop_order = _weigh(model, teacher, data, teacher_train, config.seed)
    return Workshop(
        config=config,
        task=data.task,
        teacher=teacher,
        model=model,
        importance=importance,
        drop_order=drop_order,
        kept_tokens=kept,
        student_tokenizer=tokenizer,
        train_data=tokenizer.encode(data.train, config.max_length),
        validation=tokenizer.encode(validation, config.max_length),
        teacher_train=TeacherOutputs(
            teacher=teacher.classifier(data.task),
            data=teacher_train,
            path=folder / "teacher_outputs.safetensors",
        ),
        teacher_validation=predict(model, teacher_validation.encoded, teacher_validation.pad_token_id),
        labels=data.train.labels,
    )


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
    model: PreTrainedModel, teacher: ModelFolder, data: TaskData, train_data: EncodedData, seed: int
) -> tuple[Importance, tuple[int, ...]]:
    """Importance of the teacher's parts, and its layers from the most dispensable on."""
    architecture = teacher.architecture
    assert data.train.labels is not None
    loss = loss_for(data.task, data.train.labels)
    importance = measure_importance(model, architecture, _calibration(train_data, seed), loss)
    sample = np.random.default_rng(seed).permutation(len(data.train))[:RANKING_EXAMPLES]
    encoded = train_data.encoded.take(sample)
    reference = torch.from_numpy(predict(model, encoded, train_data.pad_token_id))
    variance = float(reference.var()) or 1.0 if data.task.kind == "regression" else None

    def error_of(layers: tuple[int, ...]) -> float:
        shallow = architecture.keep_layers(layers)
        student = empty_classifier(
            build_config(shallow, teacher.config, num_labels=data.task.num_outputs, layers=layers)
        )
        order = [layer for layer in range(architecture.num_hidden_layers) if layer not in layers]
        selection = select(shallow, architecture, importance, drop_order=order)
        inherit(student, model, (shallow, architecture), selection)
        cast_weights(student, resolve_precision("auto", torch.device("cpu")))
        outputs = torch.from_numpy(predict(student, encoded, train_data.pad_token_id))
        return float(surrogate_errors(outputs, reference, kind="kl", variance=variance).mean())

    return importance, tuple(rank_layers(architecture, error_of))


def _calibration(train_data: EncodedData, seed: int) -> Iterator[Batch]:
    lengths = train_data.encoded.lengths
    batches = bucketed_batches(lengths, batch_size=16, seed=seed, epoch=0)
    totals = itertools.accumulate(int(lengths[indices].sum()) for indices in batches)
    for indices, total in zip(batches, totals, strict=True):
        yield train_data.batch(indices)
        if total >= CALIBRATION_TOKENS:
            return
