import numpy as np
import pytest
from sklearn import metrics as sk

from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.classes import class_scores
from subarch.tasks.scoring.predictions import Predictions

LABELS = ("rare", "unused", "usual")
TASK = Task(
    name="t", kind="classification", labels=LABELS, text="x", label="y", metrics=("accuracy",), main_metric="accuracy"
)


def found(labels, predicted):
    examples = Examples(["x"] * len(labels), labels=np.array(labels))
    return class_scores(TASK, Predictions(outputs=np.eye(3)[predicted]), examples, seed=0)


def test_each_class_has_its_recall():
    labels, predicted = [0] * 4 + [2] * 12, [0, 0, 0, 2] + [2] * 9 + [1, 1, 0]
    scores = found(labels, predicted)
    assert scores["recalls"] == {"rare": 0.75, "usual": 0.75} and scores["examples"] == {"rare": 4, "usual": 12}
    macro = sk.f1_score(labels, predicted, average="macro", zero_division=0)
    assert scores["f1_macro"] == pytest.approx(macro)
    low, high = scores["f1_macro_interval"]
    assert low < macro < high
    assert scores["matthews_correlation"] == pytest.approx(sk.matthews_corrcoef(labels, predicted))
    low, high = scores["matthews_correlation_interval"]
    assert low < scores["matthews_correlation"] < high
    assert (scores["answers"], scores["answer"]) == (3, "usual")
    assert (scores["commonest"], scores["commonest_share"], scores["uneven"]) == ("usual", 0.75, True)


def test_one_answer_is_counted_as_one():
    scores = found([0] * 2 + [2] * 48, [2] * 50)
    assert (scores["answers"], scores["answer"], scores["recalls"]) == (1, "usual", {"rare": 0.0, "usual": 1.0})
    assert scores["f1_macro"] == pytest.approx(sk.f1_score([0] * 2 + [2] * 48, [2] * 50, average="macro"))
    assert scores["matthews_correlation_interval"] == [0.0, 0.0]


def test_classes_of_about_one_size_are_even():
    assert not found([0] * 20 + [2] * 39, [0] * 59)["uneven"]
    assert found([0] * 20 + [2] * 40, [0] * 60)["uneven"]
    assert not found([2] * 9, [2] * 9)["uneven"]


def test_what_has_no_classes_has_no_scores_of_them():
    outputs = Predictions(outputs=np.eye(3)[[0, 2]])
    grouped = Examples(["x"] * 2, labels=np.array([0, 2]), groups=np.array([0, 0]))
    for examples in (Examples(["x"] * 2), grouped, Examples([], labels=np.zeros(0, int))):
        assert class_scores(TASK, outputs, examples, seed=0) == {}
    numbers = Task(name="r", kind="regression", text="x", label="y", metrics=("rmse",), main_metric="rmse")
    assert class_scores(numbers, outputs, Examples(["x"] * 2, labels=np.zeros(2)), seed=0) == {}
