"""Every metric as something that can be resampled: which units it counts, what each of them adds, and a function.

A unit is what the bootstrap draws: an example; a question with all its answers, where they are grouped; a pair of
sentences for gender parity. Most metrics are functions of sums over units, so a resample is a draw of how often each
*different* unit occurs (a multinomial), and a thousand of them one matrix product; with many classes of sparse rows, so
that work and memory grow with the units and the classes, never with pairs of classes. Correlations need the rows.

What the official scorers return where a formula has no value:

- F1 is 0 where neither labels nor predictions hold the positive class (as scikit-learn and the released jiant do).
- Matthews' coefficient, Pearson and Spearman are 0 where either side is constant (scikit-learn says 0, SciPy NaN).
- Gender parity is -1 where no pair is complete (jiant).
- An empty answer to an unanswerable question counts 1, to any other 0; any text to an unanswerable one 0 (SQuAD 2.0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from subarch.errors import ConfigError, DataError, did_you_mean
from subarch.tasks.base import Array, Examples, Task
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.scoring.metrics import METRICS, checked, f1
from subarch.tasks.scoring.predictions import Predictions, chosen_rows

PER_CLASS = 3
"""Counts of a class that the metrics of classes are made of: right, label, predicted."""
CELLS = 2_000_000
"""Numbers that a bootstrap holds at once."""


@dataclass(frozen=True)
class Measure:
    """A metric of given predictions."""

    name: str
    unit_of_row: Array
    """(N,) number of the unit that each example belongs to; -1 where it takes no part."""
    codes: Array
    """(U,) for each unit its row of `table`."""
    function: Callable[[Array], Array]
    """From sums (..., K) to values (...); where not `summed` from units (..., U, K) to values (...). Of a sparse table
    it does not mind which classes that do not occur are left out (`occurring`)."""
    table: Array | csr_array
    """(M, K) what each different unit adds to the sums: `PER_CLASS` counts a class, where it is sparse."""
    summed: bool = True
    parts: Array | None = None
    """(U,) of each unit what the metric is the mean of, or the root of the mean; None where it is neither."""

    def units(self, rows: Array) -> Array:
        """The units of some examples, each once, in their order."""
        found = self.unit_of_row[rows]
        return np.unique(found[found >= 0])

    def value(self, units: Array | None = None) -> float:
        """The metric, on these units or on all."""
        codes = self.codes if units is None else self.codes[units]
        if not self.summed:
            return float(self.function(np.asarray(self.table[codes])))
        distinct, counts = np.unique(codes, return_counts=True)
        (rows,) = occurring(self.table[distinct])
        return float(self.function(np.asarray(counts.astype(np.float64) @ rows)))


def occurring(*tables: Any) -> tuple[Any, ...]:
    """The rows, (J, K) arrays or `csr_array`s, without the classes that none of them counts; dense ones as they are."""
    if not all(isinstance(table, csr_array) for table in tables):
        return tables
    columns = np.unique(np.concatenate([table.indices for table in tables]) // PER_CLASS)
    kept = (columns[:, None] * PER_CLASS + np.arange(PER_CLASS)).reshape(-1)
    return tuple(table[:, kept] for table in tables)


def measure(task: Task, name: str, predictions: Predictions, examples: Examples) -> Measure:
    """The named metric of predictions of labelled examples.

    Raises:
        ConfigError: A metric that is unknown or does not suit the task.
        DataError: Examples without labels, or predictions of another kind.
        SubarchError: Outputs that are not finite.
    """
    maker = _MAKERS.get((_family(task, examples), name))
    if maker is None:
        known = sorted(metric for family, metric in _MAKERS if family == _family(task, examples))
        raise ConfigError(f"metric {name!r} does not suit {task.name}, a {task.kind}", did_you_mean(name, known))
    if task.kind == "span":
        if "answers" not in examples.columns:
            raise DataError("the split has no answers, so nothing can be scored")
        if predictions.texts is None or len(predictions.texts) != len(examples):
            raise DataError(f"no text for each of {len(examples)} questions, expected one each")
    elif examples.labels is None:
        raise DataError("the split has no labels, so nothing can be scored")
    return maker(name, predictions, examples)


def metric_names(task: Task, examples: Examples) -> tuple[str, ...]:
    """What can be measured of such a task."""
    return tuple(name for family, name in _MAKERS if family == _family(task, examples))


def higher_is_better(name: str) -> bool:
    """Whether more of the metric is better; of errors less is."""
    return name not in METRICS or METRICS[name].higher_is_better


def span_scores(predictions: Predictions, examples: Examples, *, as_decided: bool = True) -> tuple[Array, Array]:
    """Exact match and F1 of each question, (N,) each, in 0..1; with or without the threshold's decision."""
    texts = predictions.answers if as_decided else predictions.texts or []
    return exact_and_f1(texts, examples.columns["answers"])


