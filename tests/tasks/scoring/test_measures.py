import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from subarch.errors import ConfigError, DataError, SubarchError
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.measures import higher_is_better, measure, metric_names
from subarch.tasks.scoring.metrics import compute
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import compare, score, slices
from subarch.tasks.scoring.slices import slice_columns


def task(kind="classification", labels=("no", "yes"), metrics=("accuracy",)):
    labels = labels if kind == "classification" else ()
    return Task(name="t", kind=kind, labels=labels, text="x", label="y", metrics=metrics, main_metric=metrics[0])


def texts(count):
    return [f"text {number}" for number in range(count)]


def one_hot(classes, width=2):
    return np.eye(width)[list(classes)]


def value(name, kind, outputs, examples, labels=("no", "yes")):
    return measure(task(kind, labels, (name,)), name, Predictions(outputs=outputs), examples).value()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_f1_over_answers_is_that_of_scikit_learn(rows, seed):
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(2, size=rows), rng.integers(2, size=rows)
    examples = Examples(texts(rows), labels=labels, groups=np.sort(rng.integers(6, size=rows)))
    found = value("f1_answers", "classification", one_hot(predicted), examples)
    assert found == pytest.approx(sk.f1_score(labels, predicted, zero_division=0))


def test_a_question_is_right_when_all_its_answers_are():
    examples = Examples(texts(7), labels=np.array([1, 0, 1, 1, 0, 0, 1]), groups=np.array([2, 2, 2, 5, 5, 9, 9]))
    predicted = one_hot([1, 0, 1, 1, 1, 1, 0])
    # Of the first question all three are right, of the second one of two, of the third none.
    assert value("exact_match", "classification", predicted, examples) == pytest.approx(1 / 3)


def test_the_answer_of_a_choice_is_its_highest_output():
    groups = np.array([0, 0, 0, 1, 1, 2, 2])
    examples = Examples(texts(7), labels=np.array([0, 1, 0, 1, 0, 0, 1]), groups=groups)
    outputs = np.array([0.1, 0.9, 0.3, -5.0, -6.0, 2.0, 1.0])[:, None]
    assert value("accuracy", "choice", outputs, examples) == pytest.approx(2 / 3)
    # Cast as classes, the margin of "right" over "wrong" decides, not the class.
    logits = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    assert value("accuracy", "classification", logits, examples) == pytest.approx(2 / 3)


def test_of_equal_outputs_the_first_row_is_the_answer():
    examples = Examples(texts(4), labels=np.array([1, 0, 0, 1]), groups=np.array([0, 0, 1, 1]))
    assert value("accuracy", "choice", np.zeros((4, 1)), examples) == 0.5


def test_entities_are_compared_as_texts_with_every_accepted_one():
    columns = {
        "entity": ["The Hague", "Oslo", "Peter Smith", "Jane Smith"],
        "answers": [["hague!"]] * 2 + [["Jane Smith", "Jane Mary Smith"]] * 2,
    }
    labels = np.array([0, 0, 0, 1])
    examples = Examples(texts(4), labels=labels, groups=np.array([0, 0, 1, 1]), columns=columns)
    outputs = np.array([1.0, 0.0, 1.0, 0.0])[:, None]
    # "The Hague" is "hague" without article and punctuation; "Peter Smith" shares one word of two with "Jane Smith".
    assert value("exact_match", "choice", outputs, examples) == 0.5
    assert value("f1", "choice", outputs, examples) == pytest.approx((1 + 0.5) / 2)


def test_gender_parity_is_the_share_of_pairs_with_one_answer():
    pairs = [7, 7, 3, 3, 4]
    examples = Examples(texts(5), labels=np.zeros(5, int), columns={"pair_id": pairs})
    assert value("gender_parity", "classification", one_hot([1, 1, 0, 1, 1]), examples) == 0.5
    alone = Examples(texts(2), labels=np.zeros(2, int), columns={"pair_id": [1, 2]})
    assert value("gender_parity", "classification", one_hot([1, 1]), alone) == -1
    with pytest.raises(ConfigError, match="expected a column 'pair_id'"):
        value("gender_parity", "classification", one_hot([1, 1]), Examples(texts(2), labels=np.zeros(2, int)))


def spans(answers, predictions, name="f1"):
    examples = Examples(texts(len(answers)), texts(len(answers)), columns={"answers": answers})
    return measure(task("span", metrics=("f1", "exact_match")), name, predictions, examples).value()


def test_the_threshold_decides_whether_a_span_is_given():
    answers = [["red car"], [], ["blue"]]
    said = Predictions(texts=["a red car", "green", "blue sky"], no_answer=np.array([-1.0, 2.0, 0.5]))
    assert spans(answers, said) == pytest.approx((1 + 1 + 0) / 3)  # 0.5 is above 0: the third is left empty
    later = Predictions(texts=said.texts, no_answer=said.no_answer, threshold=0.5)
    assert spans(answers, later) == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert spans(answers, later, "exact_match") == pytest.approx(2 / 3)
    assert spans(answers, Predictions(texts=["", "", ""])) == pytest.approx(1 / 3)


