"""The formulas of the metrics of classes and of numbers; `measures.py` applies them, and knows the others.

Those of a classification take three counts of each class, those of a regression the two rows of numbers; both along
the last axes, so that a thousand resamples are one call. The counts are how often the class was right, was the label,
was predicted: no formula asks which class was taken for which, and a table of pairs would grow with their square. Cases
that have no value by the formula get one here, without a warning: `measures.py` lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from subarch.errors import ConfigError, SubarchError, did_you_mean
from subarch.tasks.base import Array, KindName


@dataclass(frozen=True)
class Metric:
    """A score. `function` takes (..., C, 3) counts [right, label, predicted], or (..., N) predictions and labels."""

    function: Callable[..., Array]
    kind: KindName
    higher_is_better: bool = True

    def __call__(self, predictions: Array, labels: Array) -> float:
        """The score of logits (N, C), classes (N,) or scores (N,) against labels (N,)."""
        if self.kind == "classification":
            return float(self.function(_counts(predictions, labels)))
        return float(self.function(np.asarray(predictions, np.float64), np.asarray(labels, np.float64)))


def compute(kind: KindName, names: Iterable[str], predictions: Array, labels: Array) -> dict[str, float]:
    """The named metrics.

    Args:
        kind: Of the task; its metrics must be of this kind.
        names: Keys of `METRICS`.
        predictions: Logits (N, C), or scores (N,) (or (N, 1)) of a regression.
        labels: (N,) class indices or scores.

    Raises:
        ConfigError: An unknown metric, or one that does not suit the task.
        SubarchError: Predictions that are not finite, or none at all: no score is made up for them.
    """
    predictions = checked(predictions, labels)
    return {name: _metric(name, kind)(predictions, labels) for name in names}


def accuracy(counts: Array) -> Array:
    """Share of right answers."""
    return np.asarray(counts[..., 0].sum(-1) / counts[..., 1].sum(-1))


def f1(counts: Array) -> Array:
    """F1 of class 1, for two classes."""
    if counts.shape[-2] != 2:
        raise ConfigError(f"f1 got {counts.shape[-2]} classes, expected 2", "use f1_macro")
    return np.asarray(_f1_per_class(counts)[..., 1])


def f1_macro(counts: Array) -> Array:
    """Mean F1 of the classes that occur among labels or predictions."""
    occurs = counts[..., 1] + counts[..., 2] > 0
    return np.asarray((_f1_per_class(counts) * occurs).sum(-1) / occurs.sum(-1))


def matthews_correlation(counts: Array) -> Array:
    """Matthews' coefficient, in the form for any number of classes (Gorodkin 2004)."""
    right, true, predicted = np.moveaxis(counts.astype(np.float64), -1, 0)
    total = true.sum(-1)
    covariance = right.sum(-1) * total - (true * predicted).sum(-1)
    spread = (total**2 - (true**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return _ratio(covariance, np.sqrt(spread))


def pearson(predictions: Array, labels: Array) -> Array:
    """Linear correlation."""
    x = predictions - predictions.mean(-1, keepdims=True)
    y = labels - labels.mean(-1, keepdims=True)
    # Below rounding error of the inputs, a spread is that of a constant.
    x = np.where(np.abs(x).max(-1, keepdims=True) <= 1e-12 * np.abs(predictions).max(-1, keepdims=True), 0, x)
    return _ratio((x * y).sum(-1), np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


def spearman(predictions: Array, labels: Array) -> Array:
    """Correlation of the ranks, ties sharing their mean rank."""
    from scipy.stats import rankdata  # half a second of import, which the other metrics must not pay

    return pearson(rankdata(predictions, axis=-1), rankdata(labels, axis=-1))


def rmse(predictions: Array, labels: Array) -> Array:
    """Root of the mean squared error, in the unit of the labels."""
    return np.asarray(np.sqrt(((predictions - labels) ** 2).mean(-1)))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, "classification"),
    "f1": Metric(f1, "classification"),
    "f1_macro": Metric(f1_macro, "classification"),
    "matthews_correlation": Metric(matthews_correlation, "classification"),
    "pearson": Metric(pearson, "regression"),
    "spearman": Metric(spearman, "regression"),
    "rmse": Metric(rmse, "regression", higher_is_better=False),
}


def _metric(name: str, kind: KindName | None = None) -> Metric:
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}", did_you_mean(name, METRICS))
    metric = METRICS[name]
    if kind not in (None, metric.kind):
        known = ", ".join(other for other, row in METRICS.items() if row.kind == kind)
        raise ConfigError(f"{name} is a metric of a {metric.kind}, expected one of a {kind}", f"use one of: {known}")
    return metric


def checked(predictions: Array, labels: Array) -> Array:
    """Logits (N, C), or scores (N,) of (N, 1), if there is a finite one for each label.

    Raises:
        SubarchError: Otherwise: no score is made up for them.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 2 and predictions.shape[1] == 1:
        predictions = predictions[:, 0]
    if len(predictions) != len(labels) or len(labels) == 0:
        raise SubarchError(
            f"{len(predictions)} predictions for {len(labels)} labels, expected one each and at least one"
        )
    if not np.isfinite(predictions).all():
        bad = int((~np.isfinite(predictions).reshape(len(labels), -1).all(axis=1)).sum())
        raise SubarchError(
            f"{bad} of {len(labels)} predictions are not finite numbers",
            "the model diverged: lower the learning rate",
        )
    return predictions


def _counts(predictions: Array, labels: Array) -> Array:
    """(C, 3) int64 counts [right, label, predicted] of logits (N, C) or classes (N,)."""
    logits = np.asarray(predictions)
    predicted = logits.argmax(axis=1) if logits.ndim == 2 else logits.astype(np.int64)
    true = np.asarray(labels, dtype=np.int64)
    classes = max(logits.shape[1] if logits.ndim == 2 else 2, int(true.max()) + 1, int(predicted.max()) + 1)
    groups = (true[true == predicted], true, predicted)
    return np.stack([np.bincount(group, minlength=classes) for group in groups], axis=-1)


def _f1_per_class(counts: Array) -> Array:
    return _ratio(2.0 * counts[..., 0], (counts[..., 1] + counts[..., 2]).astype(np.float64))


def _ratio(above: Array, below: Array) -> Array:
    """Above / below, 0 where `below` is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))
