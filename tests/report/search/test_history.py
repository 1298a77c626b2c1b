import pytest

from subarch.report.search import history
from subarch.report.search.outcome import read


def test_hypervolume_is_drawn_after_each_ended_trial(content):
    figure = history.hypervolume(read(content))
    assert list(figure.data[0].y) == pytest.approx(content["hypervolume"])
    assert figure.data[0].x[0] == 1


def test_no_hypervolume_of_one_objective(content):
    content["metrics"][1]["role"] = "stored"
    assert history.hypervolume(read(content)) is None


def test_the_best_so_far_counts_feasible_trials_alone(content, classify):
    best = max(content["trials"], key=lambda trial: trial["metrics"].get("exact_match", 0))
    content["metrics"][1]["threshold"] = best["metrics"]["num_parameters"] - 1
    search = read(classify(content))
    line = history.improvement(search, search.objectives[0]).data[1]
    allowed = [t.metrics["exact_match"] for t in search.trials if search.feasible(t)]
    assert list(line.y)[-1] == pytest.approx(max(allowed)) and max(allowed) < best["metrics"]["exact_match"]


def test_thresholds_and_the_baseline_are_lines(content):
    search = read(content)
    levels = [shape.y0 for shape in history.improvement(search, search.objectives[0]).layout.shapes]
    assert levels == [50.0, pytest.approx(content["trials"][0]["metrics"]["exact_match"])]


def test_the_note_says_from_where_the_hypervolume_counts(content):
    text = history.progress_note(read(content), with_hypervolume=True)
    assert "exact match ≥ 50.0" in text and "a fixed bad value of parameters" in text


def test_curves_of_one_class_are_apart_and_stops_have_a_ring(content):
    search = read(content)
    figure = history.learning_curves(search)
    traces = {trace.name: trace for trace in figure.data}
    stopped = search.of("stopped")
    assert list(traces["stopped early"].y).count(None) == len(stopped)
    ring = figure.data[-1]
    assert ring.marker.symbol == "circle-open" and list(ring.x) == [0.4] * len(stopped)


def test_curves_of_shares_are_in_percent(content):
    content["curves"] = {0: [[0.5, 0.25], [1.0, 0.5]]}
    assert list(history.learning_curves(read(content)).data[0].y) == [25.0, 50.0, None]


def test_nothing_to_draw():
    search = read({})
    assert history.hypervolume(search) is None and history.learning_curves(search) is None