def _family(task: Task, examples: Examples) -> str:
    """The row of the table below: a kind, and whether its rows are grouped."""
    grouped = task.kind == "classification" and examples.groups is not None
    entities = "entity" in examples.columns
    if task.kind == "choice" or (grouped and entities):
        return "entities" if entities else "choice"
    if grouped:
        return "grouped"
    return task.kind


def _outputs(predictions: Predictions, examples: Examples) -> Array:
    assert examples.labels is not None
    return checked(predictions.outputs if predictions.outputs is not None else np.empty(0), examples.labels)


def _answers(predictions: Predictions, examples: Examples) -> tuple[Array, Array, int]:
    """(N,) label and (N,) predicted class of each example, and the number of classes."""
    outputs = _outputs(predictions, examples)
    labels = np.asarray(examples.labels, dtype=np.int64)
    predicted = outputs.argmax(axis=1) if outputs.ndim == 2 else (outputs > 0).astype(np.int64)
    return labels, predicted, max(outputs.shape[1] if outputs.ndim == 2 else 2, int(labels.max()) + 1)


def _per_class(answers: tuple[Array, Array, int], unit: Array | None = None) -> csr_array:
    """(U, 3 C) counts [right, label, predicted] of each class in each unit; by default every row is one."""
    labels, predicted, classes = answers
    unit = np.arange(len(labels)) if unit is None else unit
    right = labels == predicted
    rows = np.concatenate([unit[right], unit, unit])
    columns = np.concatenate([labels[right] * PER_CLASS, labels * PER_CLASS + 1, predicted * PER_CLASS + 2])
    shape = (int(unit.max()) + 1, PER_CLASS * classes)
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def _of_counts(name: str, predictions: Predictions, examples: Examples) -> Measure:
    labels, predicted, classes = _answers(predictions, examples)
    numbers = np.arange(len(labels))
    if name == "accuracy":
        return _mean(name, numbers, (labels == predicted).astype(np.float64))
    metric = METRICS[name].function
    metric(np.ones((classes, PER_CLASS)))  # raises where it does not suit the number of classes
    pairs, codes = np.unique(np.stack([labels, predicted]), axis=1, return_inverse=True)
    table = _per_class((pairs[0], pairs[1], classes))
    return Measure(name, numbers, codes.reshape(-1), _by_class(metric), table.toarray() if classes == 2 else table)


def _of_rows(name: str, predictions: Predictions, examples: Examples) -> Measure:
    table = np.stack([_outputs(predictions, examples), np.asarray(examples.labels)], axis=1).astype(np.float64)
    metric = METRICS[name].function
    numbers = np.arange(len(table))
    squares = (table[:, 0] - table[:, 1]) ** 2 if name == "rmse" else None
    value = lambda rows: metric(rows[..., 0], rows[..., 1])  # noqa: E731
    return Measure(name, numbers, numbers, value, table, summed=False, parts=squares)


def _f1_answers(name: str, predictions: Predictions, examples: Examples) -> Measure:
    unit = _groups(examples)
    return _tabled(name, unit, _per_class(_answers(predictions, examples), unit).toarray(), _by_class(f1))


