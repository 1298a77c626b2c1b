"""What every kind of task says of itself.

Nothing outside this room asks a task for the name of its kind: what differs between kinds is an attribute or a method
here. A new kind is a file with a subclass of `Kind`, and a line in `registry.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedConfig as PretrainedConfig
from transformers import PreTrainedModel

from subarch.arch.costs import Head
from subarch.deploy.formats.base import Format, Opening, in_pytorch
from subarch.kinds.floors.baseline import TRAIN_ROWS, Floors, Read, whole
from subarch.kinds.teacher_answers import TeacherAnswers
from subarch.tasks.base import Array, Examples, KindName, Task, TaskData
from subarch.tasks.columns import Columns
from subarch.tasks.encode import pad
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.windows import Windows
from subarch.training.classifier import EncodedData
from subarch.training.losses import Batch, DistillationLoss, Loss
from subarch.training.stack import ENCODER_INPUTS

SETTINGS = "subarch.json"
"""File beside a model's weights, for kinds that have settings of their own."""
COUNTED_ROW = 3e-5
"""Seconds to count and weigh the words of one row and fit them to one output; measured on Banking77."""


@dataclass(frozen=True, kw_only=True)
class Tokenised:
    """Examples as a model reads them."""

    data: EncodedData
    """The rows of its batches."""
    windows: Windows | None = None
    """Set if the rows are windows of longer texts; `data` then holds their tokens."""

    def request(self, rows: Array) -> dict[str, np.ndarray]:
        """The inputs of a model that answers these rows in one batch: arrays of shape (rows, longest)."""
        arrays = pad(self.data.encoded, np.asarray(rows), self.data.pad_token_id)
        arrays.pop("labels", None)
        return arrays


