import numpy as np
import pytest

from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.bootstrap import interval, resampled, resampled_differences
from subarch.tasks.scoring.measures import measure
from subarch.tasks.scoring.predictions import Predictions

CLASSES = ("accuracy", "f1", "f1_macro", "matthews_correlation")
NUMBERS = ("pearson", "spearman", "rmse")


def made(name, rows=300, seed=3, groups=None):
    """A measure of noisy predictions."""
    rng = np.random.default_rng(seed)
    kind = "regression" if name in NUMBERS else "classification"
    labels = rng.normal(size=rows) if kind == "regression" else rng.integers(2, size=rows)
    noisy = labels + rng.normal(size=rows)
    outputs = noisy[:, None] if kind == "regression" else np.stack((1 - noisy, noisy), 1)
    names = ("a", "b") if kind == "classification" else ()
    task = Task(name="t", kind=kind, labels=names, text="x", label="y", metrics=(name,), main_metric=name)
    return measure(task, name, Predictions(outputs=outputs), Examples(["x"] * rows, labels=labels, groups=groups))


@pytest.mark.parametrize("name", CLASSES + NUMBERS)
def test_intervals_hold_the_score_and_repeat(name):
    found = made(name)
    low, high = interval(found, seed=5)
    assert low < found.value() < high
    assert (low, high) == interval(found, seed=5)
    assert (low, high) != interval(found, seed=6)


def test_the_interval_of_accuracy_is_the_binomial_one():
    labels = np.array([0] * 320 + [1] * 80)
    task = Task(
        name="t", kind="classification", labels=("a", "b"), text="x", label="y", metrics=("accuracy",),
        main_metric="accuracy",
    )  # fmt: skip
    outputs = np.array([[1.0, 0.0]] * 400)
    found = measure(task, "accuracy", Predictions(outputs=outputs), Examples(["x"] * 400, labels=labels))
    expected = 1.96 * (0.8 * 0.2 / 400) ** 0.5
    low, high = np.percentile(resampled(found, np.random.default_rng(0), resamples=4000), [2.5, 97.5])
    assert (low, high) == pytest.approx((0.8 - expected, 0.8 + expected), abs=0.005)


def test_questions_are_drawn_with_all_their_answers():
    """Ten copies of each row tell no more than one: the interval over questions is the wider one."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(2, size=50), 10)
    outputs = np.repeat(rng.normal(size=(50, 2)), 10, axis=0)
    task = Task(
        name="t", kind="classification", labels=("a", "b"), text="x", label="y", metrics=("f1_answers", "f1"),
        main_metric="f1_answers",
    )  # fmt: skip
    said = Predictions(outputs=outputs)
    grouped = Examples(["x"] * 500, labels=labels, groups=np.repeat(np.arange(50), 10))
    wide = interval(measure(task, "f1_answers", said, grouped), seed=0)
    narrow = interval(measure(task, "f1", said, Examples(["x"] * 500, labels=labels)), seed=0)
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


@pytest.mark.parametrize("name", ["f1", "pearson", "exact_match"])
def test_a_difference_is_paired(name):
    groups = np.repeat(np.arange(100), 3) if name == "exact_match" else None
    one, other = made(name, groups=groups), made(name, groups=groups)
    assert np.abs(resampled_differences(one, other, np.random.default_rng(0), resamples=50)).max() < 1e-12
    worse = made(name, seed=4, groups=groups)
    drawn = resampled_differences(one, worse, np.random.default_rng(0), resamples=2000)
    assert drawn.mean() == pytest.approx(worse.value() - one.value(), abs=4 * drawn.std() / 2000**0.5 + 0.01)


def test_the_difference_of_two_models_that_err_together_is_surer_than_each():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=400)
    right = rng.random(400) < 0.7
    better = right | (rng.random(400) < 0.1)
    task = Task(
        name="t", kind="classification", labels=("a", "b"), text="x", label="y", metrics=("accuracy",),
        main_metric="accuracy",
    )  # fmt: skip
    examples = Examples(["x"] * 400, labels=labels)
    one, other = (
        measure(task, "accuracy", Predictions(outputs=np.eye(2)[np.where(kept, labels, 1 - labels)]), examples)
        for kept in (right, better)
    )
    low, high = interval(one, seed=0)
    drawn = resampled_differences(one, other, np.random.default_rng(0))
    assert drawn.min() >= 0 and np.ptp(np.percentile(drawn, [2.5, 97.5])) < 0.6 * (high - low)


def test_a_part_of_the_units_alone():
    found = made("accuracy", 400)
    units = np.arange(40)
    some, all_of_them = interval(found, 0, units), interval(found, 0)
    assert some[1] - some[0] > 2 * (all_of_them[1] - all_of_them[0])
    assert some[0] <= found.value(units) <= some[1]
