import time

import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring import scores
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import compare, holm, main_score, score, slices, standard_error


def task(kind="classification", metrics=("accuracy", "f1")):
    labels = ("no", "yes") if kind == "classification" else ()
    return Task(name="t", kind=kind, labels=labels, text="x", label="y", metrics=metrics, main_metric=metrics[0])


SPANS = task("span", ("f1", "exact_match"))


def classes(labels, right):
    """Predictions that are right where `right` says so."""
    return Predictions(outputs=np.eye(2)[np.where(right, labels, 1 - labels)])


def questions(answers, **columns):
    return Examples(["q"] * len(answers), ["c"] * len(answers), columns={"answers": answers, **columns})


def test_the_main_metric_is_the_score():
    examples = Examples(["x"] * 4, labels=np.array([0, 1, 1, 0]))
    said = classes(examples.labels, np.array([True, True, False, True]))
    found = score(task(), said, examples, seed=0)
    assert found["score"] == found["accuracy"] == main_score(task(), said, examples) == 0.75
    assert found["f1"] == pytest.approx(2 / 3) and found["intervals"].keys() == {"accuracy", "f1"}


def test_questions_with_and_without_an_answer_are_scored_apart():
    answers = [["red"], ["blue car"], [], []]
    said = Predictions(texts=["red", "blue", "x", "y"], no_answer=np.array([-3.0, 1.0, 2.0, -1.0]))
    found = score(SPANS, said, questions(answers), seed=0)
    assert found["exact_match"] == 0.5 and found["f1"] == 0.5
    assert (found["has_answer_exact_match"], found["no_answer_exact_match"]) == (0.5, 0.5)
    # From the surest on: red +1 (3 right in all), y -1, blue 0 or 2/3, x -1: nothing is better than stopping at red.
    assert (found["best_exact_match"], found["best_exact_match_threshold"]) == (0.75, -3.0)
    assert found["best_f1"] == 0.75
    assert found["intervals"].keys() >= {"f1", "has_answer_f1", "no_answer_exact_match"}


def test_questions_that_all_have_an_answer_are_not_split():
    found = score(SPANS, Predictions(texts=["a", "b"]), questions([["a"], ["c"]]), seed=0)
    assert found.keys() == {"score", "f1", "exact_match", "intervals"} and found["exact_match"] == 0.5


def test_no_labels_no_score():
    with pytest.raises(DataError, match="no labels"):
        score(task(), Predictions(outputs=np.eye(2)), Examples(["x"] * 2), seed=0)


def test_slices_count_score_and_mark_the_small_ones():
    labels = np.array([0, 1] * 30)
    right = np.r_[np.ones(50, bool), np.zeros(10, bool)]
    column = np.array(["a"] * 50 + ["b"] * 6 + ["c"] * 4)
    examples = Examples(["x"] * 60, labels=labels)
    found = slices(task(), classes(labels, right), examples, {"topic": column}, seed=0)["topic"]
    assert list(found) == ["a", "b", "c"]
    assert [row["count"] for row in found.values()] == [50, 6, 4]
    assert [row["accuracy"] for row in found.values()] == [1, 0, 0]
    assert [row.get("few", False) for row in found.values()] == [False, True, True]
    assert found["a"]["metric"] == "accuracy" and found["a"]["interval"] == [1, 1] and found["a"]["f1"] == 1


def test_within_a_label_classes_are_scored_by_accuracy():
    labels = np.array([0] * 20 + [1] * 20)
    right = np.array([True] * 30 + [False] * 10)
    column = np.array(["no"] * 20 + ["yes"] * 20)
    correlated = task(metrics=("matthews_correlation",))
    examples = Examples(["x"] * 40, labels=labels)
    found = slices(correlated, classes(labels, right), examples, {"label": column}, seed=0)["label"]
    assert found["yes"]["accuracy"] == 0.5 and "matthews_correlation" not in found["yes"]


def test_values_stand_in_the_order_of_their_numbers():
    column = np.array(["10-19 words", "1-9 words", "100-200 words"] * 5)
    examples = Examples(["x"] * 15, labels=np.zeros(15, int))
    found = slices(task(), classes(examples.labels, True), examples, {"length": column}, seed=0)
    assert list(found["length"]) == ["1-9 words", "10-19 words", "100-200 words"]


def test_answers_of_one_question_are_one_in_a_slice():
    grouped = Examples(["x"] * 6, labels=np.array([1, 0, 0, 1, 1, 0]), groups=np.array([0, 0, 1, 1, 2, 2]))
    said = Predictions(outputs=np.array([2.0, 1, 2, 1, 2, 1])[:, None])
    column = np.array(["a", "a", "b", "b", "a", "a"])
    found = slices(task("choice", ("accuracy",)), said, grouped, {"length": column}, seed=0)["length"]
    assert (found["a"]["accuracy"], found["b"]["accuracy"]) == (1, 0)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.6, 0.6]) == [1.0, 1.0] and holm([]) == []


