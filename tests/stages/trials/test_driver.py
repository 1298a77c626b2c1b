import pytest

from stages.trials import cheap
from subarch.errors import ConfigError, InterruptedRun, StorageError, SubarchError
from subarch.optimize.early_stopping import Verdict
from subarch.optimize.metrics import Metric
from subarch.optimize.samplers.registry import make_sampler
from subarch.running.budget import Deadline
from subarch.running.process_executor import ProcessExecutor
from subarch.stages.trials.driver import trial_seed
from subarch.stages.trials.ledger import Ledger
from subarch.stages.trials.settings import StoppingConfig
from subarch.tracking.record import NullRecord


def suggestions(driver):
    return [dict(trial.params) for trial in driver.study.trials]


def states(driver):
    return [trial.state for trial in driver.study.trials]


@pytest.fixture(scope="module")
def uninterrupted():
    _, driver = cheap.opened(NullRecord())
    driver.run(cheap.trying())
    return driver


def test_every_trial_is_told_and_recorded(record):
    run, driver = cheap.opened(record)
    seen = []
    driver.run(cheap.trying(), lambda d, entry, value: seen.append((entry.number, value["metrics"]["cost"], d.ended)))
    assert states(driver) == ["finished"] * 6 and [row[0] for row in seen] == list(range(6))
    assert [row[2] for row in seen] == [1, 2, 3, 4, 5, 6]
    entries = Ledger(record, run.run_id).load()
    assert [entry.trial for entry in entries] == list(driver.study.trials)
    assert all(entry.ending.curve[-1][0] == 1.0 and entry.ending.seconds >= 0 for entry in entries)
    assert record.history(entries[0].run_id, "score")[0][0] == 0  # the final value; then the curve
    assert {run["status"] for run in record.runs("trial", run.run_id)} == {"FINISHED"}


def test_each_trial_has_a_seed_of_its_own():
    seeds = [trial_seed(3, number) for number in range(100)]
    assert len(set(seeds)) == 100 and all(0 <= seed < 2**31 for seed in seeds)
    assert trial_seed(3, 5) == trial_seed(3, 5) != trial_seed(4, 5)


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_killed_search_goes_on_as_if_nothing_had_been(after, record, uninterrupted):
    """Killed while a trial runs: what ended counts once, what ran is tried again, and the rest is suggested alike."""

    def kill(task, tell):
        if task.number == after:
            raise KeyboardInterrupt
        return cheap.trial(task, tell)

    run, driver = cheap.opened(record)
    with pytest.raises(KeyboardInterrupt):
        driver.run(cheap.trying(kill))
    _, again = cheap.opened(record, run.run_id)
    assert (again.ended, again.remaining) == (after, 6 - after)
    again.run(cheap.trying())
    assert again.study.trials == uninterrupted.study.trials
    runs = record.runs("trial", run.run_id)
    assert len(runs) == 6 and {child["status"] for child in runs} == {"FINISHED"}


def test_more_trials_continue_the_same_search(record, uninterrupted):
    run, driver = cheap.opened(record, trials=2)
    driver.run(cheap.trying())
    _, again = cheap.opened(record, run.run_id, trials=6)
    again.run(cheap.trying())
    assert suggestions(again) == suggestions(uninterrupted)
    _, fewer = cheap.opened(record, run.run_id, trials=3)
    fewer.run(cheap.trying())
    assert len(fewer.study.trials) == 6 and fewer.remaining == 0


def test_the_baseline_comes_first_and_once(record):
    baseline = {"x": 0.5, "size": 6}
    run, driver = cheap.opened(record, baseline=baseline, trials=2)
    driver.run(cheap.trying())
    _, again = cheap.opened(record, run.run_id, baseline=baseline, trials=4)
    again.run(cheap.trying())
    assert suggestions(again)[0] == baseline and baseline not in suggestions(again)[1:]


