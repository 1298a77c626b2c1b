import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subarch.errors import ConfigError
from subarch.optimize.domain import Domain, Exhausted, Table
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.study import Study

DOMAIN = Domain.parse({"x": {"low": 0.0, "high": 1.0}, "n": {"low": 1, "high": 9}})
METRICS = (Metric(name="quality"), Metric(name="size", direction="minimize"))
PROBLEM = Problem(domain=DOMAIN, metrics=METRICS)


class Watching:
    """A sampler that depends on everything it is given, as a model-based one does."""

    name = "watching"

    def __init__(self):
        self.seen = []

    def suggest(self, problem, trials, rng):
        self.seen.append(tuple(trials))
        params = problem.domain.sample(rng)
        told = sum(sum(trial.metrics.values()) for trial in trials if trial.state == "finished")
        running = sum(trial.state == "running" for trial in trials)
        limits = sum(metric.threshold for metric in problem.limited)
        return params | {"x": (params["x"] + told + running / 7 + limits / 3) % 1.0}


class Drawing:
    name = "drawing"

    def suggest(self, problem, trials, rng):
        return problem.domain.sample(rng)


class NextRow:
    name = "next-row"

    def suggest(self, problem, trials, rng):
        return dict(problem.domain.remaining(trials)[0])


def study(problem=PROBLEM, **settings):
    return Study(problem, Watching(), **settings)


def told(*values, problem=PROBLEM):
    """A study with these (quality, size) told, None for a failure."""
    filled = study(problem)
    for value in values:
        number = filled.ask().number
        if value is None:
            filled.fail(number, "out of memory")
        else:
            filled.tell(number, {"quality": value[0], "size": value[1]})
    return filled


def refusal(function, *arguments):
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    return str(caught.value)


def test_ask_and_tell():
    search = study()
    first, second = search.ask(), search.ask()
    assert (first.number, second.number) == (0, 1)
    assert first.state == "running"
    assert DOMAIN.validate(first.params) == first.params
    done = search.tell(1, {"quality": np.float32(0.5), "size": 3, "seconds": 1.5}, {"quality": 0.1})
    assert done.state == "finished"
    assert done.metrics == {"quality": 0.5, "size": 3.0, "seconds": 1.5}
    assert done.errors == {"quality": 0.1}
    assert search.trials == (first, done)
    assert search.running == (first,)
    assert search.front() == [done]


def test_the_sampler_sees_the_running_trials():
    search = study()
    search.ask()
    search.ask()
    assert [trial.state for trial in search.sampler.seen[1]] == ["running"]


def test_what_is_enqueued_comes_first_in_its_order():
    search = study()
    search.enqueue({"x": 0, "n": 3})
    search.enqueue({"x": 1, "n": 4})
    assert [search.ask().params for _ in range(2)] == [{"x": 0.0, "n": 3}, {"x": 1.0, "n": 4}]
    assert search.sampler.seen == []
    search.ask()
    assert len(search.sampler.seen) == 1


def test_given_parameters_pass_the_queue():
    search = study()
    search.enqueue({"x": 0.0, "n": 3})
    assert search.ask({"x": 0.5, "n": 9}).params == {"x": 0.5, "n": 9}
    assert search.ask().params == {"x": 0.0, "n": 3}


def test_a_configuration_that_is_none_changes_nothing():
    search = study()
    assert "n is 10" in refusal(search.ask, {"x": 0.5, "n": 10})
    assert "n is missing" in refusal(search.enqueue, {"x": 0.5})
    assert search.trials == ()


def test_the_suggestion_depends_on_the_seed():
    assert study(seed=1).ask() == study(seed=1).ask() != study(seed=2).ask()


def test_each_trial_has_its_own_draw():
    search = Study(PROBLEM, Drawing())
    assert len({search.ask().params["x"] for _ in range(20)}) == 20


STEPS = st.lists(st.sampled_from(["ask", "tell", "fail", "stop", "threshold"]), min_size=1, max_size=14)


