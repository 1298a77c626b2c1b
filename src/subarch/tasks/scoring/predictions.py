"""What a model said of each example: the value that scores, files and submissions are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from subarch.tasks.base import Array, Examples


@dataclass(frozen=True)
class Predictions:
    """Of N examples, in their order."""

    outputs: Array | None = None
    """(N, C) logits of the classes, or (N, 1) scores; None for spans."""
    texts: list[str] | None = None
    """Of spans: the best text of each context, whether or not there seems to be an answer; "" where whoever
    predicted had decided that there is none."""
    no_answer: Array | None = None
    """(N,) float: the score of "no answer" minus that of the best text; None where texts stand as they are."""
    threshold: float = 0.0
    """No answer is given where `no_answer` is above it; tuned on validation."""

    def __len__(self) -> int:
        return len(self.texts if self.outputs is None else self.outputs)  # type: ignore[arg-type]

    def take(self, indices: Array) -> Predictions:
        """The predictions at `indices` (K,), in that order."""
        return replace(
            self,
            outputs=None if self.outputs is None else self.outputs[indices],
            texts=None if self.texts is None else [self.texts[int(index)] for index in indices],
            no_answer=None if self.no_answer is None else self.no_answer[indices],
        )

    @property
    def answers(self) -> list[str]:
        """Of spans: the texts, "" where the threshold says that there is no answer."""
        texts = self.texts or []
        if self.no_answer is None:
            return texts
        return ["" if empty else text for text, empty in zip(texts, self.no_answer > self.threshold, strict=True)]


def chosen_rows(outputs: Array, groups: Array) -> Array:
    """(G,) index of the row with the highest output of each group, the first of several.

    Args:
        outputs: (N, 1) or (N,) scores; or (N, 2) logits, of which the second speaks for the row.
        groups: (N,) ascending.
    """
    outputs = np.asarray(outputs)
    if outputs.ndim == 2:
        outputs = outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs[:, 0]
    # Stable: of equal outputs the first row stays first.
    order = np.lexsort((-outputs, groups))
    first = np.r_[True, np.diff(groups) != 0]
    return np.asarray(order[np.flatnonzero(first)])


def with_ids(examples: Examples) -> Examples:
    """The examples with a column "id" of different texts: their own, else the row's number from 0.

    Where rows share an id, as the answers to a question may, "-0", "-1", ... tell them apart.
    """
    known = [str(value) for value in examples.columns.get("id", range(len(examples)))]
    if len(set(known)) < len(known):
        seen: dict[str, int] = {}
        for row, name in enumerate(known):
            known[row] = f"{name}-{seen.get(name, 0)}"
            seen[name] = seen.get(name, 0) + 1
    return replace(examples, columns={**examples.columns, "id": known})
