"""The right one of a few answers: a score for each row of a group."""

from __future__ import annotations

import numpy as np
import torch

from subarch.kinds.base import Tokenised
from subarch.kinds.floors.baseline import Floors, Read, whole
from subarch.kinds.rows import RowKind
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.splits import carve_groups
from subarch.training.losses import ChoiceDivergence, Loss, choice_errors, choice_loss
from subarch.training.socrates import Answers, asked, choices_said


class Choice(RowKind):
    """One output a row: how well the second text answers the first. The highest of its group is the answer."""

    name = "choice"
    expected = "one output a choice"
    # It says yes or no to its row: `transformers` calls that multi-label, and takes single-label for two outputs.
    problem_type = "multi_label_classification"
    pipeline_tag = "multiple-choice"
    outputs_note = "One output a row: how well the second text answers the first."
    usage = (
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        'tokenizer = AutoTokenizer.from_pretrained("PATH_OF_THIS_FOLDER")\n'
        'model = AutoModelForSequenceClassification.from_pretrained("PATH_OF_THIS_FOLDER")\n'
        "# one row a choice; the row with the highest output is the answer\n"
        'inputs = tokenizer([text] * len(choices), choices, truncation=True, padding=True, return_tensors="pt")\n'
        "answer = choices[model(**inputs).logits[:, 0].argmax()]\n"
    )
    pools = False

    def groups(self, examples: Examples) -> Array | None:
        """The rows of a question share a batch."""
        return examples.groups

    def units(self, rows: Tokenised, examples: Examples) -> list[Array]:
        """A question with all its choices."""
        return self.questions(examples)

    def said(self, outputs: Array, groups: Array | None) -> Answers:
        """The highest row of each group."""
        assert groups is not None
        return choices_said(outputs[:, 0].astype(np.float64), groups)

    def wrong(self, found: Array, examples: Examples, scale: Array | None = None) -> Array:
        """All rows of a group of which a wrong row is chosen."""
        assert examples.labels is not None
        assert examples.groups is not None
        numbers = np.unique(examples.groups, return_inverse=True)[1]
        # A question may have several right rows, of which one is chosen.
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
