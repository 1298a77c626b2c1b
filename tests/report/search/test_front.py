import itertools

import pytest

from subarch.report.search import classes
from subarch.report.search.front import front
from subarch.report.search.outcome import read


def drawn(content):
    figure, choices = front(read(content))
    return figure, choices, {trace.name: trace for trace in figure.data if trace.customdata is not None}


def test_classes_differ_in_shape_and_in_colour():
    for one, other in itertools.combinations(classes.LOOKS, 2):
        assert one.symbol != other.symbol and one.colour != other.colour


def test_every_trial_is_drawn_once_in_its_class(content):
    _, _, traces = drawn(content)
    numbers = [number for trace in traces.values() for number in trace.customdata]
    assert sorted(numbers) == [trial["number"] for trial in content["trials"]]
    assert {traces["front"].marker.symbol, traces["stopped early"].marker.symbol} == {"diamond", "circle-open"}
    labels = {trial["number"]: classes.LABELS[trial["class"]] for trial in content["trials"]}
    assert all(labels[number] == name for name, trace in traces.items() for number in trace.customdata)


def test_cost_goes_to_the_right_and_quality_upwards(content):
    figure, choices, traces = drawn(content)
    assert (choices["x"], choices["y"]) == ("metric num_parameters", "metric exact_match")
    star = traces["baseline"]
    assert star.x[0] == pytest.approx(content["trials"][0]["metrics"]["num_parameters"], rel=1e-5)
    assert figure.layout.yaxis.title.text == "exact match"


def test_the_front_is_joined_by_the_edge_of_what_it_dominates(content):
    figure, _, _ = drawn(content)
    edge = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    metrics = {t["number"]: t["metrics"] for t in content["trials"]}
    points = [(metrics[n]["num_parameters"], metrics[n]["exact_match"]) for n in content["front"]]
    assert set(points) <= set(edge)
    # Only steps, each towards more parameters or a better score.
    for (x, y), (next_x, next_y) in itertools.pairwise(edge):
        assert (x == next_x) != (y == next_y) and next_x >= x and next_y >= y
    reached = [point for point in edge if any(a <= point[0] and b >= point[1] for a, b in points)]
    assert len(reached) == len(edge), "no corner lies beyond what was reached"


def test_the_side_beyond_a_threshold_is_shaded(content):
    content["metrics"][1]["threshold"] = 6e7
    figure, _, _ = drawn(content)
    shades = [
        shape for shape in figure.layout.shapes if shape.type == "rect" and "domain" in str([shape.xref, shape.yref])
    ]
    across = next(shape for shape in shades if shape.xref == "x")
    upwards = next(shape for shape in shades if shape.yref == "y")
    assert across.x1 == 6e7 < across.x0, "too many parameters lie to the right"
    assert upwards.y1 == 50 > upwards.y0, "a score too low lies below"


def test_failed_trials_stand_in_a_strip_of_their_own(content):
    figure, _, traces = drawn(content)
    strip = traces["failed"]
    assert (strip.xaxis, strip.yaxis) == ("x2", "y2")
    assert figure.layout.yaxis.domain[1] < figure.layout.yaxis2.domain[0]
    assert any(f"{len(strip.x)} failed" in note.text for note in figure.layout.annotations)


def test_without_failures_there_is_no_strip(content, classify):
    content["trials"] = [trial for trial in content["trials"] if trial["state"] != "failed"]
    figure, _, _ = drawn(classify(content))
    assert "yaxis2" not in figure.to_plotly_json()["layout"]


def test_errors_are_bars_where_they_are_known(content):
    _, _, traces = drawn(content)
    member = traces["front"].customdata[0]
    assert traces["front"].error_y.visible and not traces["front"].error_x.visible
    assert traces["front"].error_y.array[0] == pytest.approx(
        content["trials"][member]["errors"]["exact_match"], rel=1e-4
    )


def test_every_axis_places_every_group(content):
    figure, choices, _ = drawn(content)
    sizes = [len(trace.x) for trace in figure.data[1:] if trace.customdata is not None and trace.xaxis != "x2"]
    for axis in choices["axes"].values():
        assert [len(values) for values in axis["values"]] == sizes
    learning_rate = choices["axes"]["parameter loop.learning_rate"]
    low, high = learning_rate["layout"]["range"]
    assert -8 < low < high < 0 and "(log)" in learning_rate["layout"]["title"]["text"]


def test_one_objective_is_drawn_over_the_trials_with_the_best_so_far(content, classify):
    content["metrics"][1]["role"] = "stored"
    figure, choices, _ = drawn(classify(content))
    assert (choices["x"], choices["y"]) == ("trial", "metric exact_match")
    best = max(t["metrics"]["exact_match"] for t in content["trials"] if t["state"] == "finished")
    assert list(figure.data[0].y)[-1] == pytest.approx(best)
    assert list(figure.data[0].y) == sorted(figure.data[0].y)


def test_a_third_objective_is_the_colour(content, classify):
    content["metrics"][3]["role"] = "objective"
    figure, choices, traces = drawn(classify(content))
    assert choices["colour"] == "metric latency_ms"
    assert len(traces["front"].marker.color) == len(content["front"]) - (content["baseline"] in content["front"])
    assert figure.layout.coloraxis.showscale and figure.layout.coloraxis.reversescale
    assert list(figure.data[0].x) == [], "a staircase says nothing of three objectives"


def test_one_absurd_value_does_not_flatten_the_rest(content, classify):
    content["metrics"] = [
        {"name": "loss", "direction": "minimize", "threshold": None, "role": "objective"},
        {"name": "num_parameters", "direction": "minimize", "threshold": None, "role": "objective"},
    ]
    for trial in content["trials"]:
        if trial["metrics"]:
            trial["metrics"]["loss"] = 100 - trial["metrics"]["exact_match"]
    finished = [trial for trial in content["trials"] if trial["state"] == "finished"]
    finished[-1]["metrics"] |= {"loss": 1e9, "num_parameters": 2e8}
    _, choices, _ = drawn(classify(content))
    assert choices["axes"]["metric loss"]["layout"]["range"][1] < 1000


def test_nothing_to_draw():
    assert front(read({})) is None


def test_text_is_escaped_in_plotly(content):
    bad = "<b>bold</b>"
    content["parameters"].append({"name": bad, "kind": "choice", "choices": [bad]})
    for trial in content["trials"]:
        trial["params"][bad] = bad
    _, choices, traces = drawn(content)
    assert bad not in traces["front"].hovertext[0] and "&lt;b&gt;" in traces["front"].hovertext[0]
    assert bad not in str(choices["axes"][f"parameter {bad}"]["layout"])
