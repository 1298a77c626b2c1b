import numpy as np
import pytest

from subarch.tasks.base import Examples, Task, TaskData


def task(**changes):
    values = {
        "name": "t",
        "kind": "classification",
        "labels": ("a", "b"),
        "text": "text",
        "label": "label",
        "metrics": ("accuracy",),
        "main_metric": "accuracy",
    }
    return Task(**(values | changes))


def examples(*texts, labels=None):
    return Examples(list(texts), None, np.zeros(len(texts), np.int64) if labels is None else np.array(labels))


def test_take_keeps_texts_pairs_and_labels_together():
    whole = Examples(["a", "b", "c"], ["x", "y", "z"], np.array([0, 1, 2]))
    part = whole.take(np.array([2, 0]))
    assert (part.texts, part.pairs, part.labels.tolist()) == (["c", "a"], ["z", "x"], [2, 0])
    assert len(part) == 2


def test_examples_of_unequal_columns_are_refused():
    with pytest.raises(ValueError, match="1 pairs, expected 2"):
        Examples(["a", "b"], ["x"])


def test_keys_ignore_case_and_spacing_but_not_the_pair():
    keys = Examples(["A  b", "a b ", "a b"], ["x", "X", "y"]).text_keys()
    assert keys[0] == keys[1] != keys[2]


def test_task_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="main metric"):
        task(main_metric="f1")
    with pytest.raises(ValueError, match="regression"):
        task(kind="regression")
    with pytest.raises(ValueError, match="classification"):
        task(labels=("only",))


def test_num_outputs_is_a_logit_for_each_class_or_one_score():
    assert task(labels=("a", "b", "c")).num_outputs == 3
    assert task(kind="regression", labels=()).num_outputs == 1


def test_fingerprint_sees_texts_labels_order_and_split_but_no_notes():
    a, b, c = examples("one"), examples("two"), examples("three")
    base = TaskData(task(), a, b, c).fingerprint
    assert base == TaskData(task(), a, b, c, ("a note",)).fingerprint
    others = [
        TaskData(task(), b, a, c),
        TaskData(task(), examples("one!"), b, c),
        TaskData(task(), examples("one", labels=[1]), b, c),
        TaskData(task(labels=("b", "a")), a, b, c),
        TaskData(task(), examples("o", "ne"), b, c),
        TaskData(task(), Examples(["one"], ["p"], a.labels), b, c),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 7
