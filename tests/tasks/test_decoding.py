import gzip
import re

import pytest

from subarch.errors import DataError
from subarch.tasks.decoding import HEAD, TextFile, read_text

TEXT = "text,label\nein schöner Film,gut\nПлохой фильм,schlecht\n"


def put(tmp_path, raw, name="t.csv"):
    (tmp_path / name).write_bytes(raw)
    return tmp_path / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_encoding_is_found(tmp_path, encoding, pack):
    assert read_text(put(tmp_path, pack(TEXT.encode(encoding)))) == TEXT


def test_a_big_endian_mark(tmp_path):
    assert read_text(put(tmp_path, b"\xfe\xff" + TEXT.encode("utf-16-be"))) == TEXT


@pytest.mark.parametrize("text", ["текст;метка\n" + "хорошо;да\n" * 40, "a\r\nb\r\n", "文本,标签\n" * 50])
def test_utf16_without_a_mark_in_any_script(tmp_path, text):
    assert read_text(put(tmp_path, text.encode("utf-16-le"))) == text


def test_a_few_nuls_do_not_make_it_utf16(tmp_path):
    text = "text,label\n" + "some words \0 more words z\0q,1\n" * 20
    assert read_text(put(tmp_path, text.encode())) == text


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (TEXT.encode("utf-16").decode("cp1252", "ignore").encode(), "is UTF-16 that was converted", "iconv -f UTF-16"),
        (b"\0\0\0\x01" * 99, "is no text: 297 of its first 396 bytes are NUL", "is it another file"),
        (b"PK\x03\x04 and so on", "is a ZIP archive or an Excel workbook", "save it as CSV"),
        (b"\xd0\xcf\x11\xe0 and so on", "is an old Excel workbook", "save it as CSV"),
        (b"PAR1\x15 and so on", "is a Parquet file", "rename it to .parquet"),
        (b"\x28\xb5\x2f\xfd and so on", "is packed by zstd", "unzstd"),
        (gzip.compress(TEXT.encode() * 99, mtime=0)[:-20], "is not a whole gzip file", "copy it again"),
        (gzip.compress(TEXT.encode() * 99, mtime=0)[:40] + b"x" * 40, "is not a whole gzip file", "copy it again"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, raw, message, hint):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_text(put(tmp_path, raw))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (b"ok\ncaf\xe9\n", "line 2: byte 0xe9 at 6, expected UTF-8", "iconv -f WINDOWS-1252 -t UTF-8 t.csv > utf8.csv"),
        (b"ok\n\x81\xe9\n", "line 2: byte 0x81 at 3, expected UTF-8", "iconv -f ENCODING -t UTF-8 t.csv > utf8.csv"),
        (b"\xff\xfea\0\n\0\x00\xd8b\0", "line 2: byte 0x00 at 6, expected UTF-16", "iconv -f ENCODING"),
        (
            gzip.compress(b"caf\xe9\n", mtime=0),
            "line 1: byte 0xe9 at 3",
            "gunzip -c t.csv | iconv -f WINDOWS-1252 -t UTF-8 > utf8",
        ),
        (b"x" * HEAD + b"\n\xe9\n", f"line 2: byte 0xe9 at {HEAD + 1}", "iconv -f WINDOWS-1252"),
    ],
)
def test_a_byte_of_another_encoding_is_placed(tmp_path, raw, message, hint):
    with pytest.raises(DataError) as caught:
        read_text(put(tmp_path, raw))
    assert message in caught.value.message
    assert caught.value.hint.startswith(hint)


def test_lines_end_at_a_carriage_return_only_where_nothing_else_ends_them(tmp_path):
    ends = {"a\rb\r": "\r", "a\r\nb\r\n": "\n", "a\rb\n": "\n", "a": "\n"}
    assert {text: TextFile.of(put(tmp_path, text.encode())).line_end for text in ends} == ends
