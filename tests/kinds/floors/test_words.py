from functools import partial

import numpy as np
import pytest

from subarch.kinds.floors import words
from subarch.kinds.floors.baseline import drawn
from subarch.kinds.floors.words import LOGISTIC, RIDGE, mean, most_frequent, tfidf
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.metrics import compute


def classification(labels, **more):
    return Task(
        name="t",
        kind="classification",
        labels=labels,
        text="text",
        label="label",
        metrics=("accuracy",),
        main_metric="accuracy",
        **more,
    )


REGRESSION = Task(name="r", kind="regression", text="text", label="y", metrics=("pearson", "rmse"), main_metric="rmse")
WORDS = ("red", "green", "blue")


def colours(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, p=[0.2, 0.5, 0.3], size=count)
    return Examples([f"a {WORDS[label]} thing {rng.integers(50)}" for label in labels], None, labels)


def ask(baseline, text, pair=None):
    return baseline.answer(Examples([text], pair)).outputs[0]


@pytest.fixture
def data():
    return TaskData(classification(WORDS), colours(300, 0), colours(60, 1), colours(60, 2))


def test_majority_is_the_share_of_the_largest_class(data):
    baseline = most_frequent(data)
    assert (
        compute("classification", ["accuracy"], baseline.predictions.outputs, data.test.labels)["accuracy"]
        == (data.test.labels == 1).mean()
    )
    assert ask(baseline, "anything").shape == (3,)


def test_tfidf_learns_the_words(data):
    baseline = tfidf(data, LOGISTIC)
    assert compute("classification", ["accuracy"], baseline.predictions.outputs, data.test.labels)["accuracy"] == 1
    assert ask(baseline, "the green one").argmax() == 1
    assert baseline.predictions.outputs.shape == (60, 3)
    assert baseline.parameters > 3 * 50


def test_an_answer_is_a_row_of_the_predictions(data):
    baseline = tfidf(data, LOGISTIC)
    assert np.allclose(ask(baseline, data.test.texts[4]), baseline.predictions.outputs[4])


def test_pairs_are_compared():
    rng = np.random.default_rng(0)

    def pairs(count):
        first, second = rng.integers(5, size=(2, count))
        words = np.array(["alpha", "beta", "gamma", "delta", "omega"])
        labels = (first == second).astype(np.int64)
        return Examples(list(words[first]), list(words[second]), labels)

    data = TaskData(classification(("no", "yes"), text_pair="other"), pairs(600), pairs(100), pairs(100))
    baseline = tfidf(data, LOGISTIC)
    assert compute("classification", ["accuracy"], baseline.predictions.outputs, data.test.labels)["accuracy"] == 1
    assert baseline.predictions.outputs.shape == (100, 2)
    assert ask(baseline, "beta", ["beta"]).argmax() == 1


def test_regression():
    def scores(count, seed):
        labels = np.random.default_rng(seed).integers(0, 5, size=count).astype(np.float32)
        return Examples([f"grade {'abcde'[int(label)]}" for label in labels], None, labels)

    data = TaskData(REGRESSION, scores(200, 0), scores(50, 1), scores(50, 2))
    floor, ridge = mean(data), tfidf(data, RIDGE)
    constant, counted = (
        compute("regression", ["rmse"], found.predictions.outputs, data.test.labels)["rmse"] for found in (floor, ridge)
    )
    assert counted < 0.3 < 1 < constant
    assert ask(ridge, "grade a") < 1 < ask(ridge, "grade e")
    assert floor.predictions.outputs.shape == (50,) and ask(floor, "any") == data.train.labels.mean()
    assert "logistic" not in ridge.said + ridge.label and "frequent" not in floor.label


def test_many_rows_are_cut_the_same_way_each_time(data, monkeypatch):
    whole = tfidf(data, LOGISTIC)
    monkeypatch.setattr(words, "drawn", partial(drawn, count=100))
    one, two = tfidf(data, LOGISTIC), tfidf(data, LOGISTIC)
    assert one.parameters == two.parameters
    assert np.array_equal(one.predictions.outputs, two.predictions.outputs)
    assert one.parameters < whole.parameters


def test_a_class_that_the_cut_misses_is_never_predicted(data):
    kept = data.train.take(np.flatnonzero(data.train.labels != 2))
    predictions = tfidf(TaskData(data.task, kept, data.validation, data.test), LOGISTIC).predictions.outputs
    assert set(predictions.argmax(1)) <= {0, 1}
    assert np.isfinite(predictions).all()
