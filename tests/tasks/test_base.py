import numpy as np
import pytest

from subarch.tasks import base
from subarch.tasks.base import Examples, Task, TaskData, blocks

LONG_TEXTS = [
    "A bc  def\tGH " * 9,
    "plain words in one line " * 3 + "END",
    "x" * 40,
    "x" * 40 + " y",
    " " * 30,
    "a\x1cb " * 9,
]


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


def test_joined_examples_keep_what_both_have_and_groups_apart():
    first = Examples(["a", "b"], ["x", "y"], np.array([0, 1]), np.array([4, 4]), {"id": ["1", "2"], "only": [0, 0]})
    second = Examples(["c", "d"], ["z", "w"], np.array([1, 1]), np.array([0, 7]), {"id": ["3", "4"], "other": [1, 1]})
    whole = first.joined(second)
    assert (whole.texts, whole.pairs, whole.labels.tolist()) == (
        ["a", "b", "c", "d"],
        ["x", "y", "z", "w"],
        [0, 1, 1, 1],
    )
    assert whole.groups.tolist() == [4, 4, 5, 12]
    assert whole.columns == {"id": ["1", "2", "3", "4"]}


def test_joining_nothing_changes_nothing():
    one = Examples(["a"], None, np.array([2]), np.array([3]), {"id": ["1"]})
    for whole in (one.joined(one.take(np.arange(0))), one.take(np.arange(0)).joined(one)):
        assert (whole.texts, whole.labels.tolist(), whole.groups.tolist(), dict(whole.columns)) == (
            ["a"], [2], [3], {"id": ["1"]},
        )  # fmt: skip


@pytest.mark.parametrize("other", [
    Examples(["b"], ["x"], np.array([0])), Examples(["b"]), Examples(["b"], None, np.array([0]), np.array([0])),
])  # fmt: skip
def test_unlike_examples_cannot_be_joined(other):
    with pytest.raises(ValueError, match="with and without pairs, labels or groups"):
        Examples(["a"], None, np.array([0])).joined(other)


@pytest.mark.parametrize("text", [*LONG_TEXTS, " a  B\tc ", "İ ß\u3000x", "one"])
def test_keys_of_long_texts_are_made_block_by_block(text, monkeypatch):
    monkeypatch.setattr(base, "BLOCK", 7)
    assert Examples([text]).text_keys() == [(" ".join(text.split()).casefold(), "")]
    assert " ".join(" ".join(blocks(text)).split()) == " ".join(text.split())
