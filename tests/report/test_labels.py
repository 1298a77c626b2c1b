import itertools

from hypothesis import given
from hypothesis import strategies as st

from subarch.report import labels


def boxes(points, places):
    return [
        labels._around(at.x, at.y, labels.LETTER_WIDTH * len(p.name), labels.LINE_HEIGHT)
        for p, at in zip(points, places, strict=True)
    ]


def test_crowded_names_do_not_cover_each_other_or_a_point():
    points = [labels.Point(x=200 + 25 * i, y=100 + 3 * i, radius=8, name=f"model number {i}") for i in range(5)]
    found = boxes(points, labels.place(points, 600, 400))
    assert all(labels._shared(one, other) == 0 for one, other in itertools.combinations(found, 2))
    marks = [labels._around(p.x, p.y, 16, 16) for p in points]
    assert all(labels._shared(box, mark) == 0 for box in found for mark in marks)


def test_a_name_at_the_edge_turns_inwards():
    point = labels.Point(x=595, y=200, radius=8, name="at the edge")
    (box,) = boxes([point], labels.place([point], 600, 400))
    assert box[2] <= 600


def test_a_name_avoids_a_line():
    point = labels.Point(x=300, y=200, radius=8, name="name")
    line = (300.0, 150.0, 600.0, 200.0)
    (box,) = boxes([point], labels.place([point], 600, 400, [line]))
    assert labels._shared(box, line) == 0


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 400)), min_size=1, max_size=8))
def test_every_point_gets_a_name_near_it(positions):
    points = [labels.Point(x=x, y=y, radius=6, name="student") for x, y in positions]
    places = labels.place(points, 600, 400)
    assert len(places) == len(points)
    assert all(abs(at.x - p.x) < 160 and abs(at.y - p.y) < 120 for p, at in zip(points, places, strict=True))
