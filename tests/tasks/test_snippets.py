import gzip
import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from subarch.errors import DataError, StorageError
from subarch.tasks import snippets
from subarch.tasks.snippets import FILE, HOME, MEMBERS, SHA256, install, load_snippets, main

DATA = os.environ.get("SUBARCH_DATA")
COPIES = {"A fine film, seen twice.", "a  FINE film, seen twice. "}


def lines(start=0):
    """900 rows of every rating, of which a fifth is undecided; two differ by case and spacing alone."""
    ratings = (-3.25, -0.5, 0.4666666667, 0.5, 2.0)
    rows = [f"{i}\t{ratings[i % 5]}\tFilm {i} is naïve." for i in range(start, start + 898)]
    return "\r\n".join([*rows, *(f"copy{i}\t1.5\t{text}" for i, text in enumerate(COPIES))]).encode()


def archive(members):
    """A compressed tar of these files and of a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, raw in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))
    return buffer.getvalue()


def damaged(raw):
    """A compressed file that goes over into what no compressor writes."""
    compressor = zlib.compressobj(wbits=31)
    start = compressor.compress(gzip.decompress(raw)[:20_000]) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return start + b"\x07" * 9


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder for the rows of `lines` in place of the published ones, of which 200 are for the test."""
    monkeypatch.setattr(snippets, "HOME", tmp_path / "share")
    monkeypatch.setattr(snippets, "SHA256", hashlib.sha256(lines()).hexdigest())
    monkeypatch.setattr(snippets, "TEST_ROWS", 200)
    return tmp_path / "share"


@pytest.fixture
def sdist(tmp_path):
    path = tmp_path / "release.tar.gz"
    path.write_bytes(archive({MEMBERS[0]: archive({MEMBERS[1]: lines()})}))
    return path


def put(folder, raw):
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(raw)


def test_labels_follow_the_ratings_and_undecided_rows_are_left_out(home):
    put(home, lines())
    data = load_snippets()
    whole = data.train.joined(data.validation).joined(data.test)
    ratings = {str(i): (i % 5, f"Film {i} is naïve.") for i in range(898)}
    known = [(row, *ratings[row]) for row in whole.columns["id"] if row in ratings]
    assert len(whole) == len(set(whole.columns["id"])) == len(known) + 2 == 720
    labels = dict(zip(whole.columns["id"], whole.labels.tolist(), strict=True))
    texts = dict(zip(whole.columns["id"], whole.texts, strict=True))
    assert all(texts[row] == text and labels[row] == {0: 0, 1: 0, 3: 1, 4: 1}[kind] for row, kind, text in known)
    assert data.task.labels[labels["copy0"]] == "positive"
    assert data.notes[1].startswith("180 of them were left out")


def test_test_is_drawn_by_the_text_and_validation_by_the_seed(home):
    put(home, lines())
    one, same, other = load_snippets(), load_snippets(), load_snippets(seed=1)
    assert (len(one.test), len(one.validation), len(one.train)) == (200, 173, 347)
    assert one.fingerprint == same.fingerprint
    assert one.test.texts == other.test.texts
    assert sorted(one.validation.texts) != sorted(other.validation.texts)
    assert min(np.bincount(one.test.labels)) > 60


def test_the_order_of_the_file_does_not_choose_the_test_rows(home, monkeypatch):
    put(home, lines())
    before = load_snippets()
    turned = b"\r\n".join(reversed(lines().split(b"\r\n")))
    monkeypatch.setattr(snippets, "SHA256", hashlib.sha256(turned).hexdigest())
    (home / FILE).write_bytes(turned)
    after = load_snippets()
    assert before.test.texts == after.test.texts[::-1]


def test_copies_of_a_text_come_to_the_test_together_or_not_at_all(home, monkeypatch):
    put(home, lines())
    whole = load_snippets()
    texts = whole.train.texts + whole.validation.texts + whole.test.texts
    hashes = sorted({hashlib.sha256(" ".join(text.split()).casefold().encode()).hexdigest() for text in texts})
    before = hashes.index(hashlib.sha256(b"a fine film, seen twice.").hexdigest())
    for size, copies in ((before, set()), (before + 1, set()), (before + 2, COPIES)):
        monkeypatch.setattr(snippets, "TEST_ROWS", size)
        test = load_snippets().test
        assert len(test) == size
        assert COPIES & set(test.texts) == copies