def two_models(rng, count=2000):
    """Two models that err alike but for the topic "b", where the second is worse."""
    labels = rng.integers(2, size=count)
    topic = np.array(["a", "b", "c", "d"])[np.arange(count) % 4]
    right = rng.random(count) < 0.8
    worse = right & ~((topic == "b") & (rng.random(count) < 0.15))
    return Examples(["x"] * count, labels=labels), topic, classes(labels, right), classes(labels, worse)


def test_a_comparison_names_the_slice_that_differs():
    examples, topic, one, other = two_models(np.random.default_rng(0))
    found = compare(task(), one, other, examples, {"topic": topic}, seed=0)
    assert found["metric"] == "accuracy" and found["difference"] < 0 and found["interval"][1] < 0
    by_topic = found["slices"]["topic"]
    assert {value for value, row in by_topic.items() if row["differs"]} == {"b"}
    assert by_topic["b"]["p_adjusted"] == pytest.approx(4 * by_topic["b"]["p"]) and by_topic["a"]["p"] == 1
    assert by_topic["a"]["difference"] == 0


def test_models_that_do_not_differ_are_not_told_apart():
    """With twenty slices one in twenty would fall below 5 % by itself."""
    rng = np.random.default_rng(5)
    labels = rng.integers(2, size=2000)
    examples, topic = Examples(["x"] * 2000, labels=labels), np.array([str(n % 20) for n in range(2000)])
    one, other = (classes(labels, rng.random(2000) < 0.8) for _ in range(2))
    rows = compare(task(), one, other, examples, {"topic": topic}, seed=0)["slices"]["topic"].values()
    assert not any(row["differs"] for row in rows) and min(row["p"] for row in rows) < 0.2


def test_four_answers_alone_name_no_slice():
    labels = np.zeros(50, int)
    one, other = classes(labels, np.arange(50) >= 4), classes(labels, np.full(50, True))
    found = compare(task(), one, other, Examples(["x"] * 50, labels=labels), {"topic": np.full(50, "a")}, seed=0)
    assert found["p"] == found["slices"]["topic"]["a"]["p"] == pytest.approx(0.125)
    assert not found["slices"]["topic"]["a"]["differs"]


def test_equal_models_have_a_slice_named_in_at_most_one_comparison_of_twenty(monkeypatch):
    """35 slices of 20 rows; of a bootstrap's p, more than two in a hundred are below 0.01."""
    monkeypatch.setattr(scores, "COMPARISONS", 2800)
    named, found_p, topic = 0, [], np.array([str(number % 35) for number in range(700)])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels, hard = rng.integers(2, size=700), rng.normal(size=700)
        one, other = (classes(labels, hard + rng.normal(size=700) < 0.8) for _ in range(2))
        examples = Examples(["x"] * 700, labels=labels)
        found = compare(task(), one, other, examples, {"topic": topic}, seed=seed)
        rows = found["slices"]["topic"].values()
        found_p += [row["p"] for row in rows]
        named += any(row["differs"] for row in rows)
    assert named <= 1 and np.mean(np.asarray(found_p) <= 0.01) <= 0.01


def test_a_small_slice_is_not_tested():
    examples, topic, one, other = two_models(np.random.default_rng(0), 60)
    topic = np.array(["tiny"] * 3 + topic[3:].tolist())
    rows = compare(task(), one, other, examples, {"topic": topic}, seed=0)["slices"]["topic"]
    assert rows["tiny"]["few"] and rows["tiny"]["p"] is None and not rows["tiny"]["differs"]


def test_slices_of_many_questions_take_about_a_second():
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(50)]
    answers = [[] if n % 2 else [" ".join(rng.choice(words, size=1 + n % 5))] for n in range(12_000)]
    said = Predictions(texts=[" ".join(rng.choice(words, size=3)) for _ in answers], no_answer=rng.normal(size=12_000))
    titles = np.array([f"title {number % 35}" for number in range(12_000)])
    begun = time.process_time()
    found = slices(SPANS, said, questions(answers), {"title": titles}, seed=0)
    assert len(found["title"]) == 35 and time.process_time() - begun < 5


def test_the_standard_error_of_an_accuracy_is_that_of_a_share():
    examples = Examples(["x"] * 400, labels=np.arange(400) % 2)
    found = standard_error(task(), classes(examples.labels, np.arange(400) >= 100), examples, seed=0)
    assert found == pytest.approx(np.sqrt(0.75 * 0.25 / 400), rel=0.1)
