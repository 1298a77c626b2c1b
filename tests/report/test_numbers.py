import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (9.07, "9.07"),
        (0.81, "0.810"),
        (11.249, "11.2"),
        (9.996, "10.0"),
        (1234.5, "1,234"),
        (-0.0123, "-0.0123"),
    ],
)
def test_three_significant_digits(value, text):
    assert numbers.significant(value) == text


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_significant_stays_within_half_a_unit_of_the_third_digit(value):
    assert float(numbers.significant(value).replace(",", "")) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("value", "text"),
    [(950, "950"), (10_900, "10.9 k"), (22_713_986, "22.7 M"), (999_999, "1.00 M"), (1.31e9, "1.31 B")],
)
def test_counts(value, text):
    assert numbers.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(512, "512 B"), (43_100, "43.1 kB"), (90_870_000, "90.9 MB"), (1.34e9, "1.34 GB")]
)
def test_sizes(value, text):
    assert numbers.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.84, "0.84x"), (1.24, "1.24x"), (1.996, "2.0x"), (11.2, "11.2x"), (112.4, "112x")]
)
def test_speedups(value, text):
    assert numbers.speedup(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4, "0.4 s"),
        (45, "45 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (600, "10 min"),
        (3599.8, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(value, text):
    assert numbers.seconds(value) == text


def test_scores_are_of_100_or_have_three_digits():
    assert numbers.score(0.914, percent=True) == "91.4"
    assert numbers.score(-0.0001, percent=True) == "0.0"
    assert numbers.score(-2.3456, percent=False) == "-2.35"
    assert numbers.interval([0.894, 0.932], percent=True) == "[89.4, 93.2]"


def test_percentages_keep_a_decimal_below_one():
    assert numbers.percentage(0.48) == "48 %"
    assert numbers.percentage(0.004) == "0.4 %"
    assert numbers.percentage(0.983, 1) == "98.3 %"


@pytest.mark.parametrize(
    "write",
    [
        numbers.significant,
        numbers.count,
        numbers.size,
        numbers.milliseconds,
        numbers.speedup,
        numbers.seconds,
        numbers.percentage,
    ],
)
def test_what_was_not_measured_is_empty(write):
    assert write(None) == ""


def test_metric_names():
    assert numbers.metric_name("matthews_correlation") == "Matthews correlation"
    assert numbers.metric_name("top_5_accuracy") == "top 5 accuracy"