@pytest.mark.parametrize("place", ["VADER", "."])
def test_a_data_folder_holds_the_file_in_its_own_folder_or_by_itself(home, tmp_path, place):
    put(tmp_path / "data" / place, lines())
    assert len(load_snippets(data_dir=tmp_path / "data").test) == 200


def test_the_content_decides_where_several_files_are(home, tmp_path):
    put(home, lines())
    put(tmp_path / "data" / "VADER", b"1\t1.0\tOther.")
    assert len(load_snippets(data_dir=tmp_path / "data").test) == 200


def test_without_the_file_one_line_says_how_to_get_it(home, tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(DataError) as caught:
            load_snippets(data_dir=folder)
        assert caught.value.message == "the file of the task snippets is not installed"
        assert "make install" in caught.value.hint and "python -m subarch.tasks.snippets" in caught.value.hint


def test_another_content_is_refused_with_both_hashes(home, tmp_path):
    put(home, lines() + b"\r\n")
    found, expected = hashlib.sha256(lines() + b"\r\n").hexdigest(), hashlib.sha256(lines()).hexdigest()
    with pytest.raises(DataError) as caught:
        load_snippets()
    assert caught.value.message == f"{home / FILE}: snippets with sha256 {found[:12]}…, expected {expected[:12]}…"
    assert "make install" in caught.value.hint


def test_the_file_is_taken_out_of_the_archive_in_the_archive(home, sdist, tmp_path):
    main([str(sdist)])
    assert (home / FILE).read_bytes() == lines()
    assert install(sdist, tmp_path / "own") == tmp_path / "own" / FILE
    assert [path.name for path in (tmp_path / "own").iterdir()] == [FILE]


@pytest.mark.parametrize(
    "raw",
    [
        b"no archive",
        archive({"else": b""}),
        archive({MEMBERS[0]: archive({"else": b""})}),
        archive({MEMBERS[0]: b"no archive"}),
        archive({MEMBERS[0]: archive({MEMBERS[1]: lines()})})[:-2000],
        archive({MEMBERS[0]: damaged(archive({MEMBERS[1]: lines()}))}),
    ],
    ids=["text", "another", "another inside", "text inside", "cut", "damaged inside"],
)
def test_what_is_not_the_archive_installs_nothing(home, tmp_path, raw):
    (tmp_path / "release.tar.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"release\.tar\.gz is not the source distribution vaderSentiment-3\.3\.2"):
        install(tmp_path / "release.tar.gz")
    assert not home.exists()


def test_a_folder_in_place_of_the_file_and_no_archive_at_all(home, monkeypatch, sdist, tmp_path):
    with pytest.raises(DataError, match="is not the source distribution"):
        install(tmp_path / "absent.tar.gz")
    monkeypatch.setattr(snippets, "MEMBERS", ("folder", FILE))
    with pytest.raises(DataError, match="is not the source distribution"):
        install(sdist)


def test_another_file_of_that_name_in_the_archive_is_refused(home, monkeypatch, sdist):
    monkeypatch.setattr(snippets, "SHA256", "0" * 64)
    with pytest.raises(SystemExit, match=rf"error: .*sha256 {hashlib.sha256(lines()).hexdigest()[:12]}…, expected 000"):
        main([str(sdist)])
    assert not list(home.iterdir())


def test_a_folder_that_cannot_be_written_says_what_to_do(home, monkeypatch, sdist):
    def refuse(path):
        raise StorageError(f"cannot write {path}: Permission denied", "choose another --out")

    monkeypatch.setattr(snippets, "replacing_file", refuse)
    with pytest.raises(StorageError, match="cannot write") as caught:
        install(sdist)
    assert caught.value.hint == "name another folder after the archive, for --data-dir"


def _published():
    folders = [HOME, *([Path(DATA), Path(DATA) / "VADER"] if DATA else [])]
    files = [folder / FILE for folder in folders if (folder / FILE).is_file()]
    return any(hashlib.sha256(path.read_bytes()).hexdigest() == SHA256 for path in files)


@pytest.mark.skipif(not _published(), reason="the file of the task snippets is not there")
def test_the_published_snippets():
    data = load_snippets(data_dir=Path(DATA) if DATA else None)
    splits = (data.train, data.validation, data.test)
    assert [np.bincount(split.labels).tolist() for split in splits] == [[3877, 3838], [431, 426], [768, 732]]
    keys = [set(split.text_keys()) for split in splits]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 10_070
    assert data.notes[0].startswith("10605 snippets") and data.notes[1].startswith("533 of them")
