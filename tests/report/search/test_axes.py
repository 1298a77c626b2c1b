import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.report.search.axes import all_axes, parameter_axis, round_numbers
from subarch.report.search.outcome import Parameter, Trial, read


def trial(number, **params):
    return Trial(number=number, params=params, metrics={}, errors={}, kind="dominated")


def axis(kind, values, **options):
    trials = [trial(index, p=value) if value is not None else trial(index) for index, value in enumerate(values)]
    return parameter_axis(Parameter(name="p", label="p", kind=kind, **options), trials), trials


def test_a_log_axis_is_logarithmic_and_says_real_values():
    found, trials = axis("float", [1e-5, 1e-4, 1e-2], log=True)
    assert [found.position(one) for one in trials] == pytest.approx([-5, -4, -2])
    texts = dict((text, position) for position, text in found.ticks)
    assert texts["1e-4"] == pytest.approx(-4) and texts["0.001"] == pytest.approx(-3)


def test_ticks_of_an_int_are_whole_and_inside():
    found, _ = axis("int", [1, 4])
    assert [text for _, text in found.ticks] == ["1", "2", "3", "4"]


def test_choices_stand_in_their_order_by_name():
    found, trials = axis("choice", ["last", "first"], choices=("first", "last", "spread"))
    assert [found.position(one) for one in trials] == [1, 0]
    assert [text for _, text in found.ticks] == ["first", "last", "spread"]


def test_truth_values_are_choices():
    found, trials = axis("choice", [True, False], choices=(False, True))
    assert [found.position(one) for one in trials] == [1, 0]


def test_a_missing_value_has_a_lane_below_the_others():
    found, trials = axis("float", [1.0, None, 3.0])
    assert found.ticks[0] == (found.lane, "none")
    assert found.position(trials[1]) == found.lane < found.low
    assert found.bottom == found.lane


def test_no_lane_where_every_trial_has_a_value():
    found, _ = axis("float", [1.0, 3.0])
    assert found.lane is None and "none" not in [text for _, text in found.ticks]


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_round_numbers_lie_inside_and_are_few(low, width):
    found = round_numbers(low, low + width)
    slack = 1e-6 * max(width, 1e-12 * abs(low)) + 1e-9 * abs(low)
    assert 1 <= len(found) <= 7 or width < 1e-9 * abs(low)
    assert all(low - slack <= tick <= low + width + slack for tick in found)


@given(st.floats(-12, 6), st.floats(0, 12), st.booleans())
def test_every_log_range_has_ticks_within_it(low, decades, whole):
    values = [10**low, 10 ** (low + decades)]
    found, _ = axis("int" if whole else "float", values, log=True)
    assert all(found.low - 1e-6 <= position <= found.high + 1e-6 for position, _ in found.ticks)
    assert len(found.ticks) <= 8
    assert found.ticks or whole


def test_metrics_come_first_then_parameters_by_importance_and_the_inert_last(content):
    search = read(content)
    keys = [found.key for found in all_axes(search, [t for t in search.trials if t.finished])]
    assert keys[:2] == ["metric exact_match", "metric num_parameters"]
    assert keys[4] == "parameter student.num_hidden_layers"
    assert keys[-1] == "parameter loop.weight_decay"


def test_positions_are_finite(content):
    search = read(content)
    for found in all_axes(search, search.trials):
        positions = [found.position(one) for one in search.trials]
        assert all(position is None or math.isfinite(position) for position in positions)
        assert found.metric is not None or None not in positions
