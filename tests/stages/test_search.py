import html
import json
import logging

import pytest
from filelock import FileLock

from stages import tiny
from stages.trials import small
from subarch.api import run_stage
from subarch.errors import BudgetError, ConfigError, InterruptedRun, OutputError
from subarch.inputs import data as inputs
from subarch.report.answers import answer
from subarch.running.executor import InProcessExecutor
from subarch.session.session import Session
from subarch.stages import search as search_module

SETTINGS = {
    "max_length": 24,
    "trials": 4,
    "force": True,  # the teacher is noise
    "sampler": "random",
    "metrics": {"accuracy": {}, "num_parameters": {}, "flops": {"store": True}},
    "parameters": {
        "student": {"num_hidden_layers": {"low": 1, "high": 3}, "intermediate_size": {"choices": [32, 64]}},
        "loop": {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}},
    },
    "baseline": {"student": {"num_hidden_layers": 3, "intermediate_size": 64}, "loop": {"learning_rate": 3e-3}},
    "student": {"layers": "first"},
    "loop": {"max_steps": 6, "evaluations": 2, "batch_size": 16},
    "confirm": {"members": 1, "seeds": 2},
}
BASELINE = {"student.num_hidden_layers": 3, "student.intermediate_size": 64, "loop.learning_rate": 3e-3}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return tiny.teacher(tmp_path_factory.mktemp("searched") / "teacher", labels=("bad", "good"))


class Counting(InProcessExecutor):
    """Counts what it runs."""

    def __init__(self):
        self.ran = []

    def map(self, function, items, *, on_event=None):
        for outcome in super().map(function, items, on_event=on_event):
            self.ran.append((outcome.item.entry.number, outcome.item.entry.seed, outcome.item.task.split))
            yield outcome


def searched(out, rows, teacher, record, *, events=None, stop=lambda: False, **changes):
    """Run a search: (result, what was trained)."""
    executor = Counting()
    on_event = (lambda event: None) if events is None else events.append
    session = Session(record=record, executor=executor, on_event=on_event, stop_requested=stop)
    settings = {**SETTINGS, "teacher": str(teacher), "train": rows, "out": out, **changes}
    return run_stage("search", settings, session=session), executor.ran


@pytest.fixture(scope="module")
def done(tmp_path_factory, rows, teacher, record):
    """(folder, result, what was trained, events) of a search of four trials."""
    out, events = tmp_path_factory.mktemp("search") / "out", []
    result, ran = searched(out, rows, teacher, record, events=events)
    return out, result, ran, events


def test_a_search_leaves_a_front_a_page_and_its_students(done):
    out, result, _, events = done
    metrics = result.metrics
    assert (metrics["trials"], metrics["failed"], metrics["stopped"], metrics["lost"]) == (4, 0, 0, [])
    assert metrics["front"] and metrics["unmet"] is None and metrics["waiting"] == []
    assert metrics["baseline"]["params"] == BASELINE
    for trial in metrics["front"]:
        assert set(trial["metrics"]) >= {"accuracy", "num_parameters", "flops"}
        assert (out / result.artifacts[f"student {trial['number']}"] / "config.json").exists()
    assert metrics["hypervolume"] > 0
    assert "<html" in (out / "report.html").read_text()[:200]
    lines = metrics["data"]["lines"]
    assert lines == [event["detail"] for event in events if event.get("name") == "data"] and len(lines) >= 3
    assert all(html.escape(line) in (out / "report.html").read_text() for line in lines + metrics["data"]["found"])
    assert json.loads((out / "result.json").read_text())["metrics"] == json.loads(json.dumps(metrics))
    kept = {int(path.name) for path in (out / "trials").iterdir()}
    assert kept == {trial["number"] for trial in metrics["front"]} | {0}
    assert [event["done"] for event in events if event["event"] == "trials"] == [1, 2, 3, 4]
    assert "trials, 0 failed" in answer(result.to_json())


def test_the_front_is_confirmed_under_new_seeds_on_untouched_data(done):
    _, result, ran, _ = done
    trials = [row for row in ran if row[2] == "validation"]
    confirmed = [row for row in ran if row[2] == "test"]
    assert [row[0] for row in trials] == [0, 1, 2, 3]
    assert not {row[1] for row in confirmed} & {row[1] for row in trials}
    assert len({row[1] for row in confirmed}) == len(confirmed) == 2 * len({row[0] for row in confirmed})
    assert 0 in {row[0] for row in confirmed}
    spread = result.metrics["baseline"]["confirmed"]["accuracy"]
    assert spread["count"] == 2 and 0 <= spread["mean"] <= 1 and spread["std"] >= 0


def test_the_record_shows_the_trials_below_the_search(done, record):
    _, result, _, _ = done
    trials = record.runs("trial", result.run_id)
    assert [run["name"] for run in trials] == [f"trial {number}" for number in range(4)]
    assert trials[0]["params"]["student.num_hidden_layers"] == "3" and trials[0]["metrics"]["accuracy"] <= 1
    assert len(record.history(trials[0]["run_id"], "score")) >= 2
    assert {run["run_id"] for run in trials} >= {trial["run_id"] for trial in result.metrics["front"]}
    assert len(record.runs("confirmation", result.run_id)) >= 2
    (parent,) = [run for run in record.runs("search") if run["run_id"] == result.run_id]
    assert parent["status"] == "FINISHED" and "trials" not in parent["params"]


