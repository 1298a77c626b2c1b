import pytest

from subarch.report import theme
from subarch.report.search.importance import importance, inert_sentence
from subarch.report.search.outcome import read


def test_bars_with_intervals_most_important_first(content):
    search = read(content)
    bars = importance(search, search.metrics[0]).data[0]
    assert list(bars.x) == sorted(bars.x, reverse=True)
    assert list(bars.y)[:2] == ["num_hidden_layers", "learning_rate"]
    assert bars.error_x.array[0] == pytest.approx(0.05) and bars.error_x.arrayminus[0] == pytest.approx(0.04)


def test_inert_ones_are_grey_without_an_arrow_and_named(content):
    search = read(content)
    figure = importance(search, search.metrics[0])
    position = list(figure.data[0].y).index("weight_decay")
    assert figure.data[0].marker.color[position] == theme.QUIET
    arrows = {note.y: note.text for note in figure.layout.annotations}
    assert arrows["weight_decay"] == "" and arrows["learning_rate"] == "↕" and arrows["num_hidden_layers"] == "↑"
    assert inert_sentence(search).startswith("weight_decay makes no measurable difference")


def test_several_inert_ones_are_listed(content):
    content["inert"] = ["loop.weight_decay", "loop.batch_size", "student.layers"]
    assert inert_sentence(read(content)).startswith("weight_decay, batch_size and layers make no")
    content["inert"] = []
    assert inert_sentence(read(content)) == ""


def test_a_metric_of_which_nothing_is_known_has_no_figure(content):
    search = read(content)
    assert importance(search, search.metrics[2]) is None


def test_an_interval_may_be_missing(content):
    content["importance"] = {"exact_match": [{"parameter": "loop.batch_size", "importance": 0.4}]}
    search = read(content)
    assert list(importance(search, search.metrics[0]).data[0].error_x.array) == [0]
