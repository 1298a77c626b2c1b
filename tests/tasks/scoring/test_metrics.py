import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from subarch.errors import ConfigError, SubarchError
from subarch.tasks.scoring.metrics import METRICS, compute

CLASSIFICATION = ["accuracy", "f1_macro", "matthews_correlation"]
REGRESSION = ["pearson", "spearman", "rmse"]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10_000))
def test_classification_agrees_with_scikit_learn(classes, rows, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    predicted = logits.argmax(1)
    ours = compute("classification", CLASSIFICATION, logits, labels)
    occurring = sorted(set(labels) | set(predicted))
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(labels, predicted))
    assert ours["f1_macro"] == pytest.approx(
        sk.f1_score(labels, predicted, labels=occurring, average="macro", zero_division=0)
    )
    if len(occurring) > 1:
        assert ours["matthews_correlation"] == pytest.approx(sk.matthews_corrcoef(labels, predicted), abs=1e-12)
    if classes == 2:
        ours_f1 = compute("classification", ["f1"], logits, labels)["f1"]
        assert ours_f1 == pytest.approx(sk.f1_score(labels, predicted, zero_division=0))


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 60), st.integers(0, 10_000))
def test_regression_agrees_with_scipy(rows, seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=rows), np.round(rng.normal(size=rows), 1).astype(np.float32)
    labels[0] += 1
    ours = compute("regression", REGRESSION, scores[:, None], labels)
    assert ours["pearson"] == pytest.approx(stats.pearsonr(scores, labels.astype(float)).statistic)
    assert ours["spearman"] == pytest.approx(stats.spearmanr(scores, labels).statistic)
    assert ours["rmse"] == pytest.approx(sk.mean_squared_error(labels, scores) ** 0.5)


def test_what_has_no_value_by_the_formula_is_zero():
    same = np.array([[1.0, 0.0]] * 4)
    assert compute("classification", ["matthews_correlation"], same, np.array([0, 1, 0, 1])) == {
        "matthews_correlation": 0.0
    }
    assert compute("classification", ["f1"], same, np.zeros(4, int)) == {"f1": 0.0}
    constant = np.full(5, 0.1, np.float32)
    rising = np.arange(5.0)
    assert compute("regression", ["pearson", "spearman"], constant, rising) == {
        "pearson": 0.0,
        "spearman": 0.0,
    }
    assert compute("regression", ["pearson", "spearman"], rising, constant) == {
        "pearson": 0.0,
        "spearman": 0.0,
    }


def test_a_correlation_does_not_mistake_small_numbers_for_constants():
    assert compute("regression", ["pearson"], np.arange(5.0) * 1e-9, np.arange(5.0))["pearson"] == pytest.approx(1)


def test_predictions_that_are_not_finite_get_no_score():
    with pytest.raises(SubarchError, match="2 of 3 predictions"):
        compute("regression", ["rmse"], np.array([np.nan, np.inf, 0]), np.zeros(3))
    with pytest.raises(SubarchError, match="0 predictions for 0 labels"):
        compute("regression", ["rmse"], np.zeros(0), np.zeros(0))


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="did you mean accuracy"):
        compute("classification", ["acuracy"], np.eye(2), np.arange(2))
    with pytest.raises(ConfigError, match="pearson is a metric of a regression"):
        compute("classification", ["pearson"], np.eye(2), np.arange(2))
    with pytest.raises(ConfigError, match="f1 got 3 classes"):
        compute("classification", ["f1"], np.eye(3), np.arange(3))


def test_only_errors_are_better_when_lower():
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["rmse"]