def test_the_same_call_trains_nothing(done, rows, teacher, record):
    out, result, _, _ = done
    again, ran = searched(out, rows, teacher, record, workers=1)
    assert again.reused and again == result and ran == []


def test_another_search_is_refused(done, rows, teacher, record):
    with pytest.raises(OutputError, match=r"its config\.seed is 0, this one's is 5"):
        searched(done[0], rows, teacher, record, seed=5)


def test_what_no_search_could_use_is_refused_before_a_worker_starts(teacher, record, tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "load_task", lambda *_, **__: small.BUILT_IN["span"]())
    monkeypatch.setattr(search_module, "opened_executor", lambda *_: pytest.fail("far enough"))
    settings = {
        **SETTINGS,
        "teacher": str(teacher),
        "task": "span",
        "out": tmp_path / "out",
        "metrics": {"f1": {}, "num_parameters": {}},
        "parameters": {"student": {"classifier_dropout": {"choices": [0.0, 0.1]}}},
        "baseline": None,
    }
    with pytest.raises(ConfigError, match="have no dropout before their head"):
        run_stage("search", settings, session=Session(record=record))
    assert not (tmp_path / "out").exists()


def test_thresholds_rank_a_finished_search_anew(done, rows, teacher, record, caplog):
    """One test, since each call changes the folder: a threshold, one that nothing meets, none, more trials."""
    out, result, _, _ = done
    sizes = sorted(trial["metrics"]["num_parameters"] for trial in result.metrics["front"])
    strict, ran = searched(out, rows, teacher, record, set_threshold=[f"num_parameters={sizes[0]}"])
    assert ran == [] and {trial["metrics"]["num_parameters"] for trial in strict.metrics["front"]} == {sizes[0]}
    assert strict.metrics["thresholds"] == {"num_parameters": sizes[0]}
    assert strict.run_id == result.run_id and strict.config["set_threshold"] == {"num_parameters": sizes[0]}
    with caplog.at_level(logging.WARNING):
        none, ran = searched(out, rows, teacher, record, set_threshold={"num_parameters": 5})
    assert ran == [] and none.metrics["front"] == []
    assert "no trial meets num_parameters <= 5 yet, the nearest is trial" in none.metrics["unmet"]
    assert none.metrics["unmet"] in caplog.text and none.metrics["unmet"] in answer(none.to_json())
    assert none.metrics["unmet"].split(" yet")[0].replace("<", "&lt;") in (out / "report.html").read_text()
    cleared, ran = searched(out, rows, teacher, record, set_threshold={"num_parameters": None})
    assert ran == [] and len(cleared.metrics["front"]) == len(result.metrics["front"])
    more, ran = searched(out, rows, teacher, record, trials=5)
    assert [row[0] for row in ran if row[2] == "validation"] == [4] and more.metrics["trials"] == 5
    assert more.seconds > cleared.seconds and json.loads((out / "run.json").read_text())["asked"]["trials"] == 5


def test_a_search_that_another_process_runs_gets_a_note(rows, teacher, record, tmp_path):
    out, events = tmp_path / "out", []

    class Busy(Counting):
        """While the second trial runs, someone else sets thresholds."""

        def map(self, function, items, *, on_event=None):
            for outcome in super().map(function, items, on_event=on_event):
                if outcome.item.entry.number == 1:
                    noted, ran = searched(out, rows, teacher, record, set_threshold=["accuracy=99.9"])
                    assert noted.metrics == {"noted": {"accuracy": 0.999}} and ran == []
                    assert "follows when its next trial ends" in answer(noted.to_json())
                    assert len(list(out.glob("thresholds-*.json"))) == 1
                yield outcome

    session = Session(record=record, executor=Busy(), on_event=events.append)
    settings = {**SETTINGS, "teacher": str(teacher), "train": rows, "out": out, "confirm": {"members": 0}}
    result = run_stage("search", settings, session=session)
    assert result.metrics["thresholds"] == {"accuracy": 0.999} and result.metrics["front"] == []
    assert not list(out.glob("thresholds-*.json"))
    seen = [event["front"] for event in events if event["event"] == "trials"]
    assert seen[0] > 0 and seen[1:] == [0, 0, 0]


def test_a_stopped_search_goes_on(rows, teacher, record, tmp_path):
    out, events = tmp_path / "out", []

    def stop():
        return any(event["event"] == "trials" and event["done"] == 2 for event in events)

    with pytest.raises(InterruptedRun):
        searched(out, rows, teacher, record, events=events, stop=stop, confirm={"members": 0})
    assert not (out / "result.json").exists()
    result, ran = searched(out, rows, teacher, record, confirm={"members": 0})
    assert [row[0] for row in ran] == [2, 3] and result.metrics["trials"] == 4
    assert len(record.runs("trial", result.run_id)) == 4


