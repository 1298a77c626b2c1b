"""Kinds whose models give one row of outputs a text: a sequence classifier of `transformers`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers import PreTrainedConfig as PretrainedConfig
from transformers.initialization import no_init_weights

from subarch.arch.costs import Head
from subarch.arch.first_token import first_token_alone
from subarch.arch.pretrained import has_head, load_classifier
from subarch.deploy.formats.base import Format, Opening
from subarch.kinds.base import Kind, Tokenised
from subarch.tasks.base import Array, Examples, KindName, Task, TaskData
from subarch.tasks.columns import Columns
from subarch.tasks.custom import load_files, load_split
from subarch.tasks.encode import encode
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.splits import carve
from subarch.training.classifier import EncodedData, TeacherOutputs
from subarch.training.losses import surrogate_errors
from subarch.training.predict import predict
from subarch.training.socrates import Answers

SAME_NUMBER = 0.1
"""Two numbers count as one answer if they differ by less than this many standard deviations; ours."""


class RowKind(Kind):
    """What classes, numbers and choices have in common; Agora can grow their data."""

    worth_name: ClassVar[str] = "an accuracy"
    """What `worth` is called, with its article."""

    head: ClassVar[Head] = "sequence-classification"
    problem_type: ClassVar[str]
    pipeline_tag = "text-classification"
    auto_class = "AutoModelForSequenceClassification"

    def has_head(self, path: Path) -> bool:
        """Whether a sequence classifier's head was saved."""
        return has_head(path)

    def exported(self, config: Mapping[str, Any]) -> bool:
        """Every export whose config.json names no other head."""
        named = config.get("architectures") or ()
        return not named or any(name.endswith("ForSequenceClassification") for name in named)

    def load(self, path: Path, task: Task, *, activated: bool = True) -> PreTrainedModel:
        """A sequence classifier with the task's outputs."""
        return load_classifier(
            path, id2label=self.names_of_outputs(task), problem_type=self.problem_type, activated=activated
        )

    def saved(self, path: Path) -> PreTrainedModel:
        """A sequence classifier."""
        return load_classifier(path, attn_implementation="eager")

    def build(self, config: PretrainedConfig, *, empty: bool = False) -> PreTrainedModel:
        """A sequence classifier."""
        with no_init_weights() if empty else nullcontext():
            model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
        return model

    def sparing(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """The last layer for the token alone that the classifier reads."""
        return first_token_alone(model)

    def load_files(self, files: Mapping[str, Path], given: Columns, seed: int) -> TaskData:
        """A table with a label in each row."""
        return load_rows(files, given, self.name, seed)

    def load_split(self, path: Path, task: Task, keep: tuple[str, ...] = ()) -> Examples:
        """Further rows of it."""
        return load_split(path, task, keep)

    def tokenise(self, tokenizer: Any, examples: Examples, max_length: int, pad_token_id: int) -> Tokenised:
        """One row an example, cut at `max_length`."""
        encoded = encode(tokenizer, examples, max_length)
        return Tokenised(data=EncodedData(encoded=encoded, pad_token_id=pad_token_id))

    def teacher_answers(
        self, teacher: PreTrainedModel, rows: Tokenised, path: Path, layers: tuple[int, ...] = ()
    ) -> TeacherOutputs:
        """Logits, and any hidden layers."""
        return TeacherOutputs(teacher=teacher, data=rows.data, path=path, hidden_layers=layers)

    def predict(self, model: nn.Module, rows: Tokenised) -> Array:
        """(N, classes or 1) logits."""
        return predict(model, rows.data.encoded, rows.data.pad_token_id)

    def predictions(self, outputs: Array, rows: Tokenised, examples: Examples) -> Predictions:
        """The logits themselves."""
        return Predictions(outputs=outputs)

    def load_lines(self, task: Task, folder: str, max_length: int, export: Format | None = None) -> str:
        """PyTorch by a pipeline."""
        if export is not None:
            return super().load_lines(task, folder, max_length, export)
        asked = '{"text": "one text", "text_pair": "another"}' if task.text_pair else '"a text"'
        return (
            "from transformers import pipeline\n"
            f'classify = pipeline("text-classification", model="{folder}")\n'
            f"print(classify({asked}))"
        )

    def lines(self, task: Task, folder: str, max_length: int, opening: Opening) -> list[str]:
        """One text, or a pair."""
        asked = '"one text", "another"' if task.text_pair else '"a text"'
        return [
            *(("import json", "from pathlib import Path") if task.labels else ()),
            *opening.imports,
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
            opening.load,
            f"inputs = tokenizer({asked}, truncation=True, max_length={max_length}, "
            f'return_tensors="{opening.tensors}")',
            f"outputs = {opening.ask}[0][0]",
            f'print(json.loads(Path("{folder}/config.json").read_text())["id2label"][str(outputs.argmax())])'
            if task.labels
            else "print(outputs[0])",
        ]

    def compare(self, expected: Sequence[Array], found: Sequence[Array], masks: Sequence[Array]) -> tuple[float, float]:
        """Equal classes; numbers that differ by less than a tenth of their spread."""
        wanted, got = np.concatenate(expected), np.concatenate(found)
        differences = np.abs(wanted - got) / (float(wanted.std()) or 1.0)
        same = wanted.argmax(1) == got.argmax(1) if wanted.shape[1] > 1 else differences[:, 0] < SAME_NUMBER
        return float(differences.max()), float(same.mean())

    def errors(self, student: Array, teacher: Array, rows: Tokenised, groups: Array | None, error: str) -> Array:
        """(N,) one a row."""
        found: Array = surrogate_errors(torch.from_numpy(student), torch.from_numpy(teacher), kind=error).numpy()
        return found

    # Agora

    @abstractmethod
    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The answers in (N, classes or 1) outputs, as labels with their confidence."""

    def wrong(self, found: Array, examples: Examples, scale: Array | None = None) -> Array:
        """(N,) bool: rows whose answer is not the labelled one. A question answered wrong has all its rows wrong.

        Args:
            found: (N,) labels of `said`.
            examples: The same rows with their labels.
            scale: Labels whose lowest and highest are the ends of a scale of numbers; by default those of `examples`.
        """
        del scale
        return np.asarray(found != examples.labels)

    def worth(self, outputs: Array, examples: Examples) -> float:
        """How good a teacher is, at most 1: the share of right answers, or what `worth_name` says."""
        return 1.0 - float(self.wrong(self.said(outputs, examples.groups).labels, examples).mean())

    def divided(self, examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
        """Take a part of `count` questions out of the examples; returns the rest and the part."""
        return carve(examples, count, kind=self.name, seed=seed)


def outputs_of(said: Predictions) -> Array:
    """The outputs of predictions that have them."""
    if said.outputs is None:
        raise ValueError("predictions without outputs, expected those of rows")
    return said.outputs


def load_rows(files: Mapping[str, Path], given: Columns, kind: KindName | None, seed: int) -> TaskData:
    """Read a task with one example a row, as `Kind.load_files`. Without `kind`, the labels say which kind it is."""
    return load_files(
        files["train"],
        files.get("validation"),
        files.get("test"),
        kind=kind,
        seed=seed,
        text=given.text,
        text_pair=given.text_pair,
        label=given.label,
        keep=given.keep,
    )