def take(search, step):
    """One random step; its values depend on the trials only, so that two studies can take the same."""
    if step == "ask" or (step != "threshold" and not search.running):
        search.ask()
    elif step == "threshold":
        search.set_threshold("quality", round(len(search.trials) / 5, 3))
    else:
        trial = search.running[len(search.trials) % len(search.running)]
        metrics = {"quality": trial.params["x"], "size": trial.params["n"] * 1.5}
        if step == "tell":
            search.tell(trial.number, metrics, {"quality": 0.01})
        elif step == "fail":
            search.fail(trial.number, "out of memory")
        else:
            search.stop(trial.number, metrics, "cannot reach the front")


@settings(max_examples=80, deadline=None, derandomize=True)
@given(steps=STEPS, cut=st.integers(0, 13), queued=st.integers(0, 3))
def test_a_continued_study_goes_on_as_the_uninterrupted_one(steps, cut, queued):
    baselines = [{"x": 0.5, "n": 3}, {"x": 0.5, "n": 3}, {"x": 0.25, "n": 1}][:queued]
    whole = study(seed=3)
    for params in baselines:
        whole.enqueue(params)
    halted = None
    for index, step in enumerate(steps):
        if index == min(cut, len(steps) - 1):
            halted = whole.problem, whole.trials[::-1]
        take(whole, step)
    problem, trials = halted
    resumed = study(problem, seed=3, trials=trials)
    for params in baselines:
        resumed.enqueue(params)
    for step in steps[min(cut, len(steps) - 1) :]:
        take(resumed, step)
    assert resumed.trials == whole.trials
    assert resumed.front() == whole.front()
    assert resumed.hypervolume_history() == whole.hypervolume_history()
    assert resumed.ask() == whole.ask()


def test_trials_of_a_continued_study_are_checked():
    trials = told((0.5, 1), (0.6, 2)).trials
    assert "trial 1 where trial 0 was expected" in refusal(lambda: study(trials=trials[1:]))
    assert "trial 0 where trial 1 was expected" in refusal(lambda: study(trials=[trials[0], *trials]))
    narrow = Problem(domain=Domain.parse({"x": {"low": 2.0, "high": 3.0}}), metrics=METRICS)
    assert "n is no parameter" in refusal(lambda: study(narrow, trials=trials))
    more = Problem(domain=DOMAIN, metrics=(*METRICS, Metric(name="f1", store=True)))
    assert "trial 0 did not report f1" in refusal(lambda: study(more, trials=trials))


@pytest.mark.parametrize(
    ("metrics", "errors", "said"),
    [
        ({"quality": 0.5}, None, "trial 0 did not report size"),
        ({"quality": 0.5, "sise": 1}, None, "did you mean sise"),
        ({"quality": math.nan, "size": 1}, None, "trial 0 has quality = nan, expected a finite number"),
        ({"quality": 1, "size": 1, "f1": math.inf}, None, "f1 = inf"),
        ({"quality": "0.5", "size": 1}, None, "quality = '0.5'"),
        ({"quality": 0.5, "size": 1}, {"f1": 0.1}, "an error of f1, which it did not report"),
        ({"quality": 0.5, "size": 1}, {"quality": -0.1}, "the error of quality of trial 0 is -0.1"),
    ],
)
def test_results_that_are_refused_leave_the_trial_running(metrics, errors, said):
    search = study()
    search.ask()
    assert said in refusal(search.tell, 0, metrics, errors)
    assert search.trials[0].state == "running"
    search.tell(0, {"quality": 0.5, "size": 1.0})


def test_a_trial_ends_once():
    search = told((0.5, 1), None)
    search.stop(search.ask().number, {}, "too slow")
    for number, state in enumerate(["finished", "failed", "stopped"]):
        for end in (
            lambda n: search.tell(n, {"quality": 1, "size": 1}),
            lambda n: search.fail(n, "again"),
            lambda n: search.stop(n, {}, "again"),
        ):
            assert f"trial {number} has ended already: {state}" in refusal(end, number)
    for number in (3, -1):
        assert f"trial {number} is unknown" in refusal(search.fail, number, "lost")


def test_failed_and_stopped_trials_keep_their_reason_and_are_not_ranked():
    search = told((0.5, 5), None)
    stopped = search.stop(search.ask().number, {"quality": 0.99}, "cannot reach the front")
    assert search.trials[1].reason == "out of memory"
    assert stopped.metrics == {"quality": 0.99}
    assert [trial.number for trial in search.front()] == [0]
    assert search.problem.classify(search.trials) == {0: "front", 1: "failed", 2: "stopped"}