def test_after_the_budget_no_trial_begins(rows, teacher, record, tmp_path, monkeypatch):
    with pytest.raises(BudgetError, match="before the first trial"):
        searched(tmp_path / "out", rows, teacher, record, budget="0.001s", confirm={"members": 0})
    assert not (tmp_path / "out/result.json").exists()
    settings, events = {"budget": "1h", "confirm": {"members": 0}}, []
    with monkeypatch.context() as patch:
        spent = property(lambda deadline: any(event["event"] == "trials" for event in events))
        patch.setattr("subarch.stages.trials.driver.Deadline.expired", spent)
        result, ran = searched(tmp_path / "out", rows, teacher, record, events=events, **settings)
    assert len(ran) == 1 and result.metrics["trials"] == 1
    again, ran = searched(tmp_path / "out", rows, teacher, record, **settings)
    assert again.reused and ran == []
    result, ran = searched(tmp_path / "out", rows, teacher, record, **{**settings, "budget": "2h"})
    assert len(ran) == 3 and result.metrics["trials"] == 4


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"metrics": {"acuracy": {}}}, "unknown metric 'acuracy'", "did you mean accuracy"),
        ({"metrics": {"exact_match": {}}}, "unknown metric 'exact_match'", "known:"),
        ({"sampler": "baysian"}, "unknown sampler 'baysian'", "did you mean bayesian"),
        ({"workers": 4000}, "workers is 4000, but this machine has", "--ray ADDRESS"),
        ({"set_threshold": ["f1=1"]}, "the search has no metric 'f1'", "known: accuracy"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(changes, message, hint, rows, teacher, record, tmp_path):
    with pytest.raises(ConfigError) as caught:
        searched(tmp_path / "out", rows, teacher, record, **changes)
    assert caught.value.message.startswith(message) and hint in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_note_is_for_the_search_that_runs_there(rows, teacher, record, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/run.json").write_text('{"stage": "extract", "config": {"metrics": {}}}')
    with FileLock(tmp_path / "out/.lock"), pytest.raises(OutputError, match="holds another run"):
        searched(tmp_path / "out", rows, teacher, record, set_threshold=["accuracy=0.5"])


def test_a_search_whose_trials_all_fail_says_so(rows, teacher, record, tmp_path, caplog):
    impossible = {"student": {"num_attention_heads": {"choices": [9, 16]}}}  # wider than the teacher
    changes = {"parameters": impossible, "baseline": None, "trials": 2}
    result, _ = searched(tmp_path / "out", rows, teacher, record, **changes)
    assert (result.metrics["failed"], result.metrics["front"]) == (2, [])
    assert "every trial failed, the first one since: hidden_size is" in caplog.text


def test_early_stopping_is_about_what_training_decides(teacher, rows, record, tmp_path):
    from subarch.api import configured
    from subarch.inputs.data import load_data
    from subarch.stages.search import _rule

    settings = {**SETTINGS, "teacher": str(teacher), "train": rows, "out": tmp_path, "stopping": {"margin": 0.01}}
    (config,) = configured("search", settings).args
    task = load_data(config.data).task
    known = {"num_parameters": len}
    assert (_rule(config, task, known).metric, _rule(config, task, known).margin) == ("accuracy", 0.01)
    (config,) = configured("search", settings, {"metrics": {"accuracy": {"store": True}}}).args
    with pytest.raises(ConfigError, match="stopping needs a metric that training decides"):
        _rule(config, task, known)


def test_one_process_of_several_refuses(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"^search runs in one process"):
        search_module.search(small.search(tmp_path / "here"))


@pytest.mark.parametrize(
    ("changes", "devices", "share"),
    [
        ({}, 1, 1.0),
        ({"workers": 4}, 0, 1.0),
        ({"workers": 4}, 4, 1.0),
        ({"workers": 4}, 3, 0.5),
        ({"workers": 4, "ray": "local"}, 1, 1.0),
        ({"workers": 4, "ray": "local", "gpus": 0.25}, 1, 0.25),
        ({"workers": 4, "ray": "local", "gpus": 2}, 1, 1.0),
    ],
)
def test_trials_share_an_accelerator_evenly(tmp_path, monkeypatch, changes, devices, share):
    monkeypatch.setattr(search_module, "visible_accelerators", lambda: tuple(map(str, range(devices))))
    assert search_module.accelerator_share(small.search(tmp_path / "here", **changes)) == share


def test_workers_are_handed_the_accelerators(tmp_path, monkeypatch):
    monkeypatch.setattr(search_module, "visible_accelerators", lambda: ("3", "5"))
    monkeypatch.setattr(search_module, "available_processes", lambda: 8)
    config = small.search(tmp_path / "here", workers=3)
    with search_module.opened_executor(config, Session()) as executor:
        assert [each["CUDA_VISIBLE_DEVICES"] for each in executor._environments] == ["3", "5", "3"]
