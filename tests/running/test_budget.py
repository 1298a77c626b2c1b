import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.running.budget import Budget, Deadline, Stopwatch, parse_duration


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600),
        ("90s", 90),
        ("1h30m", 5400),
        ("600", 600),
        ("0.5", 0.5),
        ("1.5h", 5400),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        (" 10M ", 600),
    ],
)
def test_durations_people_write(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    # "1h30" could mean minutes or seconds.
    "text",
    ["", "0", "0m", "-5m", "ten", "10 minutes", "1h30", "30m1h", "5m5m", "m", "nan", "inf", "1e3", "9" * 400],
)
def test_no_duration(text):
    with pytest.raises(ConfigError, match="expected a time above zero") as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert "10m" in caught.value.hint


def test_deadline_counts_down(clock):
    deadline = Deadline.after(10, clock)
    assert deadline.remaining() == 10
    clock.now += 9.5
    assert deadline.remaining() == 0.5
    assert not deadline.expired
    clock.now += 1
    assert deadline.remaining() == 0
    assert deadline.expired


def test_no_deadline(clock):
    deadline = Deadline.after(None, clock)
    clock.now += 1e9
    assert deadline.remaining() == math.inf
    assert not deadline.expired
    assert deadline.share(0.1).remaining() == math.inf
    assert deadline.share(0.0).remaining() == math.inf


def test_share_is_of_what_remains(clock):
    deadline = Deadline.after(100, clock)
    clock.now += 20
    assert deadline.share(0.25).remaining() == 20
    clock.now += 100
    assert deadline.share(0.5).expired


def test_share_stays_within(clock):
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        Deadline.after(1, clock).share(1.5)


def test_real_clock_moves():
    deadline = Deadline.after(1000)
    first = deadline.remaining()
    assert 999 < first <= 1000
    assert deadline.remaining() <= first


def test_stopwatch_adds_up(clock):
    stopwatch = Stopwatch(clock)
    for seconds in (2, 3):
        with stopwatch.measure("train"):
            clock.now += seconds
    with pytest.raises(RuntimeError), stopwatch.measure("test"):
        clock.now += 1
        raise RuntimeError
    assert stopwatch.seconds == {"train": 5, "test": 1}


def test_budget_shares_by_weight(clock):
    budget = Budget(100, {"a": 1, "b": 3}, clock)
    with budget.stage("a") as deadline:
        assert deadline.remaining() == 25
        clock.now += 25
    with budget.stage("b") as deadline:
        assert deadline.remaining() == 75


def test_unused_time_flows_on(clock):
    budget = Budget(100, {"a": 1, "b": 1, "c": 1}, clock)
    with budget.stage("a"):
        clock.now += 10
    with budget.stage("b") as deadline:
        assert deadline.remaining() == 45
        clock.now += 50  # five too long
    with budget.stage("c") as deadline:
        assert deadline.remaining() == 40
    assert budget.seconds == {"a": 10, "b": 50, "c": 0}


def test_skipped_stage_leaves_its_share(clock):
    budget = Budget(100, {"a": 1, "b": 1, "c": 2}, clock)
    budget.skip("a")
    with budget.stage("b") as deadline:
        assert deadline.remaining() == pytest.approx(100 / 3)


def test_stage_may_come_back(clock):
    budget = Budget(100, {"a": 1, "b": 1}, clock)
    with budget.stage("a"):
        clock.now += 20
    with budget.stage("a") as deadline:
        assert deadline.remaining() == 40


def test_budget_without_limit(clock):
    with Budget(None, {"a": 1, "b": 1}, clock).stage("a") as deadline:
        assert deadline.remaining() == math.inf


def test_spent_budget_gives_nothing(clock):
    with Budget(-3, {"a": 1, "b": 1}, clock).stage("a") as deadline:
        assert deadline.expired


def test_unknown_stage(clock):
    budget = Budget(100, {"finetune": 1}, clock)
    with pytest.raises(ConfigError, match="finetun'") as caught, budget.stage("finetun"):
        pass
    assert "did you mean finetune?" in caught.value.hint
    with pytest.raises(ConfigError):
        budget.skip("other")


@pytest.mark.parametrize("weight", [0, -1, math.nan])
def test_weights_are_above_zero(weight):
    with pytest.raises(ConfigError, match="weight of a"):
        Budget(1, {"a": weight})


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1)), min_size=1, max_size=8))
def test_stages_that_keep_their_deadline_keep_the_budget(stages):
    clock = Clock()
    budget = Budget(100, {str(index): weight for index, (weight, _) in enumerate(stages)}, clock)
    for index, (_, used) in enumerate(stages):
        with budget.stage(str(index)) as deadline:
            clock.now += used * deadline.remaining()
    assert clock.now <= 1100 + 1e-6


def test_a_stage_can_be_sure_of_some_time(clock):
    budget = Budget(100, {"a": 1, "b": 1, "c": 1}, clock)
    with budget.stage("a", least=10) as deadline:
        assert deadline.remaining() == pytest.approx(100 / 3)
        clock.now += 99
    with budget.stage("b", least=10) as deadline:
        assert deadline.remaining() == 10
        clock.now += 10
    with budget.stage("c") as deadline:
        assert deadline.expired
