"""A model on disk with its tokenizer, and which of its outputs stand for the classes of a task."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from subarch.arch.architecture import Architecture
from subarch.arch.configuration import labels_of
from subarch.arch.families import family_of
from subarch.arch.folders import read_config, resolve
from subarch.arch.pooling import pools_by_mean
from subarch.arch.pretrained import load_tokenizer, output_activation
from subarch.arch.vocabulary import require_cuttable
from subarch.arch.weights import weight_names
from subarch.deploy.formats.registry import format_in
from subarch.errors import ModelError
from subarch.inputs.matching import Match, match_classes, renumbered
from subarch.kinds.base import Kind, Tokenised
from subarch.kinds.registry import KINDS, kind_of
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.cuts import Cut, measure_cut
from subarch.tasks.encode import Encoded, encode
from subarch.training.classifier import EncodedData

_USUAL_PROBLEM = next(kind.problem_type for kind in KINDS.values() if kind.has_classes)
_HINT = "fine-tune it on the task first"

MEAN_ROWS = 500
"""Training rows a class below which the mean over the tokens is worth its layer; ours (docs/decisions.md)."""


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
        """As `of`, but the folder of an export will do too."""
        return cls.of(source) if format_in(Path(source)) is None else cls(Path(source))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        return read_config(self.path)

    @cached_property
    def architecture(self) -> Architecture:
        """Its sizes."""
        return Architecture.from_config(self.config)

    def reads_mean(self, data: TaskData) -> bool:
        """Whether its classifier will read the mean over the tokens: it was trained for that, and rows are few."""
        few = len(data.train) < MEAN_ROWS * max(1, len(data.task.labels))
        kind = kind_of(data.task)
        return kind.pools and few and not self._has_head_for(kind) and pools_by_mean(self.path)

    def architecture_for(self, data: TaskData) -> Architecture:
        """The sizes of its classifier, which has one layer more where that is what puts the mean first."""
        added = self.reads_mean(data) and family_of(self.architecture.family).reads_first_token
        layers = self.architecture.num_hidden_layers
        return self.architecture.replace(num_hidden_layers=layers + 1) if added else self.architecture

    @cached_property
    def tokenizer(self) -> Any:
        """Its fast tokenizer, which neither pads nor truncates by itself."""
        tokenizer = load_tokenizer(self.path)
        if not self.architecture.type_vocab_size:
            # Tokenizers of BERT stand beside DistilBERT too, which has no token types.
            tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
        return tokenizer

    def require_cuttable(self) -> None:
        """Raise ModelError unless the vocabulary of its tokenizer can be cut."""
        require_cuttable(json.loads(self.tokenizer.backend_tokenizer.to_str()))

    @property
    def pad_token_id(self) -> int:
        """What fills short rows."""
        return int(self.tokenizer.pad_token_id or 0)

    def tokenise(self, task: Task, examples: Examples, max_length: int) -> Tokenised:
        """Examples of a task as this model reads them."""
        limit = min(max_length, self.architecture.max_length)
        rows = kind_of(task).tokenise(self.tokenizer, examples, limit, self.pad_token_id)
        self._require_rows(rows.data.encoded)
        return rows

    def encode(self, examples: Examples, max_length: int) -> EncodedData:
        """Examples as this model's tokenizer sees them, one row each."""
        limit = min(max_length, self.architecture.max_length)
        encoded = encode(self.tokenizer, examples, limit)
        self._require_rows(encoded)
        return EncodedData(encoded=encoded, pad_token_id=self.pad_token_id)

    def _require_rows(self, encoded: Encoded) -> None:
        """Raise ModelError where the tokenizer gives ids that the model's tables have no rows for."""
        types = encoded.token_type_ids
        for what, ids, rows in (
            ("token", encoded.input_ids, self.architecture.vocab_size),
            ("token type", types, self.architecture.type_vocab_size),
        ):
            highest = -1 if ids is None else int(ids.max(initial=self.pad_token_id if what == "token" else -1))
            if highest >= rows:
                name = f" ({self.tokenizer.convert_ids_to_tokens(highest)!r})" if what == "token" else ""
                raise ModelError(
                    f"the tokenizer in {self.path} gives the {what} {highest}{name}, the model has {rows} {what}s",
                    "give its own tokenizer, or take token_type_ids from model_input_names (tokenizer_config.json)"
                    if what == "token type"
                    else "resize the model (resize_token_embeddings(len(tokenizer))), train it, and save both again",
                )

    def cut(self, task: Task, examples: Examples, max_length: int | None = None) -> Cut | None:
        """What of the examples it would not read at this length, or at the task's; None where they come in windows."""
        if not (kind_of(task).cuts and len(examples)):
            return None
        return measure_cut(self.tokenizer, examples, max_length or task.max_length, self.architecture.max_length)

    def answers(self, task: Task) -> bool:
        """Whether it has a trained head for `task`."""
        kind = kind_of(task)
        if not self._has_head_for(kind):
            return False
        if kind.problem_type is None:
            return True
        if len(self.labels) != task.num_outputs or (task.labels and self.match(task) is None):
            return False
        return self.config.get("problem_type") in (None, kind.problem_type)

    def match(self, task: Task) -> Match | None:
        """Which of its outputs stand for the classes of `task`; None where they do not fit."""
        return match_classes(task, self.labels)

    def model_for(self, task: Task, *, activated: bool = True) -> PreTrainedModel:
        """The model with a head for `task`: its own, or a fresh one drawn from torch's generator.

        A head for other labels is no head for this task, even where their number is the same. A cross-encoder is not
        `activated` where it is trained: its bare output then is.
        """
        model = kind_of(task).load(self.path, task, activated=activated)
        classifier = family_of(self.architecture.family).classifier
        # That of a tagger has the same name.
        if kind_of(task).draws_head and not self.answers(task) and f"{classifier}.weight" in weight_names(self.path):
            head = model.get_submodule(classifier)
            with torch.no_grad():
                head.weight.normal_(0.0, model.config.initializer_range)
                head.bias.zero_()
        return model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its outputs, in their order."""
        return labels_of(self.config)

    @property
    def activation(self) -> str | None:
        """What its config.json makes of its output: "sigmoid", or None."""
        return output_activation(self.path)

    def _has_head_for(self, kind: Kind) -> bool:
        return kind.has_head(self.path) if format_in(self.path) is None else kind.exported(self.config)

    @property
    def _other_head(self) -> Kind | None:
        """A kind that it has a trained head for."""
        return next((kind for kind in KINDS.values() if self._has_head_for(kind)), None)

    @property
    def exported_as(self) -> Kind:
        """A kind whose head it has, for an export; any sequence classifier is exported in the same way.

        Raises:
            ModelError: It has no trained head.
        """
        kind = self._other_head
        if kind is None:
            raise ModelError(f"{self.path} has no trained head, expected a model that answers a task", _HINT)
        return kind

    def require_answers(self, task: Task) -> None:
        """Raise ModelError unless `answers`."""
        if not self.answers(task):
            kind = kind_of(task)
            hint = _HINT
            if task.labels and self._has_head_for(kind) and len(self.labels) == len(task.labels):
                hint = f"{_HINT}, or name the classes in the order of its outputs with --labels"
                if self.config.get("problem_type") not in (None, kind.problem_type):
                    hint = f"{_HINT}, or take problem_type out of its config.json if exactly one class is right"
            raise ModelError(f"{self.path} has {self._found}, expected a model for {_expected(task)}", hint)

    def unused_head(self, task: Task) -> str | None:
        """That it has a trained head which does not answer `task`, in words; None where it has none, or it does."""
        other = self._other_head
        if other is None or other.problem_type is None or self.answers(task):
            return None
        return f"the trained head of {self.path} ({self._found}) is not for {_expected(task)}: a new one is drawn"

    @property
    def _found(self) -> str:
        other = self._other_head
        if other is None:
            return "no trained head"
        if other.problem_type is None:
            return f"a head for {other.expected}"
        problem = self.config.get("problem_type")
        usual = problem is None or (problem == _USUAL_PROBLEM and len(self.labels) > 1)
        kind = "" if usual else f" ({problem})"
        return ", ".join(self.labels) + kind


def _expected(task: Task) -> str:
    return kind_of(task).expected or ", ".join(task.labels)


def aligned(data: TaskData, model: ModelFolder) -> TaskData:
    """The data with its classes numbered and named as the model's are, where they match; what was assumed is noted."""
    match = model.match(data.task) if data.task.labels and model.answers(data.task) else None
    if match is None:
        return data
    turned = renumbered(data, match)
    known = match.note is None or match.note in data.notes
    return turned if known else replace(turned, notes=(*data.notes, str(match.note)))