def test_one_class_alone_and_constant_predictions():
    labels = np.ones(6, int)
    examples = Examples(texts(6), labels=labels)
    assert value("matthews_correlation", "classification", one_hot(labels), examples) == 0
    assert value("f1", "classification", one_hot([0] * 6), examples) == 0
    grouped = Examples(texts(6), labels=np.zeros(6, int), groups=np.arange(6))
    assert value("f1_answers", "classification", one_hot([0] * 6), grouped) == 0
    assert value("exact_match", "classification", one_hot([0] * 6), grouped) == 1


def test_the_value_on_some_units_is_the_value_of_those_examples_alone():
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(2, size=30), np.repeat(np.arange(10), 3)
    outputs = rng.normal(size=(30, 2))
    examples = Examples(texts(30), labels=labels, groups=groups)
    rows = np.flatnonzero(np.isin(groups, [1, 4, 8]))
    for name in ("f1_answers", "exact_match", "accuracy"):
        whole = measure(task(), name, Predictions(outputs=outputs), examples)
        assert whole.value(whole.units(rows)) == value(name, "classification", outputs[rows], examples.take(rows))


def test_what_cannot_be_measured_is_refused():
    examples = Examples(texts(2), labels=np.array([0, 1]))
    with pytest.raises(ConfigError, match="'pearson' does not suit t, a classification"):
        value("pearson", "classification", one_hot([0, 1]), examples)
    with pytest.raises(DataError, match="no labels"):
        value("accuracy", "classification", one_hot([0, 1]), Examples(texts(2)))
    with pytest.raises(DataError, match="not grouped by question"):
        value("accuracy", "choice", np.zeros((2, 1)), examples)
    with pytest.raises(SubarchError, match="1 of 2 predictions are not finite"):
        value("accuracy", "classification", np.array([[0, np.nan], [1, 0]]), examples)
    with pytest.raises(ConfigError, match="f1 got 3 classes"):
        value("f1", "classification", one_hot([0, 1], 3), examples, labels=("a", "b", "c"))
    with pytest.raises(DataError, match="no answers"):
        measure(task("span", metrics=("f1",)), "f1", Predictions(texts=["a"]), Examples(["q"], ["c"]))


def test_only_errors_are_better_when_lower():
    grouped = Examples(texts(2), labels=np.zeros(2, int), groups=np.zeros(2, int))
    names = {*metric_names(task(), grouped), *metric_names(task("regression", metrics=("rmse",)), grouped)}
    assert names == {"f1_answers", "exact_match", "accuracy", "pearson", "spearman", "rmse"}
    assert [name for name in names if not higher_is_better(name)] == ["rmse"]


@pytest.fixture
def many_classes():
    """200 examples of 20,000 classes, every other one right: tables of pairs of classes would take 3.2 GB each."""
    rng = np.random.default_rng(0)
    labels = rng.integers(20_000, size=200)
    outputs = np.zeros((200, 20_000), dtype=np.float32)
    outputs[np.arange(200), np.where(np.arange(200) % 2, labels, rng.integers(20_000, size=200))] = 1.0
    names = tuple(map(str, range(20_000)))
    asked = task(labels=names, metrics=("accuracy", "f1_macro", "matthews_correlation"))
    return asked, Predictions(outputs=outputs), Examples(texts(200), labels=labels)


def test_scoring_takes_memory_for_classes_not_for_pairs_of_them(many_classes):
    asked, said, examples = many_classes
    columns = slice_columns(asked, examples)
    tracemalloc.start()
    try:
        found = score(asked, said, examples, seed=0)
        by_slice = slices(asked, said, examples, columns, seed=0)
        compared = compare(asked, said, Predictions(outputs=said.outputs[::-1]), examples, {}, seed=0)
        whole = compute("classification", asked.metrics, said.outputs, examples.labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    predicted = said.outputs.argmax(1)
    occurring = np.union1d(examples.labels, predicted)
    macro = sk.f1_score(examples.labels, predicted, labels=occurring, average="macro", zero_division=0)
    assert found["f1_macro"] == pytest.approx(macro) and whole["f1_macro"] == pytest.approx(macro)
    assert found["accuracy"] == whole["accuracy"] == (predicted == examples.labels).mean()
    assert len(by_slice["label"]) == len(np.unique(examples.labels)) and compared["p"] < 0.01
    assert peak < 200e6


def test_classes_that_do_not_occur_change_nothing():
    rng = np.random.default_rng(1)
    labels, outputs = rng.integers(4, size=60), rng.normal(size=(60, 4))
    examples, wide = Examples(texts(60), labels=labels), np.full((60, 300), -9.0)
    wide[:, [0, 1, 2, 3]] = outputs
    other = rng.normal(size=(60, 300))
    other[:, 4:] = -9.0
    for name in ("accuracy", "f1_macro", "matthews_correlation"):
        small = task(labels=tuple("abcd"), metrics=(name,))
        large = task(labels=tuple(map(str, range(300))), metrics=(name,))
        found = [
            score(small, Predictions(outputs=outputs), examples, 0),
            score(large, Predictions(outputs=wide), examples, 0),
        ]
        assert found[0] == found[1]
        pairs = [(small, outputs, other[:, :4]), (large, wide, other)]
        one, two = (
            compare(asked, Predictions(outputs=ours), Predictions(outputs=theirs), examples, {}, 0)
            for asked, ours, theirs in pairs
        )
        assert one == two
