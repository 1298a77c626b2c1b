import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import DataError
from subarch.tasks.tables import read_table


def put(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


ROWS = {"text": ["one, two", 'say "hi"'], "label": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'text,label\n"one, two",a\n"say ""hi""",b\n'),
        ("t.csv", '\ufefftext,label\r\n"one, two",a\r\n\r\n"say ""hi""",b'),
        ("semicolon.csv", 'text;label\none, two;a\n"say ""hi""";b\n'),
        ("t.tsv", 'text\tlabel\none, two\ta\nsay "hi"\tb\n'),
        ("t.tsv", 'text\tlabel\r\n"one, two"\ta\r\n\r\n"say ""hi"""\tb\r\n'),
        ("t.jsonl", '{"text": "one, two", "label": "a"}\n\n{"label": "b", "text": "say \\"hi\\""}\n'),
    ],
)
def test_the_same_rows_from_every_text_format(tmp_path, name, content):
    assert read_table(put(tmp_path, name, content)).columns == ROWS


def test_parquet(tmp_path):
    pq.write_table(pa.table(ROWS), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.columns == ROWS
    assert table.place(1).endswith("t.parquet, row 2")


def test_lines_are_those_where_rows_begin(tmp_path):
    table = read_table(put(tmp_path, "t.csv", 'text,label\n"two\nlines",a\n\nlast,b\n'))
    assert list(table.lines) == [2, 5]
    assert table.place(1).endswith("t.csv, line 5")


def test_a_line_ends_only_at_a_line_feed(tmp_path):
    text = "a\u2028b\x85c"
    assert read_table(put(tmp_path, "t.tsv", f"text\tlabel\n{text}\t1\n")).columns["text"] == [text]
    assert len(read_table(put(tmp_path, "t.jsonl", f'{{"text": "{text[:3]}"}}\n'))) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", "x", "ends in '.txt', expected .csv, .tsv, .jsonl, .parquet"),
        ("t.csv", "", "has no rows"),
        ("t.csv", "text,label\n", "has no rows"),
        ("t.jsonl", "\n", "has no rows"),
        ("t.csv", "text,label\na,1\nb,2,3\n", "line 3: 3 fields, expected 2 (text, label)"),
        ("t.tsv", "text\tlabel\na\n", "line 2: 1 fields, expected 2"),
        ("t.csv", 'text,label\na,1\n"b,2\nc,3\n', "line 3: broken row (unexpected end of data)"),
        ("t.csv", 'text,label\n"a "b" c",1\n', "line 2: broken row"),
        ("t.csv", "text,text\na,1\n", "two columns named 'text'"),
        ("t.jsonl", '{"text": "a"}\n{"text": \n', "line 2: not JSON (Expecting value, character 10)"),
        ("t.jsonl", '["a"]\n', "line 1: a JSON list, expected an object"),
        ("t.csv", b"text,label\nok,1\ncaf\xe9,2\n", "line 3: byte 0xe9 at 19, expected UTF-8"),
        ("t.parquet", b"PAR1 not really", "is no readable Parquet file"),
        ("t.parquet", b"", "is no readable Parquet file"),
    ],
)
def test_every_error_says_where(tmp_path, name, content, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_table(put(tmp_path, name, content))
    assert name in caught.value.message
    assert not caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


def test_a_missing_file_names_its_neighbours(tmp_path):
    put(tmp_path, "train.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match="is no file") as caught:
        read_table(tmp_path / "trian.csv")
    assert "did you mean train.csv" in caught.value.hint


def test_the_hint_for_another_encoding_is_iconv(tmp_path):
    with pytest.raises(DataError) as caught:
        read_table(put(tmp_path, "t.csv", b"text,label\ncaf\xe9,1\n"))
    assert caught.value.hint.startswith("iconv -f WINDOWS-1252 -t UTF-8 t.csv > utf8.csv")
