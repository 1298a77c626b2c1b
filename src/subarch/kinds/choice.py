"""The right one of a few answers: a score for each row of a group."""

from __future__ import annotations

import numpy as np
import torch

from subarch.deploy.formats.base import Format, Opening
from subarch.kinds.base import Kind, Tokenised
from subarch.kinds.floors.baseline import Floors, Read, whole
from subarch.kinds.rows import RowKind, outputs_of
from subarch.tasks.base import Array, Examples, Task, TaskData
from subarch.tasks.scoring.predictions import Predictions, chosen_rows
from subarch.tasks.splits import carve_groups
from subarch.training.losses import ChoiceDivergence, Loss, choice_errors, choice_loss
from subarch.training.socrates import Answers, asked, choices_said


class Choice(RowKind):
    """One output a row: how well the second text answers the first. The highest of its group is the answer."""

    name = "choice"
    words = "multiple choice"
    unit = "question"
    expected = "one output a choice"
    # It says yes or no to its row: `transformers` calls that multi-label, and takes single-label for two outputs.
    problem_type = "multi_label_classification"
    pipeline_tag = "multiple-choice"
    outputs_note = "One output a row: how well the second text answers the first."
    pools = False

    def load_lines(self, task: Task, folder: str, max_length: int, export: Format | None = None) -> str:
        """No pipeline puts a question's choices side by side."""
        return Kind.load_lines(self, task, folder, max_length, export)

    def lines(self, task: Task, folder: str, max_length: int, opening: Opening) -> list[str]:
        """The rows of one question."""
        return [
            *opening.imports,
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
            opening.load,
            'text, choices = "a text", ["one choice", "another choice"]',
            "# one row a choice; the row with the highest output is the answer",
            "inputs = tokenizer(",
            f"    [text] * len(choices), choices, truncation=True, max_length={max_length}, padding=True,",
            f'    return_tensors="{opening.tensors}",',
            ")",
            f"print(choices[{opening.ask}[0][:, 0].argmax()])",
        ]

    def groups(self, examples: Examples) -> Array | None:
        """The rows of a question share a batch."""
        return examples.groups

    def units(self, rows: Tokenised, examples: Examples) -> list[Array]:
        """A question with all its choices."""
        return self.questions(examples)

    def told_metrics(self, task: Task) -> tuple[str, ...]:
        """All, where there are several."""
        return task.metrics

    def agree(self, one: Predictions, other: Predictions, examples: Examples) -> Array:
        """The same row of each question."""
        assert examples.groups is not None
        mine, theirs = (chosen_rows(outputs_of(said), examples.groups) for said in (one, other))
        return np.asarray(mine == theirs)

    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The highest row of each group."""
        assert groups is not None
        return choices_said(outputs[:, 0].astype(np.float64), groups)

    def wrong(self, found: Array, examples: Examples, scale: Array | None = None) -> Array:
        """All rows of a group in which a wrong row is chosen."""
        assert examples.labels is not None
        assert examples.groups is not None
        numbers = np.unique(examples.groups, return_inverse=True)[1]
        # A question may have several right rows; one of them is chosen.
        return np.asarray((np.bincount(numbers, found * examples.labels) == 0)[numbers])

    def worth(self, outputs: Array, examples: Examples) -> float:
        """The share of questions that are answered right."""
        wrong = self.wrong(self.said(outputs, examples.groups).labels, examples)
        return 1.0 - asked(examples.take(np.flatnonzero(wrong))) / asked(examples)

    def divided(self, examples: Examples, count: int, seed: int) -> tuple[Examples, Examples]:
        """Whole groups."""
        return carve_groups(examples, count, seed=seed)

    def task_loss(self, labels: Array | None) -> Loss:
        """Cross-entropy over the rows of each group."""
        return choice_loss

    def imitation(self, labels: Array | None, temperature: float) -> Loss:
        """T²·KL of the distributions over the rows of each group."""
        return ChoiceDivergence(temperature=temperature)

    def errors(self, student: Array, teacher: Array, rows: Tokenised, groups: Array | None, error: str) -> Array:
        """(questions,) of the distributions over the rows of each."""
        assert groups is not None
        ours, theirs = torch.from_numpy(student), torch.from_numpy(teacher)
        found: Array = choice_errors(ours, theirs, torch.from_numpy(groups), kind=error).numpy()
        return found

    def floors(self, data: TaskData, read: Read = whole) -> Floors:
        """The longest answer, and the one most like its text by tf-idf."""
        from subarch.kinds.floors import matching  # scikit-learn takes a second, which only this must pay

        return Floors(commonest=matching.longest(data, read), simple=matching.match(data, read))

    def floor_seconds(self, rows: int, outputs: int) -> float:
        """Texts are long, and stand in the rows of all their answers; measured on RACE."""
        return 20 * super().floor_seconds(rows, outputs)
