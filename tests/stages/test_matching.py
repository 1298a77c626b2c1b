import numpy as np
import pytest

from subarch.errors import ConfigError
from subarch.inputs.matching import in_order, listed, match_classes, renumbered, split_names
from subarch.tasks.base import Examples, Task, TaskData


def task(*labels, ordered=False):
    return Task(
        name="t", kind="classification", labels=labels, ordered=ordered, text="text", label="label",
        metrics=("accuracy",), main_metric="accuracy",
    )  # fmt: skip


def data(*labels):
    rows = Examples(["a", "b", "c"], None, np.array([0, 1, 0]))
    return TaskData(task(*labels), rows, rows, rows)


def test_equal_names_are_matched_without_a_word():
    match = match_classes(task("bad", "good"), ("good", "bad"))
    assert (match.order, match.names, match.note, match.assumed) == ((1, 0), ("good", "bad"), None, False)


def test_another_case_is_matched_and_told():
    match = match_classes(task("BAD", "Very Good"), ("very_good", "bad"))
    assert match.order == (1, 0) and match.names == ("very_good", "bad") and not match.assumed
    assert match.note == "classes are matched whatever their case: BAD is bad, Very Good is very_good"


def test_names_that_differ_in_case_alone_are_not_guessed():
    assert match_classes(task("us", "US"), ("Us", "uS")) is None


def test_numbers_are_the_models_classes():
    match = match_classes(task("0", "1", "10", *map(str, range(2, 10))), tuple("abcdefghijk"))
    assert match.order[:4] == (0, 1, 10, 2) and match.names[10] == "k"
    assert "0 is a, 1 is b" in match.note and not match.assumed


def test_numbers_and_outputs_without_names_need_no_word():
    match = match_classes(task("0", "1", "2"), ("LABEL_0", "LABEL_1", "LABEL_2"))
    assert (match.order, match.names, match.note, match.assumed) == ((0, 1, 2), ("0", "1", "2"), None, False)


def test_names_beside_outputs_without_names_are_an_assumption():
    match = match_classes(task("bad", "good"), ("LABEL_0", "LABEL_1"))
    assert match.order == (0, 1) and match.assumed and "LABEL_0 is bad, LABEL_1 is good" in match.note


@pytest.mark.parametrize("names", [("a", "b"), ("bad", "good", "other")])
def test_other_classes_do_not_match(names):
    assert match_classes(task("bad", "good"), names) is None


def test_numbers_that_do_not_begin_with_0_are_not_guessed():
    assert match_classes(task("1", "2"), ("bad", "good")) is None


def test_a_given_order_beats_all_names():
    match = match_classes(task("good", "bad", ordered=True), ("bad", "good"))
    assert match.order == (0, 1) and match.names == ("good", "bad") and not match.assumed


def test_data_are_numbered_as_the_model_is():
    found = renumbered(data("bad", "good"), match_classes(task("bad", "good"), ("good", "bad")))
    assert found.task.labels == ("good", "bad") and found.train.labels.tolist() == [1, 0, 1]


def test_the_order_that_was_given_numbers_the_classes():
    found = in_order(data("bad", "good"), ("good", "bad"))
    assert found.task.ordered and found.task.labels == ("good", "bad")
    assert found.test.labels.tolist() == [1, 0, 1]
    assert in_order(data("bad", "good"), None).task.labels == ("bad", "good")


@pytest.mark.parametrize("labels", [("good",), ("good", "good"), ("good", "poor")])
def test_an_order_of_other_classes_is_refused(labels):
    with pytest.raises(ConfigError, match=r"--labels is good.*, but the classes of the data are bad,good"):
        in_order(data("bad", "good"), labels)


def test_names_with_commas_survive_the_command_line():
    names = ("a, b", "c", 'd "e"')
    assert split_names(listed(names)) == names
    assert split_names("World, Sports,Sci/Tech") == ("World", "Sports", "Sci/Tech")
    assert split_names(["a", "b"]) == ["a", "b"]
