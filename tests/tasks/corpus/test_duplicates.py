import numpy as np
import pytest

from subarch.tasks.corpus import duplicates
from subarch.tasks.corpus.duplicates import mark_duplicates


@pytest.mark.parametrize("bucket", [5, 10**6])
def test_all_but_the_first_are_marked(tmp_path, monkeypatch, bucket):
    monkeypatch.setattr(duplicates, "BUCKET_RECORDS", bucket)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, size=(60, 2), dtype=np.uint64)[rng.integers(0, 60, size=200)]
    seen, expected = set(), []
    for row in hashes.tolist():
        expected.append(tuple(row) in seen)
        seen.add(tuple(row))
    marks = mark_duplicates(np.split(hashes, [0, 31, 99]), 200, tmp_path / "work")
    assert marks.tolist() == expected and 0 < sum(expected) < 200
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["marks.bin"]


def test_half_a_hash_is_not_a_hash(tmp_path):
    hashes = np.asarray([[1, 2], [1, 3], [2, 2], [1, 2]], dtype=np.uint64)
    assert mark_duplicates([hashes], 4, tmp_path).tolist() == [False, False, False, True]


def test_no_documents(tmp_path):
    assert mark_duplicates([], 0, tmp_path).tolist() == []
