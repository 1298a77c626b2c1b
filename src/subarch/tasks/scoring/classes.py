"""How a model answers class by class: what one share of right answers hides where classes are uneven.

A model that always gives the commonest of two answers is right as often as that one is common; its recall of the other
is 0, and its macro F1 below one half.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.bootstrap import interval
from subarch.tasks.scoring.measures import measure
from subarch.tasks.scoring.predictions import Predictions

UNEVEN = 2.0
"""Classes are uneven where one has so many times as many examples as another; ours."""


def class_scores(task: Task, predictions: Predictions, examples: Examples, seed: int) -> dict[str, Any]:
    """What a classifier does with each class; nothing of other tasks, of answers to one question, and without labels.

    Returns:
        `uneven`; `examples` and `recalls` (0..1) by the name of each class that the labels hold; `f1_macro` and
        `f1_macro_interval` (95 %); `matthews_correlation` and `matthews_correlation_interval`, which are about 0 for
        answers that know nothing of the texts, constant ones or random; `answers`, how many classes were given as an
        answer, `answer`, the commonest of them; `commonest`, the commonest label, and `commonest_share`.
    """
    if task.kind != "classification" or examples.groups is not None or examples.labels is None or not len(examples):
        return {}
    # Refuses outputs that cannot be scored.
    measures = [measure(task, name, predictions, examples) for name in ("f1_macro", "matthews_correlation")]
    outputs = np.asarray(predictions.outputs)
    outputs = outputs.reshape(-1) if outputs.shape[1:] == (1,) else outputs
    predicted = outputs.argmax(axis=1) if outputs.ndim == 2 else (outputs > 0).astype(np.int64)
    labels = np.asarray(examples.labels, dtype=np.int64)
    size = len(task.labels)
    counts, right = np.bincount(labels, minlength=size), np.bincount(labels[predicted == labels], minlength=size)
    given, found = np.bincount(predicted, minlength=size), np.flatnonzero(counts)
    return {
        "uneven": bool(counts[found].max() >= UNEVEN * counts[found].min()),
        "examples": {task.labels[index]: int(counts[index]) for index in found},
        "recalls": {task.labels[index]: float(right[index] / counts[index]) for index in found},
        **{each.name: each.value() for each in measures},
        **{f"{each.name}_interval": list(interval(each, seed)) for each in measures},
        "answers": int(np.count_nonzero(given)),
        "answer": task.labels[int(given.argmax())],
        "commonest": task.labels[int(counts.argmax())],
        "commonest_share": float(counts.max() / counts.sum()),
    }
