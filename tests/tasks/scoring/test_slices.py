import numpy as np
import pytest

from subarch.errors import ConfigError
from subarch.tasks.base import Examples, Task
from subarch.tasks.scoring.slices import question_word, slice_columns


def task(kind="classification"):
    labels = ("neg", "pos") if kind == "classification" else ()
    return Task(name="t", kind=kind, labels=labels, text="x", label="y", metrics=("m",), main_metric="m")


def of_length(*counts):
    return [" ".join(["word"] * count) for count in counts]


def test_lengths_are_quarters_named_by_what_they_hold():
    examples = Examples(of_length(*range(1, 41)), labels=np.zeros(40, int))
    values, counts = np.unique(slice_columns(task(), examples)["length"], return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        "1-10 words": 10,
        "11-20 words": 10,
        "21-30 words": 10,
        "31-40 words": 10,
    }


def test_words_of_long_texts_are_counted_block_by_block(monkeypatch):
    monkeypatch.setattr("subarch.tasks.base.BLOCK", 3)
    examples = Examples([" a  bcdefg\th ", "a b c"], labels=np.zeros(2, int))
    assert slice_columns(task(), examples)["length"].tolist() == ["3 words"] * 2


def test_both_texts_count_and_equal_lengths_stay_together():
    examples = Examples(of_length(2, 2, 2, 9), of_length(1, 1, 1, 1), labels=np.zeros(4, int))
    assert slice_columns(task(), examples)["length"].tolist() == ["3 words"] * 3 + ["10 words"]


def test_a_language_without_spaces_is_measured_in_characters():
    examples = Examples(["好" * 30, "好" * 60], labels=np.zeros(2, int))
    assert slice_columns(task(), examples)["length"].tolist() == ["30 characters", "60 characters"]


def test_labels_by_name_and_scores_in_quarters():
    found = slice_columns(task(), Examples(of_length(1, 1), labels=np.array([1, 0])))
    assert found["label"].tolist() == ["pos", "neg"]
    scores = np.linspace(0, 5, 41).astype(np.float32)
    found = slice_columns(task("regression"), Examples(of_length(*[1] * 41), labels=scores))
    assert sorted(set(found["label"].tolist())) == ["0 to 1.25", "1.375 to 2.5", "2.625 to 3.75", "3.875 to 5"]


def test_answers_in_groups_and_unlabelled_examples_have_no_label_slice():
    grouped = Examples(of_length(1, 1), labels=np.array([1, 0]), groups=np.array([0, 0]))
    assert slice_columns(task(), grouped).keys() == {"length"}
    assert slice_columns(task(), Examples(of_length(1, 1))).keys() == {"length"}


def test_spans_by_title_kind_of_question_and_whether_there_is_an_answer():
    columns = {"title": ["Big_Bang", "Oslo"], "answers": [["x"], []]}
    examples = Examples(["In which year?", "Whose is it?"], ["a b", "c"], columns=columns)
    found = slice_columns(task("span"), examples)
    assert found["title"].tolist() == ["Big Bang", "Oslo"]
    assert found["question_word"].tolist() == ["which", "who"]
    assert found["answerable"].tolist() == ["answerable", "unanswerable"]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is it?", "what"),
        ("In what year did who win?", "what"),
        ("To whom does it belong?", "who"),
        ("Name the river.", "other"),
        ('"Where" is the place', "where"),
        ("How many, and why?", "how"),
        ("", "other"),
    ],
)
def test_question_words(question, word):
    assert question_word(question) == word


def test_columns_of_the_users_own():
    columns = {"region": ["north", None, "south", ""], "id": ["1", "2", "3", "4"]}
    examples = Examples(of_length(1, 2, 3, 4), labels=np.array([0, 1, 0, 1]), columns=columns)
    assert slice_columns(task(), examples, ("region",))["region"].tolist() == ["north", "(none)", "south", "(none)"]


def test_a_column_of_many_numbers_is_taken_in_quarters():
    columns = {"year": [*range(1980, 2020), None]}
    examples = Examples(of_length(*[1] * 41), labels=np.zeros(41, int), columns=columns)
    found = slice_columns(task(), examples, ("year",))["year"]
    assert sorted(set(found.tolist())) == ["(none)", "1980-1989", "1990-1999", "2000-2009", "2010-2019"]


def test_columns_that_cannot_be():
    columns = {"region": ["n"] * 30, "note": [f"note {number}" for number in range(30)]}
    examples = Examples(of_length(*[1] * 30), labels=np.zeros(30, int), columns=columns)
    with pytest.raises(ConfigError, match="--slice 'regoin' is no column") as caught:
        slice_columns(task(), examples, ("regoin",))
    assert "did you mean region" in caught.value.hint
    with pytest.raises(ConfigError, match="30 different values in 30 rows"):
        slice_columns(task(), examples, ("note",))