def test_the_configurations_fault_is_a_failure_with_its_traceback(record):
    run, driver = cheap.opened(record)
    driver.run(cheap.trying(cheap.diverging))
    assert states(driver) == ["finished", "failed"] * 3
    assert driver.study.trials[1].reason == "the loss is nan at step 3" and not driver.study.trials[1].metrics
    failed = [child for child in record.runs("trial", run.run_id) if child["status"] == "FAILED"]
    assert len(failed) == 3 and "in diverging" in failed[0]["traceback"]


def test_a_number_that_is_none_is_a_failure():
    _, driver = cheap.opened(NullRecord(), trials=2)
    driver.run(cheap.trying(cheap.not_a_number))
    assert states(driver) == ["failed"] * 2 and driver.study.trials[0].reason == "score is nan, expected a number"


def test_a_metric_that_no_trial_reports_ends_the_search(record):
    run, driver = cheap.opened(record)
    with pytest.raises(ConfigError, match="trial 0 reports no kept") as caught:
        driver.run(cheap.trying(cheap.unreported))
    assert "it reports cost, score" in caught.value.hint
    assert {child["status"] for child in record.runs("trial", run.run_id)} == {"KILLED"}


def test_a_lost_worker_is_not_the_configurations_fault(uninterrupted, record):
    run, driver = cheap.opened(record)
    driver.run(cheap.trying(cheap.lost_once))
    assert driver.study.trials == uninterrupted.study.trials
    assert [entry.attempt for entry in Ledger(record, run.run_id).load()] == [1, 1, 2, 1, 1, 1]


def test_what_is_lost_again_and_again_is_put_aside_and_not_told(record, uninterrupted, caplog):
    run, driver = cheap.opened(record, trials=5)
    driver.run(cheap.trying(cheap.lost_for_good, attempts=2))
    assert states(driver) == ["finished", "finished", "running", "finished", "finished"]
    assert [entry.number for entry in driver.lost] == [2] and driver.remaining == 1
    assert "trial 2 is put aside" in caplog.text and "lost 2 times: a worker died" in caplog.text
    _, again = cheap.opened(record, run.run_id, trials=5)
    assert again.remaining == 1 and not again.lost
    again.run(cheap.trying())
    assert states(again) == ["finished"] * 5 and len(record.runs("trial", run.run_id)) == 5


def test_where_nothing_ends_the_search_does(record):
    run, driver = cheap.opened(record)
    with pytest.raises(SubarchError, match="the last 4 attempts were lost, none ended: a worker died") as caught:
        driver.run(cheap.trying(cheap.always_lost, attempts=2))
    assert caught.value.exit_code == 1
    assert "RUNNING" not in {child["status"] for child in record.runs("trial", run.run_id)}
    _, again = cheap.opened(record, run.run_id)
    again.run(cheap.trying())
    assert states(again) == ["finished"] * 6


def test_a_full_disk_ends_the_search_which_resumes(record, uninterrupted):
    run, driver = cheap.opened(record)
    with pytest.raises(StorageError, match="no space left"):
        driver.run(cheap.trying(cheap.full_disk))
    _, again = cheap.opened(record, run.run_id)
    assert again.ended == 3
    again.run(cheap.trying())
    assert again.study.trials == uninterrupted.study.trials


def test_a_stop_while_a_trial_runs_saves_what_ended(record, uninterrupted):
    stops = iter([False] * 12 + [True] * 9)
    run, driver = cheap.opened(record)
    with pytest.raises(InterruptedRun):
        driver.run(cheap.trying(stop_requested=lambda: next(stops)))
    assert {child["status"] for child in record.runs("trial", run.run_id)} == {"FINISHED", "KILLED"}
    _, again = cheap.opened(record, run.run_id)
    assert 0 < again.ended < 6
    again.run(cheap.trying())
    assert again.study.trials == uninterrupted.study.trials


def test_no_trial_begins_after_the_deadline(record):
    clock = iter(range(100))
    deadline = Deadline(at=3, clock=lambda: next(clock))
    run, driver = cheap.opened(record, deadline=deadline)
    driver.run(cheap.trying())
    assert states(driver) == ["finished"] * 3
    _, again = cheap.opened(record, run.run_id)
    again.run(cheap.trying())
    assert states(again) == ["finished"] * 6


