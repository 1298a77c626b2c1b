import numpy as np
import pytest

from subarch.errors import DataError
from subarch.tasks.base import Examples
from subarch.training.augment.mining import Mining

UNLABELLED = Examples(
    [
        "a green river in summer",
        "the green river, in winter",
        "A  green RIVER in summer",  # the first one again
        "stocks fell on monday",
        "stocks rose on monday and on tuesday",
        "nothing alike at all",
    ],
    columns={"id": list("abcdef")},
)


def test_the_most_similar_texts_come_each_once():
    points = Mining.of(UNLABELLED).similar(Examples(["that green river", "stocks fell on sunday"]), each=2)
    assert points.sources.tolist() == [0, 0, 1, 1]
    assert sorted(points.examples.columns["id"][:2]) == ["a", "b"]
    assert sorted(points.examples.columns["id"][2:]) == ["d", "e"]
    assert points.transformations == ("mining",) * 4 and points.examples.labels is None
    counts = points.counts["mining"]
    assert (counts.asked, counts.kept, counts.nothing) == (4, 4, 0)


def test_two_sources_share_no_text_and_the_nearer_gets_it():
    sources = Examples(["stocks and bonds", "stocks fell on monday morning"])
    points = Mining.of(UNLABELLED).similar(sources, each=1)
    assert dict(zip(points.sources.tolist(), points.examples.columns["id"], strict=True)) == {0: "e", 1: "d"}


def test_known_used_and_own_texts_do_not_come_back():
    known = Examples(["A green river in SUMMER"]).text_keys()
    mining = Mining.of(UNLABELLED, known)
    source = Examples(["green river in summer"])
    assert mining.similar(source, each=5).examples.columns["id"] == ["b"]
    used = Examples(["the green river, in winter"]).text_keys()
    assert len(mining.similar(source, each=5, used=used)) == 0
    itself = Mining.of(UNLABELLED).similar(Examples(["Stocks fell on Monday"]), each=1)
    assert itself.examples.columns["id"] == ["e"]


def test_far_texts_are_left():
    assert len(Mining.of(UNLABELLED).similar(Examples(["green"]), each=5, least=0.99)) == 0
    assert len(Mining.of(UNLABELLED).similar(Examples(["unheard"]), each=5)) == 0


def test_pairs_are_compared_by_both_texts():
    unlabelled = Examples(["one text", "other text"], ["of rivers", "of stocks"])
    points = Mining.of(unlabelled).similar(Examples(["some"], ["stocks"]), each=1)
    assert (points.examples.texts, points.examples.pairs) == (["other text"], ["of stocks"])


def test_groups_come_whole():
    unlabelled = Examples(["river"] * 2 + ["stocks"] * 3, list("vwxyz"), groups=np.array([0, 0, 1, 1, 1]))
    sources = Examples(["stocks"] * 2 + ["river"] * 2, list("abcd"), groups=np.array([5, 5, 6, 6]))
    points = Mining.of(unlabelled).similar(sources, each=1)
    assert points.examples.texts == ["stocks"] * 3 + ["river"] * 2
    assert points.examples.groups.tolist() == [0, 0, 0, 1, 1]
    assert points.sources.tolist() == [0, 0, 0, 2, 2]


def test_texts_of_another_shape_are_refused():
    with pytest.raises(DataError, match="have no pairs, expected those of a task that have pairs"):
        Mining.of(UNLABELLED).similar(Examples(["a"], ["b"]), each=1)


@pytest.mark.parametrize(("texts", "message"), [(["!!"], "no words"), ([], "0 unlabelled texts")])
def test_nothing_to_search(texts, message):
    with pytest.raises(DataError, match=message):
        Mining.of(Examples(texts))
    with pytest.raises(DataError, match="stand in the labelled data"):
        Mining.of(UNLABELLED, UNLABELLED.text_keys())
