import re

import pytest

from subarch.errors import DataError
from subarch.tasks.suites.official import Row, check_unique, find_file, hub_rows, read_json_lines, row_notes


def test_the_first_name_that_lies_there_is_found(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "sample.tsv").touch()
    assert find_file([tmp_path / "a", tmp_path / "b"], ["whole.tsv", "sample.tsv"]).name == "sample.tsv"
    with pytest.raises(DataError, match=re.escape("b/whole.tsv is missing")):
        find_file([tmp_path / "a", tmp_path / "b"], ["whole.tsv"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"idx": 1, "text": "cut', "not JSON (Unterminated string starting at, character 20)"),
        ("[1, 2]", "a JSON list, expected an object"),
        ('{"a": 1, "a": 2}', "'a' stands twice in one object"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, says):
    path = tmp_path / "val.jsonl"
    path.write_text('{"idx": 0}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(f"val.jsonl, line 3: {says}")):
        read_json_lines(path)


def test_a_line_separator_inside_a_text_ends_no_row(tmp_path):
    path = tmp_path / "val.jsonl"
    path.write_text('{"a": "one\u2028two\x85three"}\r\n{"a": "four"}', encoding="utf-8")
    assert [row.text("a") for row in read_json_lines(path)] == ["one\u2028two\x85three", "four"]


def test_fields_are_typed():
    row = Row("f, line 1", {"n": 3, "s": "4", "t": True, "rows": [{"x": "y"}], "words": ["a"], "bad": [1]})
    assert (row.integer("n"), row.integer("s"), row.rows("rows")[0].text("x"), row.texts("words")) == (3, 4, "y", ["a"])
    for call in (
        lambda: row.integer("t"),
        lambda: row.text("n"),
        lambda: row.texts("bad"),
        lambda: row.rows("words"),
        lambda: row.text("absent"),
    ):
        with pytest.raises(DataError, match=r"f, line 1: .*expected"):
            call()


def test_labels_are_one_of_the_known():
    assert [Row("", {"label": value}).label((False, True)) for value in (True, 0, None)] == [1, 0, None]
    with pytest.raises(DataError, match='f, line 9: unknown label "maybe", expected "no" or "yes"'):
        Row("f, line 9", {"label": "maybe"}).label(("no", "yes"))


def test_ids_stand_once():
    with pytest.raises(DataError, match=r"line 3: the id 7 stands twice \(before: line 1\)"):
        check_unique(["7", "8", "7"], ["line 1", "line 2", "line 3"])


def test_row_counts(tmp_path, caplog):
    assert row_notes(tmp_path / "val.jsonl", ["val.jsonl"], 5, 5) == []
    assert "official file has 6" in row_notes(tmp_path / "val.jsonl", ["val.jsonl"], 5, 6)[0]
    assert "val.jsonl has 5 rows" in caplog.text
    assert "sample file" in row_notes(tmp_path / "few.jsonl", ["val.jsonl", "few.jsonl"], 5, 6)[0]


def test_the_hub_hides_labels_as_minus_one():
    import datasets

    split = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]})
    assert [row.value["label"] for row in hub_rows(split, "hub")] == [1, None]
