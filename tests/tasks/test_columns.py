from pathlib import Path

import pytest

from subarch.errors import ConfigError, DataError
from subarch.tasks.columns import Columns, find_columns
from subarch.tasks.tables import Table, read_table


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


def bare(tmp_path, content, name="bare.csv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return read_table(path)


ROWS = [f"a text with the number {n};{'bad' if n % 2 else 'good'}" for n in range(40)]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (ROWS, "text;label"),
        ([";".join(reversed(row.split(";"))) for row in ROWS], "label;text"),
        ([f"{n};7;word {n}" for n in range(9)], "column1;column2;column3"),
        ([f"{'long text ' * 9}{n};{'xyz'[n % 3]}" for n in range(1, 9)], "column1;column2"),
    ],
)
def test_a_file_without_a_header_is_told_the_line_it_lacks(tmp_path, rows, line):
    with pytest.raises(DataError, match="no header: its first row looks like an example") as caught:
        find_columns(bare(tmp_path, "\n".join(rows)), Columns())
    assert f"begin the file with the line {line};" in caught.value.hint
    if "text" in line:
        found = find_columns(bare(tmp_path, "\n".join([line, *rows])), Columns())
        assert found == ("text", None, "label")


def test_what_a_user_names_is_a_header(tmp_path):
    table = bare(
        tmp_path, "comment_body,toxic\n" + "".join(f"words {n},{'toxic' if n % 2 else 'ok'}\n" for n in range(9))
    )
    with pytest.raises(DataError, match="no header"):
        find_columns(table, Columns())
    assert find_columns(table, Columns(text="comment_body", label="toxic")) == ("comment_body", None, "toxic")
