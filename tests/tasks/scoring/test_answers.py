import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.tasks.scoring.answers import best_threshold, exact_and_f1, normalize_answer, official_best


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Big-Bang, (1999)!", "bigbang 1999"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("THE", ""),
        ("a–b", "–b"),  # a dash outside ASCII stays, and ends the article's word
    ],
)
def test_normalised_as_the_official_script_does(text, normal):
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("text", "accepted", "exact", "f1"),
    [
        ("the red house", ["Red house."], 1, 1),
        ("red house", ["red house on hills", "blue"], 0, 2 * 2 / (2 + 4)),  # precision 1, recall 1/2
        ("hills of red", ["red"], 0, 2 * 1 / (3 + 1)),
        ("very very old", ["very old"], 0, 2 * 2 / (3 + 2)),  # a word counts as often as both have it
        ("green", ["red"], 0, 0),
        ("", ["red"], 0, 0),
        ("", [], 1, 1),
        ("red", [], 0, 0),
        ("the", [], 1, 1),
        ("the", ["a", "red"], 0, 0),  # accepted texts that normalise to nothing are no texts
        ("the", ["a"], 1, 1),
    ],
)
def test_exact_match_and_f1_by_hand(text, accepted, exact, f1):
    found = exact_and_f1([text], [accepted])
    assert (found[0][0], found[1][0]) == pytest.approx((exact, f1))


def test_official_sweep_by_hand():
    # Sorted by no_answer: answerable and right, unanswerable, answerable and right. Empty everywhere: 1 of 3.
    scores = np.array([1.0, 0.0, 1.0])
    no_answer = np.array([0.1, 0.2, 0.3])
    answerable = np.array([True, False, True])
    best, threshold = official_best(scores, no_answer, answerable, np.array([True, True, True]))
    assert (best, threshold) == pytest.approx((2 / 3, 0.1))


def test_an_empty_text_to_an_unanswerable_question_loses_nothing_in_the_official_sweep():
    arrays = np.array([0.0, 1.0]), np.array([0.1, 0.2]), np.array([False, True])
    assert official_best(*arrays, np.array([False, True])) == pytest.approx((1.0, 0.2))
    assert official_best(*arrays, np.array([True, True]))[0] == pytest.approx(0.5)


def test_nothing_worth_answering():
    assert official_best(np.zeros(2), np.ones(2), np.zeros(2, bool), np.ones(2, bool)) == (1.0, 0.0)


def _mean(scores, no_answer, answerable, threshold):
    return float(np.where(no_answer > threshold, ~answerable, answerable * scores).mean())


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(-3, 3), st.booleans()), min_size=1, max_size=12))
def test_no_threshold_beats_the_best_one(rows):
    scores, no_answer, answerable = (np.array(column) for column in zip(*rows, strict=True))
    found = best_threshold(scores, no_answer.astype(np.float32), answerable)
    reached = _mean(scores, no_answer, answerable, found)
    every = [_mean(scores, no_answer, answerable, value) for value in np.arange(-4.25, 4.5, 0.5)]
    assert reached == pytest.approx(max(every)) or answerable.all()
    assert np.isinf(found) == answerable.all()
