import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.overlap import count_overlaps, drop_overlap, shared_rows


def examples(texts, labels=None, pairs=None, groups=None):
    labels = np.array(labels if labels is not None else [row % 2 for row in range(len(texts))])
    return Examples(list(texts), pairs, labels, None if groups is None else np.array(groups))


def data(train, validation, test, kind="classification"):
    names = ("no", "yes") if kind == "classification" else ()
    task = Task(
        name="t", kind=kind, labels=names, text="text", label="label", metrics=("accuracy",), main_metric="accuracy"
    )
    return TaskData(task, train, validation, test, ("a note",))


@pytest.mark.parametrize("size", [3, 30])
def test_rows_are_shared_where_texts_are_equal_but_for_case_and_spacing(size):
    others = examples([f"other {row}" for row in range(size)] + ["A  film", "the end"])
    mine = examples(["a film", "a film!", "The end ", "a film", "end"])
    assert shared_rows(mine, others).tolist() == [True, False, True, True, False]


def test_pairs_are_shared_where_both_texts_are():
    mine, others = examples("aab", pairs=["x", "y", "x"]), examples("Ab", pairs=["Y", "y"])
    assert shared_rows(mine, others).tolist() == [False, True, False]


def test_every_row_counts():
    found = count_overlaps(data(examples("abcd"), examples("axyx"), examples("aabx")))
    assert found == {("validation", "train"): 1, ("test", "train"): 3, ("test", "validation"): 3}


def test_train_loses_what_stands_elsewhere():
    whole = data(examples("ABcdef"), examples("ax"), examples("by"))
    less = drop_overlap(whole)
    assert (less.train.texts, less.train.labels.tolist()) == (["c", "d", "e", "f"], [0, 1, 0, 1])
    assert (less.validation, less.test) == (whole.validation, whole.test)
    assert less.notes == ("a note", "2 rows of train stand in validation or test too and are left out")
    assert not any(rows for (_, other), rows in count_overlaps(less).items() if other == "train")
    assert drop_overlap(less) is less


def test_a_question_goes_whole():
    whole = data(examples("abcdef", groups=[0, 0, 1, 1, 2, 2]), examples("x"), examples("d"), kind="choice")
    assert drop_overlap(whole).train.texts == ["a", "b", "e", "f"]


@pytest.mark.parametrize(
    ("test", "message"),
    [("abcd", "all 4 rows of train stand in"), ("bd", "all rows of train with the label 'yes' stand in")],
)
def test_what_cannot_be_dropped(test, message):
    with pytest.raises(DataError, match=message):
        drop_overlap(data(examples("abcd"), examples("x"), examples(test)))
