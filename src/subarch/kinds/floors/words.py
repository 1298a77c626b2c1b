"""The floor of classes and of numbers: the commonest answer, and a linear model on tf-idf."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from subarch.kinds.floors.baseline import Baseline, Read, drawn, labels_of, whole
from subarch.tasks.base import Array, Examples, TaskData
from subarch.tasks.scoring.metrics import METRICS
from subarch.tasks.scoring.predictions import Predictions

log = logging.getLogger(__name__)

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
"""Inverse regularisation, chosen on validation."""

ABSENT = -1e9
"""Logit of a class that the rows learnt from do not hold."""

WORDS = r"(?u)\b\w+\b|[^\w\s]"
"""What counts as a word: punctuation marks do too."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear model on tf-idf: how it is called, fitted and asked."""

    label: str
    said: str
    fit: Callable[[csr_matrix, Array, float], Any]
    """Features, labels and inverse regularisation to a model of scikit-learn."""
    outputs: Callable[[Any, csr_matrix, int], Array]
    """The model, features and the number of outputs to (N, C) logits or (N,) numbers."""


def most_frequent(data: TaskData) -> Baseline:
    """The shares of the classes in train, whatever the text."""
    labels = labels_of(data.train)
    shares = np.bincount(labels, minlength=data.task.num_outputs) / len(labels)
    return _constant("Most frequent answer", "the most frequent answer", data, shares)


def mean(data: TaskData) -> Baseline:
    """The mean number of train, whatever the text."""
    answer = np.array([labels_of(data.train).mean()], dtype=np.float64)
    return _constant("Mean answer", "the mean answer", data, answer)


def _constant(label: str, said: str, data: TaskData, answer: Array) -> Baseline:
    def answers(examples: Examples) -> Predictions:
        outputs = np.tile(answer, (len(examples), 1))
        return Predictions(outputs=outputs if len(answer) > 1 else outputs[:, 0])

    return Baseline(
        name="majority",
        label=label,
        said=said,
        predictions=answers(data.test),
        parameters=len(answer),
        answer=answers,
    )


def tfidf(data: TaskData, linear: Linear, read: Read = whole) -> Baseline:
    """A linear model on tf-idf of words and word pairs; validation sets its strength.

    For pairs of texts the features are those of either text and, word by word, their product.

    Args:
        data: Train teaches, validation chooses, test is answered.
        linear: Which model.
        read: As `Read`.
    """
    train = read(drawn(data.train))
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(train) >= 1000 else 1, token_pattern=WORDS
    )
    vectorizer.fit(train.texts + (train.pairs or []))
    features, labels = _features(vectorizer, train), labels_of(train)
    held_out = _features(vectorizer, read(data.validation))
    metric = METRICS[data.task.main_metric]
    best: tuple[float, Any] | None = None
    for strength in STRENGTHS:
        model = linear.fit(features, labels, strength)
        score = metric(linear.outputs(model, held_out, data.task.num_outputs), labels_of(data.validation))
        score = score if metric.higher_is_better else -score
        log.debug("tfidf, strength %g: %s %.4f", strength, data.task.main_metric, score)
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    model = best[1]
    answers = partial(_answers, vectorizer, partial(linear.outputs, model), data.task.num_outputs)
    return Baseline(
        name="tfidf",
        label=linear.label,
        said=linear.said,
        predictions=answers(read(data.test)),
        parameters=int(np.size(model.coef_) + np.size(model.intercept_)),
        answer=answers,
    )


def _answers(
    vectorizer: TfidfVectorizer, outputs: Callable[[csr_matrix, int], Array], width: int, examples: Examples
) -> Predictions:
    return Predictions(outputs=outputs(_features(vectorizer, examples), width))


def _features(vectorizer: TfidfVectorizer, examples: Examples) -> csr_matrix:
    first = vectorizer.transform(examples.texts)
    if examples.pairs is None:
        return first
    second = vectorizer.transform(examples.pairs)
    return hstack((first, second, first.multiply(second)), format="csr")


def _fit_logistic(features: csr_matrix, labels: Array, strength: float) -> Any:
    solver = "liblinear" if len(np.unique(labels)) == 2 else "lbfgs"
    return LogisticRegression(C=strength, solver=solver, max_iter=1000, tol=1e-3, random_state=0).fit(features, labels)


def _logits(model: Any, features: csr_matrix, width: int) -> Array:
    margin = np.asarray(model.decision_function(features))
    if margin.ndim == 1:
        margin = np.stack((-margin / 2, margin / 2), axis=1)
    logits = np.full((len(margin), width), ABSENT)
    logits[:, model.classes_] = margin
    return logits


def _fit_ridge(features: csr_matrix, labels: Array, strength: float) -> Any:
    return Ridge(alpha=1 / strength).fit(features, labels)


def _numbers(model: Any, features: csr_matrix, width: int) -> Array:
    return np.asarray(model.predict(features))


LOGISTIC = Linear(label="tf-idf + linear model", said="tf-idf with a linear model", fit=_fit_logistic, outputs=_logits)
RIDGE = Linear(label="tf-idf + ridge regression", said="tf-idf with ridge regression", fit=_fit_ridge, outputs=_numbers)