def test_a_trial_that_cannot_reach_the_front_is_stopped(record, monkeypatch):
    asked = []

    def rule(problem, trials, curves, running, params, rule):
        asked.append((len(trials), sorted(curves), list(running)))
        return Verdict(stop=len(trials) == 3 and running[-1][0] > 0.5, reason="too low")

    monkeypatch.setattr("subarch.stages.trials.driver.can_still_reach_front", rule)
    run, driver = cheap.opened(record, rule=object())
    driver.run(cheap.trying())
    assert states(driver) == ["finished", "finished", "stopped", "finished", "finished", "finished"]
    stopped = driver.study.trials[2]
    assert stopped.reason == "too low" and "score" not in stopped.metrics
    assert asked[-1][1] == [0, 1, 3, 4] and len(asked[-1][2]) == 3
    assert driver.study.front() and stopped not in driver.study.front()
    entry = Ledger(record, run.run_id).load()[2]
    assert entry.trial == stopped and 0 < len(entry.ending.curve) < 3


def test_the_baseline_is_never_stopped(monkeypatch):
    verdict = Verdict(stop=True, reason="too low")
    monkeypatch.setattr("subarch.stages.trials.driver.can_still_reach_front", lambda *given: verdict)
    _, driver = cheap.opened(NullRecord(), rule=object(), baseline={"x": 0.5, "size": 10}, trials=3)
    driver.run(cheap.trying())
    assert states(driver) == ["finished", "stopped", "stopped"]


def test_stopping_saves_training_and_keeps_the_front():
    def searched(rule):
        told = []
        changes = {"problem": cheap.priced(), "sampler": make_sampler("random"), "trials": 45, "rule": rule}
        _, driver = cheap.opened(NullRecord(), **changes)
        driver.run(cheap.trying(lambda task, tell: cheap.curved(task, lambda event: (told.append(1), tell(event)))))
        return driver.study, len(told)

    (whole, all_steps), (stopped, steps) = searched(None), searched(StoppingConfig().rule("score"))
    assert steps < 0.8 * all_steps
    assert [trial.state for trial in stopped.trials].count("stopped") > 10
    fronts = [{trial.number for trial in study.front()} for study in (whole, stopped)]
    assert len(fronts[0]) > 6 and len(fronts[0] ^ fronts[1]) <= 1  # at a confidence of 0.9


def test_progress_says_what_one_wants_to_know():
    _, driver = cheap.opened(NullRecord(), trials=4)
    assert driver.progress()["seconds_left"] is None
    driver.run(cheap.trying())
    seen = driver.progress()
    assert (seen["done"], seen["total"], seen["seconds_left"]) == (4, 4, 0.0)
    assert seen["front"] >= 1 and seen["nearest"] is None
    assert seen["best"]["cost"] == min(trial.metrics["cost"] for trial in driver.study.trials)
    _, strict = cheap.opened(NullRecord(), trials=4, problem=cheap.problem(score=2.0))
    strict.run(cheap.trying())
    seen = strict.progress()
    assert (seen["front"], seen["best"]) == (0, {}) and seen["nearest"] in range(4)


def test_a_known_metric_need_not_be_reported(record):
    found = cheap.problem()
    size = Metric(name="size_squared", direction="minimize")
    known = {"size_squared": lambda params: float(params["size"] ** 2)}
    wider = type(found)(domain=found.domain, metrics=(*found.metrics, size), known=known)
    run, driver = cheap.opened(record, trials=2, problem=wider)
    driver.run(cheap.trying())
    for child, trial in zip(record.runs("trial", run.run_id), driver.study.trials, strict=True):
        assert child["metrics"]["size_squared"] == trial.params["size"] ** 2


def test_worker_processes_give_the_same_search(record, uninterrupted):
    _, driver = cheap.opened(record)
    driver.run(cheap.trying(executor=ProcessExecutor(1)))
    assert driver.study.trials == uninterrupted.study.trials
