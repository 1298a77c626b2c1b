import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from subarch.errors import ConfigError, DataError
from subarch.tasks.corpus import inputs as corpus
from subarch.tasks.corpus.documents import Reading, read_documents
from subarch.tasks.corpus.inputs import find_sources, units

PARAGRAPHS = [f"paragraph {number} of " + "some words " * (number % 7) for number in range(200)]
TEXT = "\n\n".join(PARAGRAPHS).encode()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in PARAGRAPHS).encode())
    )
    pq.write_table(pa.table({"text": PARAGRAPHS}), tmp_path / "c.parquet", row_group_size=50)
    for number in range(3):
        (tmp_path / f"d{number}.txt").write_text(f"small file {number}")
    return tmp_path


def read(found):
    return [text.strip() for unit in found for text in read_documents(unit.spans, Reading()).texts]


def expected():
    stripped = [paragraph.strip() for paragraph in PARAGRAPHS]
    return [*stripped * 3, *(f"small file {number}" for number in range(3))]


@pytest.mark.parametrize("size", [64, 700, 10**6])
def test_every_document_is_read_once_whatever_the_unit(files, size, monkeypatch):
    monkeypatch.setattr(corpus, "_PARQUET_ROWS", 16)
    found = list(units(find_sources([str(files)]), unit_bytes=size))
    assert read(found) == expected()
    assert [unit.number for unit in found] == list(range(len(found)))
    assert (len(found) == 1) == (size == 10**6)


def test_small_files_share_a_unit_and_positions_are_those_on_disk(files):
    (unit,) = units(find_sources([f"{files}/d*.txt", f"{files}/b.jsonl.gz"]), unit_bytes=10**6)
    assert [span.name[-6:] for span in unit.spans] == ["d0.txt", "d1.txt", "d2.txt", "onl.gz"]
    assert unit.end == (3, unit.spans[-1].end)
    assert unit.spans[-1].position == (files / "b.jsonl.gz").stat().st_size < unit.spans[-1].end


@pytest.mark.parametrize("gaps", [{0}, {3}, {5, 6, 30}, set()])
def test_what_is_done_is_left_out_and_the_rest_is_the_same(files, gaps, monkeypatch):
    monkeypatch.setattr(corpus, "_PARQUET_ROWS", 16)
    sources = find_sources([str(files)])
    whole = {unit.number: unit for unit in units(sources, unit_bytes=700)}
    gaps = gaps | {max(whole)}
    left = list(units(sources, unit_bytes=700, done=lambda n: whole[n].end if n in whole and n not in gaps else None))
    assert {unit.number: unit for unit in left} == {number: whole[number] for number in gaps}
    assert not list(units(sources, unit_bytes=700, done=lambda n: whole[n].end if n in whole else None))


def test_a_done_part_of_a_plain_file_is_not_read(files, monkeypatch):
    sources = find_sources([f"{files}/a.txt"])
    whole = list(units(sources, unit_bytes=700))
    read_from = []
    parts = corpus._parts
    monkeypatch.setattr(
        corpus, "_parts", lambda file, offset, *rest: read_from.append(offset) or parts(file, offset, *rest)
    )
    list(units(sources, unit_bytes=700, done=lambda n: whole[n].end if n < 6 else None))
    assert read_from == [whole[5].end[1]]


def test_documents_longer_than_a_unit_are_cut_and_marked(tmp_path):
    (tmp_path / "long.txt").write_text("word " * 500 + "\u20ac" * 300)
    spans = [
        span for unit in units(find_sources([f"{tmp_path}/long.txt"]), "file", unit_bytes=100) for span in unit.spans
    ]
    assert b"".join(span.payload for span in spans).decode() == "word " * 500 + "\u20ac" * 300
    assert all(span.cut for span in spans[:-1]) and not spans[-1].cut
    assert all(len(span.payload) <= 200 for span in spans)
    for span in spans:
        span.payload.decode()  # no character is cut


