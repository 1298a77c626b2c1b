"""Scores of predictions, overall, by slice, and of two models against each other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.answers import official_best
from subarch.tasks.scoring.bootstrap import interval, resampled, resampled_differences
from subarch.tasks.scoring.measures import Measure, measure, metric_names, span_scores
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.sign_flip import sign_flip, swap

FEW = 10
"""Examples below which a slice is marked: its numbers say little."""
LEVEL = 0.05
"""Share of comparisons in which at least one slice is named although none differs."""
COMPARISONS = 10_000
"""Resamples, flips and swaps of a comparison, at least: p values that are not exact are no finer than one over them."""


def score(task: Task, predictions: Predictions, examples: Examples, seed: int) -> dict[str, Any]:
    """Every metric of the task, its main one as "score", and "intervals": 95 %, by the bootstrap over units.

    Shares are in 0..1. Questions that may have no answer add what SQuAD 2.0's script adds: exact match and F1 of the
    questions with an answer ("has_answer_...") and without ("no_answer_..."), and where predictions say how sure they
    are, the best of either over all thresholds and that threshold ("best_...").

    Raises:
        UserError: Examples without labels, or metrics that do not suit the task.
        SubarchError: Outputs that are not finite: no score is made up for them.
    """
    measures = {name: measure(task, name, predictions, examples) for name in task.metrics}
    values: dict[str, Any] = {name: each.value() for name, each in measures.items()}
    intervals = {name: list(interval(each, seed)) for name, each in measures.items()}
    further = _by_answerable(measures, predictions, examples, seed) if task.kind == "span" else ({}, {})
    return {
        "score": values[task.main_metric],
        **values,
        **further[0],
        "intervals": intervals | further[1],
    }


def main_score(task: Task, predictions: Predictions, examples: Examples) -> float:
    """The main metric alone, without an interval: what validation selects by."""
    return measure(task, task.main_metric, predictions, examples).value()


def standard_error(task: Task, predictions: Predictions, examples: Examples, seed: int) -> float:
    """Of the main metric, by the bootstrap: how far another set of as many examples would move it."""
    found = resampled(measure(task, task.main_metric, predictions, examples), np.random.default_rng(seed))
    return float(np.std(found))


def slices(
    task: Task, predictions: Predictions, examples: Examples, columns: Mapping[str, Array], seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Scores by slice: {SLICE: {VALUE: {"count", NAME: value, ..., "metric", "interval"}}}.

    Args:
        columns: From the name of a slice to the value of each example, (N,) of str, as `slice_columns` makes it.
            Answers to one question belong where the first of them does.

    Returns:
        "count" examples; the metrics that make sense within the slice, "metric" naming the main one and "interval"
        its own 95 %; "few" where there are fewer than `FEW`. Values are in order of their names.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    names = {metric for name in columns for metric in slice_metrics(task, name, examples)}
    known = {metric: measure(task, metric, predictions, examples) for metric in names}
    for name, column in columns.items():
        measures = [known[metric] for metric in slice_metrics(task, name, examples)]
        found[name] = {}
        for value, rows in _parts(column):
            units = measures[0].units(rows)
            low, high = interval(measures[0], seed, units)
            found[name][value] = {
                "count": len(rows),
                **{each.name: each.value(each.units(rows)) for each in measures},
                "metric": measures[0].name,
                "interval": [low, high],
                **({"few": True} if len(rows) < FEW else {}),
            }
    return found


def slice_metrics(task: Task, name: str, examples: Examples) -> tuple[str, ...]:
    """The metrics of a slice, the main one first.

    Within one label, F1 and the correlations say nothing: classes are scored by their accuracy (recall), numbers by
    the error.
    """
    if name == "label":
        return ("accuracy",) if task.kind == "classification" else ("rmse",)
    rest = [metric for metric in task.metrics if metric != task.main_metric]
    extra = [
        metric for metric in ("accuracy",) if metric in metric_names(task, examples) and task.kind == "classification"
    ]
    return tuple(dict.fromkeys([task.main_metric, *rest, *extra]))


def compare(
    task: Task,
    one: Predictions,
    other: Predictions,
    examples: Examples,
    columns: Mapping[str, Array],
    seed: int,
) -> dict[str, Any]:
    """How much `other` differs from `one` on the same examples, overall and by slice.

    `p` is that of a sign-flip test of the paired differences where the metric is a mean over units (of 0 and 1 it is
    McNemar's exact test) or the root of one, and of swaps of the two models' answers for F1, the correlations and their
    like (`sign_flip.py`). `interval` is a paired bootstrap, both scored on each resample. With few units on which the
    two differ it is too narrow, so that it may leave out zero where p is large: p decides.

    Over all slices p is adjusted by Holm's method (1979), which bounds the chance that even one slice is named by
    chance, however slices overlap: those by title and by length hold the same examples, and the condition under which
    Benjamini-Hochberg holds is not known to be met. Slices of fewer than `FEW` examples are not tested.

    Returns:
        {"metric", "difference", "interval", "p", "slices": {SLICE: {VALUE: {"count", "metric", "difference",
        "interval", "p", "p_adjusted", "differs"}}}}; a difference is `other` less `one`.
    """
    parts = [(name, value, rows) for name, column in columns.items() for value, rows in _parts(column)]
    tested = [len(rows) >= FEW for _, _, rows in parts]
    # The smallest p that n tests leave standing is LEVEL / n: there must be resamples enough to reach it.
    resamples = max(COMPARISONS, int(4 * sum(tested) / LEVEL))
    measures = {
        metric: (measure(task, metric, one, examples), measure(task, metric, other, examples))
        for metric in {task.main_metric, *(slice_metrics(task, name, examples)[0] for name in columns)}
    }
    overall = _difference(measures[task.main_metric], None, seed, resamples)
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in columns}
    rows_of: list[dict[str, Any]] = []
    for (name, value, rows), enough in zip(parts, tested, strict=True):
        metric = slice_metrics(task, name, examples)[0]
        pair = measures[metric]
        row = {"count": len(rows), "metric": metric, **_difference(pair, pair[0].units(rows), seed, resamples)}
        if not enough:
            row |= {"p": None, "few": True}
        found[name][value] = row
        rows_of.append(row)
    adjusted = iter(holm([row["p"] for row in rows_of if row["p"] is not None]))
    for row in rows_of:
        row["p_adjusted"] = None if row["p"] is None else next(adjusted)
        row["differs"] = row["p_adjusted"] is not None and row["p_adjusted"] < LEVEL
    return {"metric": task.main_metric, **overall, "slices": found}


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted by Holm's step-down method, in their order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    adjusted = np.empty_like(p)
    adjusted[order] = steps
    return [float(value) for value in adjusted]


def _difference(pair: tuple[Measure, Measure], units: Array | None, seed: int, resamples: int) -> dict[str, Any]:
    one, other = pair
    difference = other.value(units) - one.value(units)
    drawn = resampled_differences(one, other, np.random.default_rng(seed), units, resamples)
    low, high = np.percentile(drawn, [2.5, 97.5])
    rng = np.random.default_rng(seed)
    if one.parts is None or other.parts is None:
        p = swap(one, other, units, rng, resamples)
    else:
        parts = other.parts - one.parts
        p = sign_flip(parts if units is None else parts[units], rng, resamples)
    return {"difference": difference, "interval": [float(low), float(high)], "p": p}


def _parts(column: Array) -> list[tuple[str, Array]]:
    """Each value of a slice with the rows that have it, numbers within names counting as numbers."""
    values, inverse = np.unique(np.asarray(column, dtype=str), return_inverse=True)
    rows = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[rows], np.arange(len(values) + 1))
    parts = [(str(value), rows[bounds[index] : bounds[index + 1]]) for index, value in enumerate(values)]
    return sorted(parts, key=lambda part: _natural(part[0]))


def _natural(name: str) -> list[tuple[bool, float, str]]:
    pieces = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(index % 2 == 0, float(piece) if index % 2 else 0.0, piece) for index, piece in enumerate(pieces) if piece]


def _by_answerable(
    measures: Mapping[str, Measure], predictions: Predictions, examples: Examples, seed: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    answerable = np.asarray([bool(answers) for answers in examples.columns["answers"]])
    if answerable.all():
        return {}, {}
    values: dict[str, Any] = {}
    intervals: dict[str, list[float]] = {}
    for prefix, rows in (("has_answer", np.flatnonzero(answerable)), ("no_answer", np.flatnonzero(~answerable))):
        for name, each in measures.items():
            if len(rows):
                values[f"{prefix}_{name}"] = each.value(rows)
                intervals[f"{prefix}_{name}"] = list(interval(each, seed, rows))
    if predictions.no_answer is not None:
        given = np.asarray([bool(text) for text in predictions.texts or []])
        raw = dict(zip(("exact_match", "f1"), span_scores(predictions, examples, as_decided=False), strict=True))
        for name, scores in raw.items():
            best, threshold = official_best(scores, predictions.no_answer, answerable, given)
            values |= {f"best_{name}": best, f"best_{name}_threshold": threshold}
    return values, intervals