class Kind(ABC):
    """A kind of task. Instances have no state; `registry.KINDS` holds one of each."""

    name: ClassVar[KindName]
    words: ClassVar[str]
    """What reports call it."""
    unit: ClassVar[str] = "example"
    """What one request is called: an example, or a question."""
    parts: ClassVar[Mapping[str, str]] = {}
    """Slices, and the name of a value. A report shows the worst values of the first slice that has several."""
    expected: ClassVar[str | None]
    """The outputs of its head in words; None if the names of the classes say it."""
    head: ClassVar[Head]
    """Its head, as `arch.costs` counts it."""
    problem_type: ClassVar[str | None]
    """`problem_type` in config.json, if there is one."""
    pipeline_tag: ClassVar[str]
    """The tag of its model cards on the Hub."""
    outputs_note: ClassVar[str] = ""
    """What the outputs mean, as a sentence for the card."""
    auto_class: ClassVar[str]
    """The class of `transformers` that opens a model's folder."""
    output_names: ClassVar[tuple[str, ...]] = ("logits",)
    """Names of an export's outputs."""
    draws_head: ClassVar[bool] = True
    """Whether settings can say how a new head is drawn."""
    pools: ClassVar[bool] = True
    """Whether its classifier may read the mean over the tokens."""
    cuts: ClassVar[bool] = True
    """Whether texts that are too long for a model are cut; otherwise they come in windows."""
    error_names: ClassVar[dict[str, str]] = {
        "kl": "KL divergence from the teacher (nats)",
        "cross-entropy": "cross-entropy to the teacher (nats)",
    }
    """Names of the extraction's error, by the `error` of its configuration."""
    by_token: ClassVar[bool] = False
    """Whether `predict` gives a row for each token."""
    further_metrics: ClassVar[tuple[str, ...]] = ()
    """Scores that are reported beside the metrics of a task."""
    has_settings: ClassVar[bool] = False
    """Whether a model's folder holds settings that follow from its validation answers; see `settings_of`."""
    has_classes: ClassVar[bool] = False
    """Whether labels are classes. Classes have names, an order, which may differ in a model, and a commonest one."""
    has_numbers: ClassVar[bool] = False
    """Whether labels are real numbers."""

    # Models

    def has_dropout(self, family: str) -> bool:
        """Whether models of this family have a dropout before the head."""
        return True

    def names_of_outputs(self, task: Task) -> dict[int, str] | None:
        """`id2label` of config.json."""
        return dict(enumerate(task.labels)) or {0: task.label}

    @abstractmethod
    def has_head(self, path: Path) -> bool:
        """Whether a model's folder holds a trained head of this sort."""

    @abstractmethod
    def exported(self, config: Mapping[str, Any]) -> bool:
        """Whether the export that this config.json lies beside is of this sort."""

    @abstractmethod
    def load(self, path: Path, task: Task, *, activated: bool = True) -> PreTrainedModel:
        """A float32 model with a head for the task, drawn from torch's generator where the folder has none.

        `activated` is for heads whose output config.json passes through a function, as `load_classifier` says.
        """

    @abstractmethod
    def saved(self, path: Path) -> PreTrainedModel:
        """The model of a folder with its own head and eager attention, whatever its task was."""

    @abstractmethod
    def build(self, config: PretrainedConfig, *, empty: bool = False) -> PreTrainedModel:
        """A float32 model, drawn from torch's generator; `empty` leaves its weights uninitialised."""

    def network(self, model: nn.Module) -> nn.Module:
        """The model as the loop trains it: its outputs are called `logits`."""
        return model

    def opened(self, path: Path, task: Task) -> nn.Module:
        """A model's folder, ready to be asked in evaluation mode: its outputs are called `logits`."""
        return self.network(self.load(path, task)).eval()

    def answers_to(self, model: nn.Module, batch: Batch) -> Tensor:
        """The logits of a batch. The model is given only the inputs that it can read."""
        inputs = {name: batch[name] for name in ENCODER_INPUTS if name in batch}
        logits: Tensor = self.network(model)(**inputs).logits
        return logits

    def sparing(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Inside the context, the model computes only what its head reads, and no hidden states of the last layer."""
        return nullcontext()

    def start_head(self, model: PreTrainedModel, train: Examples) -> None:
        """Move a newly drawn head closer to the right answers, which saves the first steps."""
        del model, train

    # Data

    def labelled(self, examples: Examples) -> bool:
        """Whether the right answers are known."""
        return examples.labels is not None

    def groups(self, examples: Examples) -> Array | None:
        """(N,) the group of each row, whose rows must share a batch; None if every row stands alone."""
        return None

    def questions(self, examples: Examples) -> list[Array]:
        """The examples of each question, which is asked as a whole."""
        groups = self.groups(examples)
        rows = np.arange(len(examples))
        return list(rows[:, None]) if groups is None else np.split(rows, np.flatnonzero(np.diff(groups)) + 1)

    def recognises(self, train: Path, given: Columns) -> bool:
        """Whether a user's file has the layout of this kind. Other kinds are told apart by their labels."""
        del train, given
        return False

    @abstractmethod
    def load_files(self, files: Mapping[str, Path], given: Columns, seed: int) -> TaskData:
        """Read a task from a user's own files.

        Args:
            files: "train", and perhaps "validation" and "test"; missing splits are taken out of train.
            given: Names of the columns that the user gave.
            seed: Seed of the split.

        Raises:
            DataError: A file, column or row that cannot be used; the message names the line.
        """

    @abstractmethod
    def load_split(self, path: Path, task: Task, keep: tuple[str, ...] = ()) -> Examples:
        """Read further examples from a file whose columns have the task's names, and keep the columns in `keep`.

        Raises:
            DataError: As `load_files`.
        """

    @abstractmethod
    def tokenise(self, tokenizer: Any, examples: Examples, max_length: int, pad_token_id: int) -> Tokenised:
        """The examples as a model with this tokenizer reads them, with at most `max_length` tokens a row."""

    def stored(self, train: EncodedData) -> Tokenised:
        """Training rows for `teacher_answers`, if only their tokens were stored."""
        return Tokenised(data=train)

    def require_same_rows(self, student: Tokenised, teacher: Tokenised, source: Path) -> None:
        """Raise ConfigError if the student cannot learn from the teacher's answers to the teacher's own rows."""
        del student, teacher, source  # any student can learn from answers that are one row a text

    # Losses

    @abstractmethod
    def task_loss(self, labels: Array | None) -> Loss:
        """The task's own loss; `labels` are those of the training data."""

    @abstractmethod
    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """The distance of outputs from `batch["teacher_logits"]`. It also ranks a teacher's layers."""

    def distillation_loss(
        self,
        labels: Array | None,
        *,
        weight: float = 1.0,
        temperature: float = 1.0,
        hidden_weight: float = 0.0,
        hidden_decay: bool = False,
    ) -> Loss:
        """The task's loss, the imitation of the outputs and the imitation of hidden layers together."""
        return DistillationLoss(
            task=self.task_loss(labels),
            imitation=self.imitation(labels, temperature),
            weight=weight,
            hidden_weight=hidden_weight,
            hidden_decay=hidden_decay,
        )

    # Outputs

    def imitable(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """The hidden layers of a teacher, among `layers`, that `teacher_answers` can keep."""
        return layers

    @abstractmethod
    def teacher_answers(
        self, teacher: PreTrainedModel, rows: Tokenised, path: Path, layers: tuple[int, ...] = ()
    ) -> TeacherAnswers:
        """The teacher's answers to the rows, with those of the hidden layers `layers` that this kind can keep.

        Args:
            teacher: Answers the task.
            rows: Its view of the training data.
            path: File of the answers that are known.
            layers: From 1; -1 is the last.
        """

    @abstractmethod
    def predict(self, model: nn.Module, rows: Tokenised) -> Array:
        """Raw outputs, float32: (N, classes or 1), or (tokens, 2) start and end of spans."""

    def held_out_answers(
        self,
        teacher: PreTrainedModel,
        rows: Tokenised,
        kept: Sequence[int] | None,
        own: Callable[[], Tokenised],
    ) -> Array:
        """A teacher's outputs on held-out examples, with which the students' are compared.

        Args:
            teacher: Answers the task.
            rows: The examples as students read them.
            kept: The teacher's id of each of the students' tokens; None if the students have all tokens.
            own: Gives the examples as the teacher reads them.
        """
        del rows, kept
        return self.predict(teacher, own())

    @abstractmethod
    def predictions(self, outputs: Array, rows: Tokenised, examples: Examples) -> Predictions:
        """The answers in the outputs of `predict`."""

    def tuned(self, predictions: Predictions, examples: Examples) -> Predictions:
        """The predictions with the threshold that is best for these examples, if they have one."""
        return predictions

    def as_set(self, predictions: Predictions, path: Path) -> Predictions:
        """The predictions of a model with the settings in its folder.

        Raises:
            ModelError: The folder's `SETTINGS` are damaged.
        """
        del path
        return predictions

    def load_lines(self, task: Task, folder: str, max_length: int, export: Format | None = None) -> str:
        """Lines of Python that open a folder without subarch and print the answer to one input.

        Args:
            task: What it answers.
            folder: Of a model, or of an export.
            max_length: Tokens of a row.
            export: The format of an export.
        """
        opening = in_pytorch(folder, self.auto_class) if export is None else export.opening(folder)
        return "\n".join(self.lines(task, folder, max_length, opening))

    @abstractmethod
    def lines(self, task: Task, folder: str, max_length: int, opening: Opening) -> list[str]:
        """`load_lines` for a folder that is opened like this."""

    def settings_of(self, predictions: Predictions) -> dict[str, Any] | None:
        """The settings to write beside a model's weights, given its validation answers; None for no file."""
        return None

    def told_metrics(self, task: Task) -> tuple[str, ...]:
        """The metrics that a report shows beside the score."""
        return ()

    def agree(self, one: Predictions, other: Predictions, examples: Examples) -> Array | None:
        """(questions,) whether two models give the same answer; None if answers are numbers, which always differ."""
        return None

    @abstractmethod
    def compare(self, expected: Sequence[Array], found: Sequence[Array], masks: Sequence[Array]) -> tuple[float, float]:
        """Compare the outputs of two runtimes on the same batches.

        Args:
            expected: As a runtime gives them, batch by batch.
            found: Another's.
            masks: (batch, length) of each, 0 at padding.

        Returns:
            The largest difference over the standard deviation of `expected`, and the share of equal answers.
        """

    def units(self, rows: Tokenised, examples: Examples) -> list[Array]:
        """The rows of each question, which is asked as a whole."""
        del examples
        return list(np.arange(len(rows.data.encoded))[:, None])

    # The floor

    @abstractmethod
    def floors(self, data: TaskData, read: Read = whole) -> Floors:
        """Train the baselines that a student has to beat, and ask them about test.

        Args:
            data: Train teaches, validation chooses, test is answered.
            read: As `Read`.
        """

    def floor_seconds(self, rows: int, outputs: int) -> float:
        """Roughly how many seconds `floors` takes for this many training rows and outputs."""
        del outputs
        return COUNTED_ROW * min(rows, TRAIN_ROWS)

    @abstractmethod
    def errors(self, student: Array, teacher: Array, rows: Tokenised, groups: Array | None, error: str) -> Array:
        """ê of the FPTAS: float (units,), distance of the student's outputs from the teacher's on each held-out unit.

        Args:
            student: Outputs of `predict` on `rows`.
            teacher: The maximum point's on the same rows, the "labels" of ê (Bort, section 3.3).
            rows: What both read.
            groups: (N,) of rows that are one unit.
            error: "cross-entropy" (the paper's; its floor is the teacher's entropy) or "kl" (floor 0), in nats.
        """
