"""The honest floor: what a task gives to no model at all, and to counted words.

A student that does not beat them is not worth its latency.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.scoring.metrics import METRICS

log = logging.getLogger(__name__)

TRAIN_ROWS = 20_000
"""Rows that the word counts learn from at most: more take long and change little."""

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
"""Inverse regularisation, chosen on validation."""

ABSENT = -1e9
"""Logit of a class that the rows learnt from do not hold."""


@dataclass(frozen=True)
class Baseline:
    """A trained baseline and its predictions on test.

    Attributes:
        name: "majority" or "tfidf".
        predictions: (N, C) logits or (N,) scores, for `metrics.compute`.
        parameters: Coefficients and intercepts.
        predict_one: Text and pair (or None) to logits (C,) or a score (1,): what a latency clock measures.
    """

    name: str
    predictions: Array
    parameters: int
    predict_one: Callable[[str, str | None], Array]


def majority(data: TaskData) -> Baseline:
    """The most frequent class of train, or the mean score, whatever the text."""
    labels = _labels(data.train)
    if data.task.kind == "regression":
        answer = np.array([labels.mean()], dtype=np.float64)
        return Baseline("majority", np.repeat(answer, len(data.test)), 1, lambda text, pair: answer)
    answer = np.bincount(labels, minlength=data.task.num_outputs) / len(labels)
    return Baseline("majority", np.tile(answer, (len(data.test), 1)), len(answer), lambda text, pair: answer)


def tfidf(data: TaskData, read: Callable[[Examples], Examples] = lambda examples: examples) -> Baseline:
    """Logistic (for scores ridge) regression on TF-IDF of words and word pairs; validation sets its strength.

    For pairs of texts the features are those of either text and, word by word, their product.

    Args:
        data: Train teaches, validation chooses, test is answered.
        read: What of examples is looked at: that which the models see, where they do not see all.
    """
    train = data.train
    if len(train) > TRAIN_ROWS:
        # A fixed draw: the baseline of a task is one number, whatever the seed of the run.
        train = train.take(np.sort(np.random.default_rng(0).permutation(len(train))[:TRAIN_ROWS]))
    train = read(train)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=2 if len(train) >= 1000 else 1,
        token_pattern=r"(?u)\b\w+\b|[^\w\s]",
    )
    vectorizer.fit(train.texts + (train.pairs or []))
    features, labels = _features(vectorizer, train), _labels(train)
    held_out = _features(vectorizer, read(data.validation))
    metric = METRICS[data.task.main_metric]
    best: tuple[float, Any] | None = None
    for strength in STRENGTHS:
        model = _fit(features, labels, data.task.kind == "regression", strength)
        score = metric(_outputs(model, held_out, data.task.num_outputs), _labels(data.validation))
        score = score if metric.higher_is_better else -score
        log.debug("tfidf, strength %g: %s %.4f", strength, data.task.main_metric, score)
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    model = best[1]

    def predict_one(text: str, pair: str | None) -> Array:
        example = Examples([text], None if pair is None else [pair])
        return _outputs(model, _features(vectorizer, example), data.task.num_outputs).reshape(-1)

    return Baseline(
        "tfidf",
        _outputs(model, _features(vectorizer, read(data.test)), data.task.num_outputs),
        int(np.size(model.coef_) + np.size(model.intercept_)),
        predict_one,
    )


def _features(vectorizer: TfidfVectorizer, examples: Examples) -> csr_matrix:
    first = vectorizer.transform(examples.texts)
    if examples.pairs is None:
        return first
    second = vectorizer.transform(examples.pairs)
    return hstack((first, second, first.multiply(second)), format="csr")


def _fit(features: csr_matrix, labels: Array, regression: bool, strength: float) -> Any:
    if regression:
        return Ridge(alpha=1 / strength).fit(features, labels)
    solver = "liblinear" if len(np.unique(labels)) == 2 else "lbfgs"
    return LogisticRegression(C=strength, solver=solver, max_iter=1000, tol=1e-3, random_state=0).fit(features, labels)


def _outputs(model: Any, features: csr_matrix, width: int) -> Array:
    if isinstance(model, Ridge):
        return np.asarray(model.predict(features))
    margin = np.asarray(model.decision_function(features))
    if margin.ndim == 1:
        margin = np.stack((-margin / 2, margin / 2), axis=1)
    logits = np.full((len(margin), width), ABSENT)
    logits[:, model.classes_] = margin
    return logits


def _labels(examples: Examples) -> Array:
    if examples.labels is None:
        raise ValueError("examples have no labels")
    return np.asarray(examples.labels)
