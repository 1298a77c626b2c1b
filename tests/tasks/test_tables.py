import csv
import gzip
import re
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import DataError
from subarch.tasks.tables import peek_columns, read_table


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
        ("list.jsonl", '[\n {"text": "one, two", "label": "a"},\n {"label": "b", "text": "say \\"hi\\""}\n]\n'),
        ("cr.jsonl", '{"text": "one, two", "label": "a"}\r{"label": "b", "text": "say \\"hi\\""}\r'),
        ("pipe.csv", 'text|label\none, two|a\n"say ""hi"""|b\n'),
        ("tab.csv", 'text\tlabel\none, two\ta\n"say ""hi"""\tb\n'),
        ("comma.tsv", 'text,label\n"one, two",a\n"say ""hi""",b\n'),
        ("cr.csv", 'text;label\rone, two;a\r"say ""hi""";b\r'),
        ("cr.tsv", 'text\tlabel\rone, two\ta\rsay "hi"\tb\r'),
        ("sep.csv", 'sep=;\r\ntext;label\r\none, two;a\r\n"say ""hi""";b\r\n'),
        ("sep.csv", '"sep=|"\ntext|label\none, two|a\n"say ""hi"""|b\n'),
        ("sep.csv", 'SEP=,\ntext,label\n"one, two",a\n"say ""hi""",b\n'),
        ("sep.csv", 'sep=\t\ntext\tlabel\none, two\ta\n"say ""hi"""\tb\n'),
        ("sep.tsv", 'sep=\t\ntext\tlabel\none, two\ta\n"say ""hi"""\tb\n'),
        ("utf16.csv", 'text\tlabel\r\none, two\ta\r\n"say ""hi"""\tb\r\n'.encode("utf-16")),
        ("utf16.csv", 'text;label\none, two;a\n"say ""hi""";b\n'.encode("utf-16-le")),
        ("packed.csv.gz", gzip.compress(b'text,label\n"one, two",a\n"say ""hi""",b\n', mtime=0)),
        ("packed.csv", gzip.compress(b'text,label\n"one, two",a\n"say ""hi""",b\n', mtime=0)),
        ("packed.tsv.gz", gzip.compress(b'text\tlabel\none, two\ta\nsay "hi"\tb\n', mtime=0)),
        (
            "packed.jsonl.gz",
            gzip.compress(b'{"text": "one, two", "label": "a"}\n{"text": "say \\"hi\\"", "label": "b"}', mtime=0),
        ),
        ("empty.csv", 'text,label,,,\n"one, two",a,,,\n"say ""hi""",b,,,\n,,,,\n'),
        ("empty.csv", 'text,label\n"one, two",a,,\n"say ""hi""",b,,,,,\n'),
        ("empty.csv", 'text,label,,\n"one, two",a\n"say ""hi""",b,\n'),
        ("empty.tsv", 'text\tlabel\t\none, two\ta\t\nsay "hi"\tb\t\n'),
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


def test_a_column_without_a_name_is_kept_where_it_holds_something(tmp_path):
    table = read_table(put(tmp_path, "t.csv", ",text,label,\n0,a,x,\n1,b,y,\n"))
    assert table.columns == {"Unnamed: 0": ["0", "1"], "text": ["a", "b"], "label": ["x", "y"]}


def test_a_field_may_be_long(tmp_path):
    text = "word " * 30_000
    table = read_table(put(tmp_path, "t.csv", f"text,label\n{text},a\nb,c\n"))
    assert table.columns["text"] == [text, "b"]
    assert csv.field_size_limit() == 131_072


def test_the_separator_is_the_one_that_fits_the_rows(tmp_path):
    rows = "".join(f"well, {'really, ' * (n % 3)}good;{n}\n" for n in range(9))
    assert list(read_table(put(tmp_path, "t.csv", f"the text, as said;label\n{rows}")).columns) == [
        "the text, as said",
        "label",
    ]


