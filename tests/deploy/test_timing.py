from types import SimpleNamespace

import pytest

from subarch.deploy.timing import Latency, measure_latency
from subarch.errors import ConfigError


@pytest.fixture
def bench(monkeypatch):
    """A clock that only answers move, and the calls made: `bench.answer(name, seconds...)` takes so long in turn."""

    class Bench:
        now = 50.0

        def __init__(self):
            self.calls = []

        def answer(self, name, *seconds):
            turns = iter(())

            def call(request):
                nonlocal turns
                self.calls.append((name, request))
                took = next(turns, None)
                if took is None:
                    turns = iter(seconds)
                    took = next(turns)
                self.now += took

            return call

    bench = Bench()
    clock = SimpleNamespace(monotonic=lambda: bench.now, perf_counter=lambda: bench.now)
    monkeypatch.setattr("subarch.deploy.timing.time", clock)
    return bench


def latency(*rounds):
    return Latency(median_ms=0.0, low_ms=0.0, high_ms=0.0, rounds_ms=rounds)


def test_contestants_take_turns_in_every_round(bench):
    contestants = {"a": (bench.answer("a", 0.1), [1, 2]), "b": (bench.answer("b", 0.1), [3, 4])}
    measure_latency(contestants, repeats=2, warmup=1)
    assert bench.calls == [("a", 1), ("a", 2), ("b", 3), ("b", 4)] * 3


def test_the_median_over_rounds_of_the_mean_over_requests(bench):
    # warm-up of 9 s is not counted; then means of 2, 4, 6, 8 and 100 ms
    pairs = [9.0, 9.0, 0.001, 0.003, 0.004, 0.004, 0.005, 0.007, 0.008, 0.008, 0.1, 0.1]
    found = measure_latency({"a": (bench.answer("a", *pairs), ["x", "y"])}, repeats=5, warmup=1)["a"]
    assert found.rounds_ms == pytest.approx((2, 4, 6, 8, 100))
    assert (found.low_ms, found.median_ms, found.high_ms) == pytest.approx((4, 6, 8))


def test_the_speedup_is_the_median_of_the_ratios_within_rounds():
    slow, fast = latency(10.0, 40.0, 9.0), latency(5.0, 10.0, 9.0)
    assert fast.speedup_over(slow) == 2.0  # of 2, 4 and 1
    assert slow.speedup_over(fast) == 0.5
    assert slow.speedup_over(slow) == 1.0


def test_a_limit_ends_after_the_round_that_passes_it(bench):
    found = measure_latency({"a": (bench.answer("a", 1.0), [0])}, repeats=50, warmup=2, seconds=6.5)
    assert len(found["a"].rounds_ms) == 5  # the seventh second passes 6.5; two of the seven rounds warmed up


def test_three_rounds_are_counted_whatever_the_limit(bench):
    found = measure_latency(
        {"a": (bench.answer("a", 1.0), [0]), "b": (bench.answer("b", 2.0), [0])}, repeats=50, warmup=2, seconds=0.0
    )
    assert {name: len(each.rounds_ms) for name, each in found.items()} == {"a": 3, "b": 3}


def test_a_generous_limit_changes_nothing(bench):
    found = measure_latency({"a": (bench.answer("a", 0.1), [0])}, repeats=4, warmup=0, seconds=1e6)
    assert len(found["a"].rounds_ms) == 4


@pytest.mark.parametrize("contestants", [{}, {"a": (print, [])}, {"a": (print, [1]), "b": (print, [])}])
def test_nothing_to_time_is_refused(contestants):
    with pytest.raises(ConfigError, match="nothing to time"):
        measure_latency(contestants)