def test_known_metrics_are_computed_and_win():
    problem = Problem(domain=DOMAIN, metrics=METRICS, known={"size": lambda params: 10.0 * params["n"]})
    search = study(problem)
    search.ask({"x": 0.5, "n": 3})
    search.ask({"x": 0.5, "n": 4})
    assert search.tell(0, {"quality": 0.5}).metrics == {"quality": 0.5, "size": 30.0}
    done = search.tell(1, {"quality": 0.5, "size": 41.0}, {"quality": 0.1, "size": 2.0})
    assert done.metrics["size"] == 40.0
    assert done.errors == {"quality": 0.1}


def test_a_threshold_re_ranks_at_once():
    search = told((0.9, 9), (0.5, 2), (0.4, 5))
    assert [trial.number for trial in search.front()] == [0, 1]
    search.set_threshold("quality", 0.6)
    assert search.problem.classify(search.trials) == {0: "front", 1: "beyond", 2: "beyond"}
    search.set_threshold("quality", None)
    assert [trial.number for trial in search.front()] == [0, 1]
    before = study(seed=5, trials=search.trials)
    after = study(seed=5, trials=search.trials)
    after.set_threshold("quality", 0.6)
    assert before.ask() != after.ask()
    assert "did you mean quality" in refusal(search.set_threshold, "qualty", 0.6)


def test_hypervolume_over_the_thresholds():
    problem = PROBLEM.with_threshold("quality", 0.5).with_threshold("size", 10)
    search = told((0.75, 6), None, (0.5, 3), (1.0, 11), (0.4, 1), (1.0, 8), problem=problem)
    search.ask()
    assert search.hypervolume_history() == pytest.approx([1.0, 1.0, 1.0, 1.0, 1.0, 1.5])
    assert search.hypervolume() == pytest.approx(1.5)
    assert study().hypervolume() == 0.0
    assert study().hypervolume_history() == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 9))), max_size=14))
def test_the_history_ends_in_the_hypervolume_and_never_falls(values):
    search = told(*values)
    history = search.hypervolume_history()
    assert len(history) == len(values)
    assert history == sorted(history)
    assert (history or [0.0])[-1] == pytest.approx(search.hypervolume())


def test_the_nearest_to_feasible_weighs_by_the_observed_range():
    limits = PROBLEM.with_threshold("quality", 0.9).with_threshold("size", 100)
    search = told((0.5, 1000), (0.8, 400), (0.7, 150), None, problem=limits)
    # misses 0.4 + 900, 0.1 + 300 and 0.2 + 50 in ranges of 0.3 and 850
    assert search.nearest_to_feasible().number == 1
    search.set_threshold("size", 300)
    assert search.nearest_to_feasible().number == 1
    search.set_threshold("size", 10)
    search.set_threshold("quality", 0.7)
    assert search.nearest_to_feasible().number == 2
    search.set_threshold("size", None)
    assert search.nearest_to_feasible() is None  # trials 1 and 2 are feasible
    assert told(None, problem=limits).nearest_to_feasible() is None
    assert told((0.1, 1), (0.1, 1), problem=limits).nearest_to_feasible().number == 0


def test_a_table_ends():
    rows = ({"x": 1}, {"x": 2})
    search = Study(Problem(domain=Table(rows), metrics=METRICS), NextRow())
    assert [search.ask().params for _ in rows] == list(rows)
    with pytest.raises(Exhausted):
        search.ask()
    assert len(search.trials) == 2


def test_a_thousand_trials_are_quick():
    rng = np.random.default_rng(0)
    problem = Problem(domain=DOMAIN, metrics=(*METRICS, Metric(name="latency_ms", direction="minimize")))
    search = study(problem)
    started = time.process_time()
    for _ in range(1000):
        values = rng.random(3)
        metrics = {"quality": values[0], "size": values[0] + values[1], "latency_ms": values[0] + values[2]}
        search.tell(search.ask({"x": values[0], "n": 3}).number, metrics)
    assert len(search.hypervolume_history()) == 1000
    assert search.problem.classify(search.trials)
    assert search.nearest_to_feasible() is None
    again = Study(problem, Watching(), trials=search.trials)
    assert again.hypervolume() == pytest.approx(search.hypervolume())
    assert time.process_time() - started < 3.0