def test_a_line_of_json_is_never_cut(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x" * 900}) + "\n" + json.dumps({"text": "y"}))
    assert read(units(find_sources([str(tmp_path)]), unit_bytes=100)) == ["x" * 900, "y"]
    monkeypatch.setattr(corpus, "MAX_LINE_BYTES", 300)
    with pytest.raises(DataError, match=r"a line of more than \d+ bytes at byte 0"):
        list(units(find_sources([str(tmp_path)]), unit_bytes=100))


def test_standard_input_is_read_again_even_where_it_is_done(tmp_path, monkeypatch):
    (tmp_path / "piped").write_bytes(TEXT)
    sources = find_sources(["-"])

    def piped(**options):
        with (tmp_path / "piped").open("rb") as file:
            monkeypatch.setattr(corpus.sys, "stdin", file)
            return list(units(sources, unit_bytes=700, **options))

    whole = piped()
    assert read(whole) == [paragraph.strip() for paragraph in PARAGRAPHS]
    again = piped(done=lambda number: whole[number].end if number < len(whole) else None)
    assert [unit.digest for unit in again] == [unit.digest for unit in whole]


def test_inputs_are_files_folders_and_patterns_each_once(files):
    (files / "deep").mkdir()
    (files / "deep" / "e.txt").write_text("deep")
    names = [os.path.relpath(source.path, files) for source in find_sources([f"{files}/d*.txt", str(files)])]
    assert names == ["d0.txt", "d1.txt", "d2.txt", "a.txt", "b.jsonl.gz", "c.parquet", "deep/e.txt"]
    formats = {source.path[-5:]: source.format for source in find_sources([str(files)])}
    assert (formats["a.txt"], formats["nl.gz"], formats["rquet"]) == ("text", "jsonl", "parquet")


def test_inputs_that_cannot_be(files):
    (files / "e.zip").write_bytes(b"")
    (files / "f.parquet.gz").write_bytes(b"")
    for pattern, message in {
        "g*.txt": "no file for --input",
        "e.zip": r"ends in '\.zip', expected \.jsonl",
        "f.parquet.gz": "gzipped Parquet",
    }.items():
        with pytest.raises(DataError, match=message):
            find_sources([f"{files}/{pattern}"])
    assert find_sources([f"{files}/e.zip"], "text")[0].format == "text"
    with pytest.raises(ConfigError, match="no inputs"):
        find_sources([])
    with pytest.raises(ConfigError, match="Parquet cannot be read from standard input"):
        find_sources(["-"], "parquet")


def test_files_that_are_broken(files):
    (files / "cut.txt.gz").write_bytes(gzip.compress(TEXT)[:-20])
    (files / "no.txt.gz").write_bytes(b"plain")
    (files / "no.parquet").write_bytes(b"plain")
    pq.write_table(pa.table({"n": [1], "body": ["a"]}), files / "other.parquet")
    for name, message in {
        "cut.txt.gz": "not a whole gzip file",
        "no.txt.gz": "not a whole gzip file",
        "no.parquet": "is not a Parquet file",
        "other.parquet": r"no column 'text' \(text\)",
    }.items():
        with pytest.raises(DataError, match=message):
            list(units(find_sources([f"{files}/{name}"])))
    with pytest.raises(DataError, match="column 'n' is of type int64"):
        list(units(find_sources([f"{files}/other.parquet"]), text="n"))


@pytest.mark.parametrize("pattern", ["", "/**/*.txt", "/**/*", "/**", "/*/../**/d*.txt"])
def test_a_link_to_itself_multiplies_nothing(tmp_path, pattern):
    (tmp_path / "books/deep").mkdir(parents=True)
    for number in range(3):
        (tmp_path / f"books/deep/d{number}.txt").write_text("text")
    for name in ("one", "two", "deep/three"):
        (tmp_path / "books" / name).symlink_to(tmp_path / "books")
    (tmp_path / "books/deep/copy.txt").symlink_to("d0.txt")
    (tmp_path / "books/deep/.hidden.txt").write_text("not read")
    found = [os.path.basename(os.path.realpath(source.path)) for source in find_sources([f"{tmp_path}/books{pattern}"])]
    assert sorted(found) == ["d0.txt", "d1.txt", "d2.txt"]


def test_folders_behind_links_are_read(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.txt").write_text("text")
    (tmp_path / "books").mkdir()
    (tmp_path / "books/link").symlink_to("../elsewhere")
    assert [source.path for source in find_sources([str(tmp_path / "books")])] == [f"{tmp_path}/books/link/a.txt"]
