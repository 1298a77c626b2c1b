import json

import pytest

from subarch.report.search.coordinates import coordinates, wrapped
from subarch.report.search.outcome import read


def test_every_finished_trial_has_a_place_on_every_axis(content):
    drawn = coordinates(read(content))
    finished = [trial["number"] for trial in content["trials"] if trial["state"] == "finished"]
    assert [trial["number"] for trial in drawn["trials"]] == finished
    for trial in drawn["trials"]:
        assert len(trial["at"]) == len(drawn["axes"])
        assert all(0 <= at <= 1000 for at in trial["at"])
    json.dumps(drawn, allow_nan=False)


def test_an_inactive_parameter_lies_in_the_lane_at_the_bottom(content):
    drawn = coordinates(read(content))
    index = next(i for i, axis in enumerate(drawn["axes"]) if axis["label"] == ["temperature"])
    assert drawn["axes"][index]["lane"] and drawn["axes"][index]["ticks"][0] == [0, "none"]
    by_number = {trial["number"]: trial["params"] for trial in content["trials"]}
    for trial in drawn["trials"]:
        assert (trial["at"][index] == 0) == ("distillation.temperature" not in by_number[trial["number"]])


def test_log_ticks_are_spaced_by_factors(content):
    drawn = coordinates(read(content))
    rate = next(axis for axis in drawn["axes"] if axis["label"] == ["learning_rate"])
    places = {text: place for place, text in rate["ticks"]}
    assert places["1e-4"] - places["1e-5"] == pytest.approx(places["0.001"] - places["1e-4"], abs=2)


def test_the_threshold_stands_on_its_axis(content):
    drawn = coordinates(read(content))
    assert 0 < drawn["axes"][0]["threshold"] < 1000 and drawn["axes"][1]["threshold"] is None
    assert drawn["axes"][1]["reverse"] and not drawn["axes"][0]["reverse"]


def test_a_metric_that_a_trial_lacks_is_no_place(content):
    del content["trials"][0]["metrics"]["f1"]
    drawn = coordinates(read(content))
    assert None in drawn["trials"][0]["at"]


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("num_attention_heads", ["num_", "attention_", "heads"]),
        ("Exact match", ["Exact match"]),
        ("temperature", ["temperature"]),
        ("a.b", ["a.b"]),
    ],
)
def test_long_names_are_broken_where_words_end(label, lines):
    assert wrapped(label) == lines
    assert "".join(wrapped(label)).replace(" ", "") == label.replace(" ", "")


def test_nothing_to_compare():
    assert coordinates(read({})) is None
