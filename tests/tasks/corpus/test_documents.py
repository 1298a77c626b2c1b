import json

import pytest

from subarch.errors import DataError
from subarch.tasks.corpus import documents
from subarch.tasks.corpus.documents import Reading, Span, Tally, read_documents


def span(payload, format_="text", offset=0, **more):
    size = len(payload)
    known = {"source": 0, "name": "a.txt", "offset": offset, "end": offset + size, "position": size}
    return Span(**known, format=format_, payload=payload, **more)


def texts(payload, format_="text", **reading):
    return read_documents([span(payload, format_)], Reading(**reading)).texts


@pytest.mark.parametrize(
    ("boundaries", "expected"),
    [
        ("blank-line", ["one\ntwo", "three", "four"]),
        ("line", ["one", "two", "three", "four"]),
        ("file", ["one\ntwo\n\nthree\n \t\n\n\nfour"]),
    ],
)
def test_where_documents_end(boundaries, expected):
    raw = "\N{ZERO WIDTH NO-BREAK SPACE}one\r\ntwo\r\n\r\nthree\n \t\n\n\nfour\n".encode()
    assert texts(raw, boundaries=boundaries) == expected


def test_bytes_that_are_no_text_are_counted_and_placed():
    raw = "caf\u00e9 \N{REPLACEMENT CHARACTER}\n\n".encode() + b"caf\xe9 and \xff\xfe\0 more"
    found = read_documents([span(b"fine"), span(raw, offset=100)], Reading())
    assert found.texts == ["fine", "caf\u00e9 \ufffd", "caf\ufffd and \ufffd\ufffd more"]
    assert found.tally.undecodable_bytes == 4
    assert found.tally.first_undecodable == {"file": "a.txt", "offset": 100 + raw.index(b"\xe9 and")}
    assert raw.index(b"\xe9 and") == 14


def test_a_character_that_is_cut_off_counts_by_its_bytes():
    found = read_documents([span("a\u20ac".encode()[:-1])], Reading())
    assert found.tally.undecodable_bytes == 2 and found.tally.first_undecodable["offset"] == 1


def test_utf_16_is_no_text():
    assert read_documents([span("plain words".encode("utf-16"))], Reading()).tally.undecodable_bytes >= 11


def test_json_lines_and_columns():
    rows = [{"text": "one\n\ntwo", "id": 1}, {"text": None}, {"text": "half \ud800 \0 pair"}]
    raw = "\n".join(json.dumps(row) for row in rows).encode() + b"\n\n"
    assert texts(raw, "jsonl") == ["one\n\ntwo", "half ?  pair"]
    assert texts(raw.replace(b'"text"', b'"body"'), "jsonl", text="body")[0] == "one\n\ntwo"
    assert texts(["one\n\ntwo", None, " "], "parquet") == ["one\n\ntwo"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON"),
        (b"[1]", "a list, expected an object"),
        (b'{"body": "a"}', r"no field 'text' \(text\)"),
        (b'{"text": 3}', "'text' is a int, expected text"),
    ],
)
def test_lines_that_cannot_be(line, message):
    with pytest.raises(DataError, match=rf"a\.txt, line 2 from byte 7: {message}"):
        read_documents([span(b'{"text": "a"}\n' + line, "jsonl", offset=7)], Reading())


def test_short_documents_are_dropped_after_their_markup():
    raw = b"<b>one two</b>\n\none two three\n\n<br>\n\n"
    found = read_documents([span(raw)], Reading(min_words=3, strip_markup=True))
    assert found.texts == ["one two three"]
    assert (found.tally.documents, found.tally.short_documents) == (1, 1)


def test_documents_that_are_too_long_are_cut_between_words(monkeypatch):
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 12)
    found = read_documents([span(b"aaaa bbbb cccc dddd eeee"), span(b"x" * 30, cut=True)], Reading())
    assert found.texts == ["aaaa bbbb", "cccc dddd", "eeee", "x" * 12, "x" * 12, "x" * 6]
    assert found.tally.cut_documents == 2 + 2 + 1


def test_equal_texts_have_equal_hashes_and_the_seed_changes_them():
    found = read_documents([span(b"one\n\ntwo\n\n one ")], Reading())
    first, second, third = (found.hashes(0)[place : place + 16] for place in (0, 16, 32))
    assert first == third != second and found.hashes(1)[:16] != first


def test_tallies_add_up():
    one, other = Tally(bytes=3, documents=1), Tally(bytes=4, undecodable_bytes=1, first_undecodable={"offset": 2})
    one.add(other)
    assert one == Tally(bytes=7, documents=1, undecodable_bytes=1, first_undecodable={"offset": 2})
