import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.training.augment.window import WORDS, Window, distance

TEN = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (TEN, TEN, 0.0),
        (TEN, f"  {TEN} ", 0.0),
        (TEN, TEN.replace("two", "river"), 0.1),
        (TEN, TEN.replace("two ", ""), 0.1),
        (TEN, TEN.replace("seven", "sevven"), 0.05),
        (TEN, TEN.replace("one", "One"), 0.25 / 3 / 10),
        (TEN, TEN.upper(), 0.25),
        ("one two", "five six", 1.0),
        ("", "one", 1.0),
        ("one.", "one!", 0.5),
    ],
)
def test_distance(old, new, expected):
    assert distance(old, new) == pytest.approx(expected)


@given(st.text(alphabet="ab AB,.", max_size=30), st.text(alphabet="ab AB,.", max_size=30))
def test_distance_is_a_share_and_zero_only_for_the_same_words(old, new):
    assert 0 <= distance(old, new) <= 1
    assert (distance(old, new) == 0) == (WORDS.findall(old) == WORDS.findall(new))


def test_bounds_are_low_excluded_and_high_included():
    one, five = TEN.replace("two", "river"), TEN.replace("two three four five six", "a b c d e")
    assert Window(low=0.1, high=0.5).judge([(TEN, one)]) == "too_near"
    assert Window(low=0.09, high=0.1).judge([(TEN, one)]) == "kept"
    assert Window().judge([(TEN, five)]) == "kept"
    assert Window(high=0.49).judge([(TEN, five)]) == "too_far"


def test_one_unrelated_side_is_too_far_and_one_near_side_is_no_matter():
    changed = (TEN, TEN.replace("two", "river"))
    assert Window().judge([changed, ("green apple", "blue stone")]) == "too_far"
    assert Window(low=0.05).judge([changed, (TEN, TEN.replace("seven", "sevven"))]) == "kept"
    assert Window().judge([]) == "too_near"


def test_the_same_words_in_another_order_are_never_too_far():
    first, second = "one two three", "four five six"
    assert Window(high=0.1).judge([(first, second), (second, first)]) == "kept"
    assert Window(high=0.1).judge([(first, second)]) == "too_far"


@pytest.mark.parametrize("bounds", [{"low": 0.5, "high": 0.5}, {"low": -0.1}, {"attempts": 0}])
def test_a_window_that_keeps_nothing_is_refused(bounds):
    with pytest.raises(ConfigError):
        Window(**bounds)
