import pytest

from subarch.report.search.metric import read_metrics


def metric(name, values=(), **row):
    return read_metrics([{"name": name, **row}], [{name: value} for value in values])[0]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("num_parameters", 22_713_986.0, "22.7 M"),
        ("model_bytes", 90_870_000.0, "90.9 MB"),
        ("latency_ms", 3.123, "3.12 ms"),
        ("exact_match", 66.414, "66.4"),
        ("loss", 0.3456, "0.346"),
        ("energy_seconds", 200.0, "3 min 20 s"),
    ],
)
def test_values_have_their_unit(name, value, text):
    assert metric(name, [value]).written(value) == text


def test_a_score_that_is_a_share_of_one_is_shown_of_a_hundred():
    assert metric("accuracy", [0.914]).written(0.914) == "91.4"
    assert metric("accuracy", [0.9, 55.0]).written(0.914) == "0.9"
    assert metric("accuracy", [0.9], threshold=50).factor == 1


@pytest.mark.parametrize(
    ("name", "value", "reference", "text"),
    [
        ("exact_match", 68.3, 67.1, "+1.2 points"),
        ("exact_match", 66.1, 67.1, "−1.0 point"),
        ("num_parameters", 51.4e6, 66.36e6, "−23 %"),
        ("num_parameters", 66.36e6, 64e6, "+3.7 %"),
        ("loss", 2.0, 0.0, "+2"),
    ],
)
def test_changes_are_points_of_scores_and_shares_of_all_else(name, value, reference, text):
    assert metric(name, [value, reference]).change(value, reference) == text


def test_a_threshold_is_met_on_it():
    score, size = metric("f1", [60], threshold=50), metric("num_parameters", direction="minimize", threshold=1e6)
    assert score.met(50) and not score.met(49.9) and not score.met(None)
    assert size.met(1e6) and not size.met(1.1e6)
    assert (score.threshold_text(), size.threshold_text()) == ("F1 ≥ 50.0", "parameters ≤ 1.00 M")


def test_names_lose_their_unit():
    assert metric("latency_ms").label == "latency" and metric("peak_memory_bytes").label == "peak memory"
