import pytest

from subarch.errors import ConfigError
from subarch.tasks.registry import TRAINED_ON, evaluation_names, find_task, task_names
from subarch.tasks.suites.averages import SUITES, find_suite, suite_average

GLUE = {
    "cola": {"matthews_correlation": 0.5},
    "sst2": {"accuracy": 0.9},
    "mrpc": {"f1": 0.9, "accuracy": 0.8, "score": 0.0},
    "stsb": {"pearson": 0.9, "spearman": 0.7},
    "qqp": {"f1": 0.7, "accuracy": 0.9},
    "mnli": {"accuracy": 0.8},
    "mnli_mismatched": {"accuracy": 0.7},
    "qnli": {"accuracy": 0.9},
    "rte": {"accuracy": 0.7},
    "wnli": {"accuracy": 0.6},
    "ax": {"matthews_correlation": -1.0},
}


def test_metrics_are_averaged_before_tasks():
    found = suite_average("GLUE", GLUE)
    assert found.scores["mrpc"] == pytest.approx(0.85)
    assert found.scores["mnli"] == pytest.approx(0.75)
    assert found.average == pytest.approx((0.5 + 0.9 + 0.85 + 0.8 + 0.8 + 0.75 + 0.9 + 0.7 + 0.6) / 9)
    assert found.missing == ()


def test_a_missing_task_leaves_no_official_average():
    scores = {name: values for name, values in GLUE.items() if name not in ("rte", "mnli_mismatched")}
    scores["mrpc"] = {"f1": 0.9}
    found = suite_average("glue", scores)
    assert (found.average, found.missing) == (None, ("mrpc: accuracy", "mnli_mismatched", "rte"))
    assert found.average_of_present == pytest.approx((0.5 + 0.9 + 0.8 + 0.8 + 0.9 + 0.6) / 6)
    assert suite_average("glue", {}).average_of_present is None


def test_race_is_averaged_over_questions():
    scores = {"race_middle": {"accuracy": 0.8}, "race_high": {"accuracy": 0.6}}
    assert suite_average("race", scores).average == pytest.approx((0.8 * 1436 + 0.6 * 3498) / 4934)
    assert suite_average("race", scores, {"race_middle": 30, "race_high": 10}).average == pytest.approx(0.75)


def test_an_unknown_suite_answers_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown suite 'superglu'") as caught:
        find_suite("superglu")
    assert "superglue" in caught.value.hint


@pytest.mark.parametrize("name", SUITES)
def test_suites_hold_tasks_with_these_metrics(name):
    suite = SUITES[name]
    assert set(suite.tasks) <= set(task_names())
    assert set(suite.evaluated) <= set(evaluation_names())
    assert {known for known, base in TRAINED_ON.items() if base in suite.tasks} == set(suite.evaluated) - set(
        suite.tasks
    )
    for part in suite.parts:
        for scored, metrics in part.scored.items():
            assert set(metrics) <= set(find_task(scored).metrics)
