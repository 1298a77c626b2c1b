import statistics

import pytest

from stages.trials import cheap
from subarch.errors import DivergedError, InterruptedRun
from subarch.optimize.domain import Domain, Float
from subarch.optimize.metrics import Metric
from subarch.optimize.problem import Problem
from subarch.optimize.samplers.registry import make_sampler
from subarch.optimize.study import Study
from subarch.optimize.trials import Trial
from subarch.stages.trials.confirming import Confirmation, representatives
from subarch.stages.trials.ledger import Ledger
from subarch.tracking.record import NullRecord

BASELINE = {"x": 0.9, "size": 20}


def noisy(task, tell):
    found = cheap.trial(task, tell)
    return {"metrics": {**found["metrics"], "score": found["metrics"]["score"] + task.seed % 7 / 100}}


def diverging(task, tell):
    if task.seed % 2:
        raise DivergedError("the loss is nan")
    return noisy(task, tell)


@pytest.fixture
def driver():
    _, driver = cheap.opened(NullRecord(), baseline=BASELINE, trials=8)
    driver.run(cheap.trying(noisy))
    return driver


def confirmation(driver, record=None, run_id=None, members=2, seeds=3):
    ledger = Ledger(record or NullRecord(), run_id, "confirmation")
    return Confirmation(driver=driver, ledger=ledger, members=members, seeds=seeds)


def test_the_ends_of_the_front_and_where_it_bends_are_confirmed():
    metrics = (
        Metric(name="score", direction="maximize", threshold=0.0),
        Metric(name="cost", direction="minimize", threshold=10.0),
    )
    found = [(0.95, 8.0), (0.90, 2.0), (0.2, 1.0), (0.96, 9.0), (0.92, 5.0), (0.1, 9.5)]
    trials = [
        Trial(number=number, params={"x": 0.5}, state="finished", metrics={"score": score, "cost": cost})
        for number, (score, cost) in enumerate(found)
    ]
    problem = Problem(domain=Domain(parameters={"x": Float(low=0.0, high=1.0)}), metrics=metrics)
    study = Study(problem, make_sampler("random"), trials=trials)
    assert representatives(study, 9) == representatives(study, 5) == [0, 1, 2, 3, 4]
    assert representatives(study, 4) == [1, 2, 3, 4] and representatives(study, 3) == [1, 2, 3]
    assert representatives(study, 2) == [2, 3] and representatives(study, 1) == [1] and representatives(study, 0) == []
    assert representatives(Study(problem, study.sampler), 3) == []


def test_the_front_and_the_baseline_get_new_seeds(driver):
    work = confirmation(driver)
    front = {trial.number for trial in driver.study.front()}
    assert 0 in work.numbers and set(work.numbers) - {0} <= front and work.waiting == work.numbers
    entries = list(work.run(cheap.trying(noisy)))
    assert len(entries) == 3 * len(work.numbers) and work.waiting == []
    seeds = [entry.seed for entry in entries]
    assert len(set(seeds)) == len(seeds) and not set(seeds) & {entry.seed for entry in driver.entries.values()}
    spread = work.results()[0]["score"]
    scores = [entry.ending.metrics["score"] for entry in entries if entry.number == 0]
    assert spread == {"mean": statistics.fmean(scores), "std": statistics.stdev(scores), "count": 3}
    assert work.results()[0]["cost"]["std"] == 0.0


def test_no_members_no_work(driver):
    work = confirmation(driver, members=0)
    assert work.numbers == [] and list(work.run(cheap.trying(noisy))) == [] and work.results() == {}


def test_one_seed_has_no_spread(driver):
    work = confirmation(driver, seeds=1)
    list(work.run(cheap.trying(noisy)))
    assert work.results()[0]["score"]["std"] == 0.0 and work.results()[0]["score"]["count"] == 1


def test_a_confirmation_goes_on_where_it_was_stopped(driver, record):
    run = record.start("search", name="confirmed", config={})
    work = confirmation(driver, record, run.run_id)
    asked = []

    def stop():
        return len(asked) == 2

    with pytest.raises(InterruptedRun):
        for entry in work.run(cheap.trying(noisy, stop_requested=stop)):
            asked.append(entry.key)
    again = confirmation(driver, record, run.run_id)
    assert again.waiting
    rest = [entry.key for entry in again.run(cheap.trying(noisy))]
    assert not set(rest) & set(asked) and len(rest) + len(asked) == 3 * len(again.numbers)
    whole = confirmation(driver)
    list(whole.run(cheap.trying(noisy)))
    assert again.results() == whole.results()
    assert confirmation(driver, record, run.run_id).results() == whole.results()


def test_one_that_diverges_has_ended_and_is_not_counted(driver):
    work = confirmation(driver, seeds=4)
    endings = [entry.ending.state for entry in work.run(cheap.trying(diverging))]
    assert set(endings) == {"finished", "failed"} and work.waiting == []
    assert sum(found["score"]["count"] for found in work.results().values()) == endings.count("finished")


def test_what_left_the_front_keeps_its_confirmation(driver):
    work = confirmation(driver)
    list(work.run(cheap.trying(noisy)))
    before = work.results()
    driver.study.set_threshold("score", 2.0)
    assert work.numbers == [0] and work.results() == before