def test_all_bad_rows_are_in_one_message(tmp_path):
    rows = "".join("a,b,c\n" if n % 3 == 0 else "a,b\n" for n in range(90))
    with pytest.raises(DataError, match=r"line 2: 3 fields, expected 2 \(text, label\) \(30 such rows\)"):
        read_table(put(tmp_path, "t.csv", f"text,label\n{rows}"))
    with pytest.raises(DataError) as caught:
        read_table(put(tmp_path, "t.jsonl", '{"text": "a"}\n{"text": \n[1]\n{"text": \n2\n'))
    assert re.sub(r"\S+t.jsonl", "t.jsonl", caught.value.message) == (
        "t.jsonl, line 2: not JSON (Expecting value, character 10), expected an object (2 such rows); "
        "t.jsonl, line 3: a JSON list, expected an object (2 such rows)"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "deep": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2: JSON nested too deeply"),
        ('{"text": "a", "label": ' + "1" * 5000 + "}", "line 2: a number of thousands of digits"),
        ('{"\\ud800": "a"}', "the column name '\\ud800' holds half of a UTF-16 pair"),
    ],
)
def test_json_that_python_cannot_hold_is_a_line(tmp_path, line, message):
    with pytest.raises(DataError, match=re.escape(message)):
        read_table(put(tmp_path, "t.jsonl", '{"text": "a", "label": 1}\n' + line))


def test_values_that_became_keys_are_refused_before_they_fill_the_memory(tmp_path):
    rows = "".join(f'{{"text": "a", "row {n}": 1}}\n' for n in range(2000))
    with pytest.raises(DataError, match="different keys in"):
        read_table(put(tmp_path, "t.jsonl", rows))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("t.xlsx", "save it as CSV in the spreadsheet"),
        ("t.zip", "unzip t.zip"),
        ("t.csv.bz2", "bunzip2 t.csv.bz2"),
        ("t.parquet.gz", "gunzip t.parquet.gz"),
    ],
)
def test_what_other_files_need_first(tmp_path, name, hint):
    with pytest.raises(DataError, match=r"expected \.csv, \.tsv, \.jsonl, \.parquet") as caught:
        read_table(put(tmp_path, name, "x"))
    assert hint in caught.value.hint


def test_a_parquet_column_that_nobody_asks_for_is_not_read(tmp_path):
    far = pa.array([2**60, 2**60], type=pa.timestamp("ms"))
    pq.write_table(pa.table({"text": ["a", "b"], "when": far}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert (len(table), table.columns["text"], list(table.columns)) == (2, ["a", "b"], ["text", "when"])
    with pytest.raises(DataError, match="is no readable Parquet file"):
        table.columns["when"]


def test_two_parquet_columns_of_one_name(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text", "text"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns named 'text'"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_reading_takes_a_few_bytes_a_byte(tmp_path, name):
    sign = {"t.csv": ",", "t.tsv": "\t"}.get(name)
    rows = [("some words that make a text of a usual length" + str(n), "good") for n in range(4_000)]
    lines = [sign.join(row) if sign else f'{{"text": "{row[0]}", "label": "{row[1]}"}}' for row in rows]
    content = "\n".join([*([f"text{sign}label"] if sign else []), *lines])
    path = put(tmp_path, name, content)
    tracemalloc.start()
    table = read_table(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == 4_000
    assert peak < 4 * len(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "text,label\na,b\n"),
        ("t.csv", "\ufefftext; label \na,b;c\n"),
        ("t.csv", "sep=;\ntext;label\na;b\n"),
        ("t.tsv", "text\tlabel\r\na, b\tc\r\n"),
        ("t.jsonl", '\n{"text": "' + 100_000 * "a" + '", "label": "b"}\n'),
        ("t.jsonl", '[\n  {"text": "a", "label": "b"}\n]'),
    ],
)
def test_the_columns_are_peeked_at(tmp_path, name, content):
    path = put(tmp_path, name, content)
    assert peek_columns(path) == ("text", "label") == tuple(read_table(path).columns)


def test_of_a_table_without_columns_none_are_seen(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "t.parquet")
    assert peek_columns(tmp_path / "t.parquet") == ("text",)
    for name, content in (
        ("t.jsonl", "[1, 2]"),
        ("t.jsonl", "{"),
        ("t.xlsx", "x"),
        ("t.csv", "PK\x03\x04"),
        ("e.parquet", ""),
    ):
        assert peek_columns(put(tmp_path, name, content)) == ()
    assert peek_columns(tmp_path / "absent.csv") == ()
