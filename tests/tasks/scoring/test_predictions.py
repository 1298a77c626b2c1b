import numpy as np

from subarch.tasks.base import Examples
from subarch.tasks.scoring.predictions import Predictions, chosen_rows, with_ids


def test_the_threshold_empties_answers():
    said = Predictions(texts=["a", "b", "c"], no_answer=np.array([0.0, 0.1, np.inf]))
    assert said.answers == ["a", "", ""]
    assert Predictions(texts=["a", ""]).answers == ["a", ""]
    always = Predictions(texts=["a"], no_answer=np.array([5.0]), threshold=np.inf)
    assert always.answers == ["a"]


def test_rows_are_taken_with_all_that_is_known_of_them():
    said = Predictions(texts=["a", "b", "c"], no_answer=np.array([0.0, 1.0, 2.0]), threshold=1.5)
    taken = said.take(np.array([2, 0]))
    assert (taken.texts, taken.no_answer.tolist(), taken.threshold) == (["c", "a"], [2.0, 0.0], 1.5)
    outputs = Predictions(outputs=np.arange(6.0).reshape(3, 2))
    assert outputs.take(np.array([1])).outputs.tolist() == [[2.0, 3.0]] and len(outputs) == 3


def test_chosen_rows_by_one_output_or_the_margin_of_two():
    groups = np.array([3, 3, 8, 8, 8])
    outputs = np.array([1.0, 2.0, 5.0, 5.0, 4.0])
    assert chosen_rows(outputs[:, None], groups).tolist() == [1, 2]
    margins = np.stack([10 - outputs, np.full(5, 3.0)], axis=1)
    assert chosen_rows(margins, groups).tolist() == [1, 2]


def test_every_example_has_an_id_of_its_own():
    assert with_ids(Examples(["a", "b"])).columns["id"] == ["0", "1"]
    assert with_ids(Examples(["a", "b"], columns={"id": ["x", "y"]})).columns["id"] == ["x", "y"]
    shared = Examples(["a", "b", "c"], columns={"id": ["q", "q", "r"]})
    assert with_ids(shared).columns["id"] == ["q-0", "q-1", "r-0"]
    assert with_ids(with_ids(shared)).columns["id"] == ["q-0", "q-1", "r-0"]