def _all_right(name: str, predictions: Predictions, examples: Examples) -> Measure:
    labels, predicted, _ = _answers(predictions, examples)
    unit = _groups(examples)
    right = np.ones(int(unit.max()) + 1)
    right[unit[labels != predicted]] = 0
    return _mean(name, unit, right)


def _chosen(name: str, predictions: Predictions, examples: Examples) -> Measure:
    assert examples.labels is not None
    rows = chosen_rows(_outputs(predictions, examples), _groups(examples))
    return _mean(name, _groups(examples), (examples.labels[rows] > 0).astype(np.float64))


def _chosen_entities(name: str, predictions: Predictions, examples: Examples) -> Measure:
    rows = chosen_rows(_outputs(predictions, examples), _groups(examples))
    entities, answers = examples.columns["entity"], examples.columns["answers"]
    exact, overlap = exact_and_f1([entities[row] for row in rows], [answers[row] for row in rows])
    return _mean(name, _groups(examples), exact if name == "exact_match" else overlap)


def _spans(name: str, predictions: Predictions, examples: Examples) -> Measure:
    exact, overlap = span_scores(predictions, examples)
    return _mean(name, np.arange(len(exact)), exact if name == "exact_match" else overlap)


def _gender_parity(name: str, predictions: Predictions, examples: Examples) -> Measure:
    if "pair_id" not in examples.columns:
        raise ConfigError("gender_parity of examples without pairs, expected a column 'pair_id'")
    _, predicted, _ = _answers(predictions, examples)
    _, pair, sizes = np.unique(
        [str(number) for number in examples.columns["pair_id"]], return_inverse=True, return_counts=True
    )
    complete = np.flatnonzero(sizes == 2)
    unit_of_pair = np.full(len(sizes), -1)
    unit_of_pair[complete] = np.arange(len(complete))
    members = np.argsort(pair, kind="stable")[np.isin(np.sort(pair), complete)].reshape(-1, 2)
    same = predicted[members[:, 0]] == predicted[members[:, 1]]
    return _mean(name, unit_of_pair[pair], same.astype(np.float64), empty=-1.0)


def _groups(examples: Examples) -> Array:
    """(N,) the number of each example's group, counted from 0."""
    if examples.groups is None:
        raise DataError("the answers are not grouped by question, so no question can be scored")
    return np.unique(examples.groups, return_inverse=True)[1]


def _mean(name: str, unit_of_row: Array, values: Array, empty: float = 0.0) -> Measure:
    def share(sums: Array) -> Array:
        return np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], empty), where=sums[..., 1] > 0)

    return _tabled(name, unit_of_row, np.stack([values, np.ones(len(values))], axis=1), share, parts=values)


def _tabled(
    name: str,
    unit_of_row: Array,
    per_unit: Array,
    function: Callable[[Array], Array],
    parts: Array | None = None,
) -> Measure:
    table, codes = np.unique(per_unit, axis=0, return_inverse=True)
    return Measure(name, unit_of_row, codes.reshape(-1), function, table, parts=parts)


def _by_class(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda sums: function(sums.reshape(*sums.shape[:-1], -1, PER_CLASS))


_Maker = Callable[[str, Predictions, Examples], Measure]
_COUNTED = ("accuracy", "f1", "f1_macro", "matthews_correlation")
_MAKERS: dict[tuple[str, str], _Maker] = {
    **{("classification", name): _of_counts for name in _COUNTED},
    ("classification", "gender_parity"): _gender_parity,
    **{("regression", name): _of_rows for name in ("pearson", "spearman", "rmse")},
    ("grouped", "f1_answers"): _f1_answers,
    ("grouped", "exact_match"): _all_right,
    ("grouped", "accuracy"): _chosen,
    ("choice", "accuracy"): _chosen,
    ("entities", "accuracy"): _chosen,
    ("entities", "exact_match"): _chosen_entities,
    ("entities", "f1"): _chosen_entities,
    ("span", "exact_match"): _spans,
    ("span", "f1"): _spans,
}
