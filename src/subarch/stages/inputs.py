"""What a stage reads: the task's data, and a model with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.families import family_of
from subarch.arch.folders import read_config, resolve
from subarch.arch.pretrained import has_head, has_span_head, load_classifier, load_span_model, load_tokenizer
from subarch.deploy.runtime import ONNX_FILE
from subarch.errors import ConfigError, ModelError
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.custom import load_files
from subarch.tasks.encode import encode
from subarch.tasks.registry import load_task
from subarch.training.classifier import EncodedData

_PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "regression": "regression",
    "choice": "multi_label_classification",
}
"""What config.json calls them. The one output of a choice says yes or no to its row: `transformers` calls that
multi-label, and takes single-label for two outputs or more."""
_ANSWERS = {"regression": "one real-valued output", "choice": "one output a choice", "span": "spans"}
_HINT = "fine-tune it on the task first"

DATA_SEED = 0
"""The split never depends on a run's seed, so that seeds are compared on the same data."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data: a task by name, or files."""

    task: str | None = None
    """Name of a built-in task."""
    train: Path | None = None
    """A CSV, TSV, JSONL or Parquet file, instead of a task."""
    valid: Path | None = None
    """Rows that select; made from the training rows when absent."""
    test: Path | None = None
    """Rows that report and select nothing; made from the training rows when absent."""
    text: str | None = None
    """Column of the text."""
    text_pair: str | None = None
    """Column of the second text, if any."""
    label: str | None = None
    """Column of the label."""
    kind: Literal["classification", "regression"] | None = None
    """What the label is, where it cannot be guessed."""
    data_dir: Path | None = None
    """Folder of official files; SUBARCH_DATA by default, else the Hub."""
    casting: Literal["standard", "paper"] = "standard"
    """How a built-in task is put to the model, where Bort's paper did it in another way."""

    def __post_init__(self) -> None:
        if (self.task is None) == (self.train is None):
            given = "both" if self.task else "neither"
            raise ConfigError(f"got {given} of --task and --train, expected one of them", "see subarch --help")
        if self.task is None and self.casting != "standard":
            raise ConfigError(f"--casting is {self.casting}, but only a built-in task has one", "leave it out")


def load_data(config: DataConfig, keep: tuple[str, ...] = ()) -> TaskData:
    """Read the three splits.

    Args:
        config: Which data.
        keep: Further columns of files that `Examples.columns` shall have.

    Raises:
        DataError: Data that cannot be used; the message names file, line and remedy.
    """
    files = [path for path in (config.train, config.valid, config.test) if path is not None]
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files if path.is_file())
    return _load(config, keep, stamps)


@lru_cache(maxsize=2)
def _load(config: DataConfig, keep: tuple[str, ...], stamps: tuple[tuple[int, int], ...]) -> TaskData:
    """The stages of one command read the same data: once, unless a file changed in between."""
    if config.task is not None:
        return load_task(config.task, data_dir=config.data_dir, seed=DATA_SEED, casting=config.casting)
    assert config.train is not None
    return load_files(
        config.train,
        config.valid,
        config.test,
        text=config.text,
        text_pair=config.text_pair,
        label=config.label,
        kind=config.kind,
        keep=keep,
        seed=DATA_SEED,
    )


@dataclass(frozen=True)
class ModelFolder:
    """A model on disk: its architecture, tokenizer and classifier, read when asked for."""

    path: Path

    @classmethod
    def of(cls, source: str | Path) -> ModelFolder:
        """The folder of a local path or Hub id, checked."""
        return cls(resolve(source))

    @classmethod
    def of_any(cls, source: str | Path) -> ModelFolder:
        """As `of`, but a folder of an ONNX export will do too."""
        return cls(Path(source)) if (Path(source) / ONNX_FILE).exists() else cls.of(source)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return read_config(self.path)

    @cached_property
    def architecture(self) -> Architecture:
        """Its sizes."""
        return Architecture.from_config(self.config)

    @cached_property
    def tokenizer(self) -> Any:
        """Its fast tokenizer, which neither pads nor truncates by itself."""
        return load_tokenizer(self.path)

    @property
    def pad_token_id(self) -> int:
        """What fills short rows."""
        return int(self.tokenizer.pad_token_id or 0)

    def encode(self, examples: Examples, max_length: int) -> EncodedData:
        """Examples as this model's tokenizer sees them."""
        limit = min(max_length, self.architecture.max_length)
        return EncodedData(encoded=encode(self.tokenizer, examples, limit), pad_token_id=self.pad_token_id)

    def answers(self, task: Task) -> bool:
        """Whether it has a trained head for `task`."""
        if task.kind == "span":
            return self._has_span_head
        if not self._has_head or len(self.labels) != task.num_outputs:
            return False
        if task.kind == "classification":
            return self._generic or set(self.labels) == set(task.labels)
        return self.config.get("problem_type") in (None, _PROBLEM_TYPES[task.kind])

    def classifier(self, task: Task) -> PreTrainedModel:
        """The model with a head for `task`: its own, or a fresh one drawn from torch's generator.

        A head for other labels is no head for this task, even where their number is the same. Of spans it is a
        question-answering model.
        """
        if task.kind == "span":
            return load_span_model(self.path)
        names = dict(enumerate(task.labels)) if task.labels else {0: task.label}
        model = load_classifier(self.path, id2label=names, problem_type=_PROBLEM_TYPES[task.kind])
        if self._has_head and not self.answers(task):
            head = model.get_submodule(family_of(self.architecture.family).classifier)
            with torch.no_grad():
                head.weight.normal_(0.0, model.config.initializer_range)
                head.bias.zero_()
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its outputs, in their order."""
        names = self.config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
        return tuple(str(names[key]) for key in sorted(names, key=int))

    @property
    def _has_head(self) -> bool:
        return (self.path / ONNX_FILE).exists() or has_head(self.path)

    @property
    def _has_span_head(self) -> bool:
        return not (self.path / ONNX_FILE).exists() and has_span_head(self.path)

    @property
    def _generic(self) -> bool:
        return all(label == f"LABEL_{index}" for index, label in enumerate(self.labels))

    def require_answers(self, task: Task) -> None:
        """Raise ModelError unless `answers`."""
        if not self.answers(task):
            expected = _ANSWERS.get(task.kind) or ", ".join(task.labels)
            raise ModelError(f"{self.path} has {self._found}, expected a model for {expected}", _HINT)

    @property
    def _found(self) -> str:
        if self._has_span_head:
            return "a head for spans"
        if not self._has_head:
            return "no trained head"
        kind = f" ({self.config['problem_type']})" if len(self.labels) == 1 and self.config.get("problem_type") else ""
        return ", ".join(self.labels) + kind


def aligned(data: TaskData, model: ModelFolder) -> TaskData:
    """The data with its classes numbered as the model numbers them, where the model knows their names."""
    task = data.task
    if task.kind != "classification" or set(model.labels) != set(task.labels) or model.labels == task.labels:
        return data
    new_index = np.asarray([model.labels.index(label) for label in task.labels], dtype=np.int64)

    def renumbered(examples: Examples) -> Examples:
        return replace(examples, labels=None if examples.labels is None else new_index[examples.labels])

    return replace(
        data,
        task=replace(task, labels=model.labels),
        train=renumbered(data.train),
        validation=renumbered(data.validation),
        test=renumbered(data.test),
    )
