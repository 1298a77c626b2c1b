import json

from subarch.report.search.outcome import read, short_names


def test_short_names_are_the_shortest_ends_that_no_other_has():
    names = ["student.layers", "loop.learning_rate", "teacher.layers", "seed"]
    assert short_names(names) == ["student.layers", "learning_rate", "teacher.layers", "seed"]


def test_the_same_search_is_read_from_json(content):
    """Numbers of trials become text there."""
    straight, travelled = read(content), read(json.loads(json.dumps(content)))
    assert travelled == straight
    assert set(travelled.slices) <= {trial.number for trial in travelled.trials}


def test_nothing_is_an_empty_search():
    search = read({})
    assert search.trials == () and search.reference is None and search.members == ()


def test_missing_values_count_as_not_measured(content):
    content["trials"][0]["metrics"]["f1"] = float("nan")
    content["trials"][0]["errors"]["exact_match"] = None
    trial = read(content).trials[0]
    assert "f1" not in trial.metrics and trial.errors == {}


def test_members_come_best_first(content):
    scores = [trial.metrics["exact_match"] for trial in read(content).members]
    assert len(scores) > 2 and scores == sorted(scores, reverse=True)


def test_feasible_means_finished_and_within_every_threshold(content):
    search = read(content)
    good = {trial.number for trial in search.trials if search.feasible(trial)}
    assert {trial.number for trial in search.of("front", "dominated", "baseline")} == good
    assert not good & {trial.number for trial in search.of("beyond", "failed", "stopped")}


def test_an_unfinished_baseline_is_no_reference(content):
    content["trials"][0] |= {"state": "running", "class": "baseline"}
    search = read(content)
    assert search.reference is None and search.trials[0].kind == "running"


def test_the_baseline_is_the_reference_once_it_has_values(content):
    assert read(content).reference.number == 0
    content["baseline"] = next(trial["number"] for trial in content["trials"] if trial["state"] == "failed")
    assert read(content).reference is None
