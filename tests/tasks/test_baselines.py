import numpy as np
import pytest

from subarch.tasks import baselines
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.baselines import majority, tfidf
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


@pytest.fixture
def data():
    return TaskData(classification(WORDS), colours(300, 0), colours(60, 1), colours(60, 2))


def test_majority_is_the_share_of_the_largest_class(data):
    baseline = majority(data)
    assert (
        compute("classification", ["accuracy"], baseline.predictions, data.test.labels)["accuracy"]
        == (data.test.labels == 1).mean()
    )
    assert baseline.predict_one("anything", None).shape == (3,)


def test_tfidf_learns_the_words(data):
    baseline = tfidf(data)
    assert compute("classification", ["accuracy"], baseline.predictions, data.test.labels)["accuracy"] == 1
    assert baseline.predict_one("the green one", None).argmax() == 1
    assert baseline.predictions.shape == (60, 3)
    assert baseline.parameters > 3 * 50


def test_predict_one_is_a_row_of_the_predictions(data):
    baseline = tfidf(data)
    assert np.allclose(baseline.predict_one(data.test.texts[4], None), baseline.predictions[4])


def test_pairs_are_compared():
    rng = np.random.default_rng(0)

    def pairs(count):
        first, second = rng.integers(5, size=(2, count))
        words = np.array(["alpha", "beta", "gamma", "delta", "omega"])
        labels = (first == second).astype(np.int64)
        return Examples(list(words[first]), list(words[second]), labels)

    data = TaskData(classification(("no", "yes"), text_pair="other"), pairs(600), pairs(100), pairs(100))
    baseline = tfidf(data)
    assert compute("classification", ["accuracy"], baseline.predictions, data.test.labels)["accuracy"] == 1
    assert baseline.predictions.shape == (100, 2)
    assert baseline.predict_one("beta", "beta").argmax() == 1


def test_regression():
    def scores(count, seed):
        labels = np.random.default_rng(seed).integers(0, 5, size=count).astype(np.float32)
        return Examples([f"grade {'abcde'[int(label)]}" for label in labels], None, labels)

    data = TaskData(REGRESSION, scores(200, 0), scores(50, 1), scores(50, 2))
    floor, words = (
        compute("regression", ["rmse"], f(data).predictions, data.test.labels)["rmse"] for f in (majority, tfidf)
    )
    assert words < 0.3 < 1 < floor
    assert tfidf(data).predict_one("grade a", None).shape == (1,)
    assert majority(data).predictions.shape == (50,)


def test_many_rows_are_cut_the_same_way_each_time(data, monkeypatch):
    monkeypatch.setattr(baselines, "TRAIN_ROWS", 100)
    one, two = tfidf(data), tfidf(data)
    assert one.parameters == two.parameters
    assert np.array_equal(one.predictions, two.predictions)


def test_a_class_that_the_cut_misses_is_never_predicted(data):
    kept = data.train.take(np.flatnonzero(data.train.labels != 2))
    predictions = tfidf(TaskData(data.task, kept, data.validation, data.test)).predictions
    assert set(predictions.argmax(1)) <= {0, 1}
    assert np.isfinite(predictions).all()
