from subarch.report.answers import answer

SLICES = {
    "length": {
        "1-9 words": {"count": 400, "accuracy": 0.91, "metric": "accuracy", "interval": [0.86, 0.96]},
        "10-20 words": {"count": 400, "accuracy": 0.7, "metric": "accuracy", "interval": [0.65, 0.75]},
    },
    "region": {
        "north": {"count": 796, "accuracy": 0.81, "metric": "accuracy", "interval": [0.78, 0.84]},
        "south": {"count": 4, "accuracy": 0.0, "metric": "accuracy", "interval": [0.0, 0.0], "few": True},
    },
}
METRICS = {
    "examples": 800,
    "score": 0.8,
    "accuracy": 0.8,
    "best_f1_threshold": -1.25,
    "intervals": {"accuracy": [0.77, 0.83]},
    "slices": SLICES,
}


def lines(metrics, **config):
    return answer(
        {"stage": "evaluate", "metrics": metrics, "artifacts": {}, "config": {"out": "out", "slice": [], **config}}
    ).splitlines()


def test_metrics_with_their_intervals_and_the_slices_that_stand_out():
    assert lines(METRICS) == [
        "metric                 value  95 % interval",
        "Accuracy                80.0   [77.0, 83.0]",
        "Best threshold for F1  -1.25",
        "",
        "slices that differ most from the whole, beyond their own interval:",
        "slice                examples    metric  value          95 %",
        "length: 1-9 words         400  accuracy   91.0  [86.0, 96.0]",
        "length: 10-20 words       400  accuracy   70.0  [65.0, 75.0]",
        "result: out/result.json",
    ]


def test_slices_that_were_asked_for_are_all_shown():
    found = lines(METRICS, slice=["region"])
    assert [line.split("  ")[0] for line in found if line.startswith("region")] == [
        "region: north",
        "region: south (few)",
    ]


def test_where_two_models_differ():
    row = {"metric": "accuracy", "difference": -0.03, "interval": [-0.05, -0.01], "p": 0.0002}
    south = {**row, "count": 40, "p_adjusted": 0.01, "differs": True}
    north = {**row, "count": 760, "p_adjusted": 0.3, "differs": False}
    against = {**row, "slices": {"region": {"north": north, "south": south}}}
    found = lines({**METRICS, "slices": {}, "against": against}, against="other")
    assert "accuracy -3.0 [-5.0, -1.0] against other, p < 0.001" in found
    assert any(line.startswith("region: south") and line.endswith("p 0.010") for line in found)
    assert not any("north" in line for line in found)
    against["slices"]["region"].pop("south")
    found = lines({**METRICS, "slices": {}, "against": against}, against="other")
    assert "no slice differs by more than chance (5 %, Holm)" in found


def test_what_has_no_labels_says_where_it_went():
    found = lines({"examples": 1063}, submission="server")
    assert found[0] == "1,063 examples predicted, without labels to score them by" and "submission: server" in found


def test_a_suite_says_what_is_missing():
    task = {"metric": "accuracy", "accuracy": 0.75, "count": 80, "intervals": {"accuracy": [0.7, 0.8]}}
    metrics = {
        "score": None,
        "average_of_present": 0.75,
        "tasks": {"rte": task, "ax": {"metric": "matthews_correlation", "count": 9}},
        "missing": ["cola"],
        "skipped": {"cola": "no folder models/cola"},
    }
    found = lines(metrics)
    assert "rte               accuracy   75.0   [70.0, 80.0]" in found
    assert "cola skipped: no folder models/cola" in found
    assert found[-3:-1] == ["no official average: cola missing", "average of what is there 75.0"]
    whole = lines({**metrics, "score": 0.75, "missing": [], "skipped": {}})
    assert whole[-2] == "official average 75.0"


UNEVEN = {
    "uneven": True,
    "examples": {"rare": 32, "usual": 768},
    "recalls": {"rare": 0.0, "usual": 1.0},
    "f1_macro": 0.49,
    "f1_macro_interval": [0.48, 0.5],
    "answers": 1,
    "answer": "usual",
    "commonest": "usual",
    "commonest_share": 0.96,
}


def test_uneven_classes_have_their_macro_f1_and_recalls():
    found = lines({"score": 0.96, "accuracy": 0.96, "intervals": {"accuracy": [0.94, 0.98]}, "classes": UNEVEN})
    assert found == [
        "metric    value  95 % interval",
        "Accuracy   96.0   [94.0, 98.0]",
        "Macro F1   49.0   [48.0, 50.0]",
        "",
        "class  examples  recall",
        "rare         32     0.0",
        "usual       768   100.0",
        "always “usual”, the commonest, would be right on 96.0 % of the examples",
        "every answer is “usual”: nothing was learned",
        "result: out/result.json",
    ]


def test_even_classes_are_not_listed():
    even = UNEVEN | {"uneven": False, "answers": 2}
    found = lines({"score": 0.9, "accuracy": 0.9, "intervals": {"accuracy": [0.8, 1.0]}, "classes": even})
    assert found == ["metric    value  95 % interval", "Accuracy   90.0  [80.0, 100.0]", "result: out/result.json"]


def test_what_a_model_did_not_read_is_told():
    found = lines({"score": 0.9, "accuracy": 0.9, "intervals": {}, "cut": {"text": "half of the texts are cut"}})
    assert "Half of the texts are cut." in found
