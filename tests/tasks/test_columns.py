from pathlib import Path

import pytest

from subarch.errors import ConfigError, DataError
from subarch.tasks.columns import Columns, find_columns, guess_kind
from subarch.tasks.tables import Table


def table(*names, rows=30):
    return Table(Path("t.csv"), {name: [f"{name} {i}" for i in range(rows)] for name in names}, None)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["text", "label"], ("text", None, "label")),
        (["id", "Sentence", "Category"], ("Sentence", None, "Category")),
        (["premise", "hypothesis", "gold_label"], ("premise", "hypothesis", "gold_label")),
        (["idx", "question", "passage", "label"], ("question", "passage", "label")),
        (["body", "label"], ("body", None, "label")),
        (["review", "verdict"], ("review", None, "verdict")),
    ],
)
def test_safe_guesses(names, found):
    assert find_columns(table(*names), Columns()) == found


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a", "b"], "text and label"),
        (["a", "b", "label"], "text"),
        (["review", "content", "label"], "text"),
        (["text", "label", "rating"], "label"),
        (["text", "x", "y"], "label"),
        (["question", "passage", "context", "label"], "text"),
    ],
)
def test_unsafe_guesses_are_asked(names, missing):
    with pytest.raises(DataError, match=f"cannot tell the {missing} column .*: {', '.join(names)}") as caught:
        find_columns(table(*names), Columns())
    assert "--text COLUMN --label COLUMN" in caught.value.hint


def test_two_unknown_columns_of_which_one_repeats():
    columns = {"v1": ["ham", "spam", "ham"] * 10, "v2": [f"message {i}" for i in range(30)]}
    assert find_columns(Table(Path("t.csv"), columns, None), Columns()) == ("v2", None, "v1")


def test_what_is_given_wins_and_no_pair_is_added_to_it():
    names = table("premise", "hypothesis", "label", "other")
    assert find_columns(names, Columns(text="hypothesis")) == ("hypothesis", None, "label")
    given = Columns(text="other", text_pair="premise", label="hypothesis")
    assert find_columns(names, given) == ("other", "premise", "hypothesis")


def test_given_columns_that_cannot_be():
    with pytest.raises(DataError, match=r"no column 'txt' \(--text\)") as caught:
        find_columns(table("text", "label"), Columns(text="txt"))
    assert "did you mean text" in caught.value.hint
    with pytest.raises(ConfigError, match="given twice"):
        find_columns(table("text", "label"), Columns(text="text", label="text"))
    with pytest.raises(ConfigError, match="--text-pair without --text"):
        find_columns(table("text", "label", "x"), Columns(text_pair="x"))


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (["good", "bad", "good"], "classification"),
        (["0", "1", "1"], "classification"),
        ([1, 2, 3, 4, 5] * 4, "classification"),
        ([1.0, 0.0], "classification"),
        ([True, False, True], "classification"),
        (["0.5", "1.25", "3"], "regression"),
        ([float("nan"), 1.0], "regression"),
        (list(range(150)), "regression"),
        (["1", "unsure", "2"], "classification"),
    ],
)
def test_kinds(labels, kind):
    assert guess_kind(labels, "y") == kind


@pytest.mark.parametrize("labels", [list(range(50)) * 3, [1, 2, 3, 4]])
def test_a_doubtful_kind_is_asked(labels):
    with pytest.raises(DataError, match="may be classes or a scale") as caught:
        guess_kind(labels, "y")
    assert caught.value.hint == "say which: --kind classification or --kind regression"


def test_a_column_of_texts_is_no_label():
    with pytest.raises(DataError, match="30 different texts in 30 rows"):
        guess_kind([f"text {i}" for i in range(30)], "y")
