import pytest

from subarch.report import figures


def test_candidates_are_drawn_with_their_intervals_and_w(report):
    front, ring, points = figures.candidates(report).data
    assert len(points.x) == 20
    assert list(points.x) == sorted(points.x)
    assert min(points.error_y.array) > 0 and min(points.error_y.arrayminus) > 0
    assert max(points.marker.color) == max(candidate["w"] for candidate in report["candidates"])
    assert len(ring.x) == 1 and ring.x[0] in points.x
    assert set(front.x) <= set(points.x)
    assert list(points.marker.symbol).count("diamond") == 2


def test_candidates_without_latency_stand_over_parameters(report):
    report["candidates"][3]["latency_ms"] = None
    figure = figures.candidates(report)
    assert figure.layout.xaxis.title.text == "parameters"
    assert len(figure.data[-1].x) == 20


def test_many_candidates_keep_bars_only_where_they_matter(report):
    plain = {**report["candidates"][7], "chosen": False, "on_front": False}
    report["candidates"] += [dict(plain) for _ in range(40)]
    bars = figures.candidates(report).data[-1].error_y.array
    assert list(bars).count(0) >= 40 and max(bars) > 0


def test_a_candidate_without_w_is_drawn_without_colour(report):
    report["candidates"][2]["w"] = None
    grey, coloured = figures.candidates(report).data[-2:]
    assert len(grey.x) == 1 and len(coloured.x) == 19
    assert isinstance(grey.marker.color, str)


def test_candidates_without_w_or_error(report):
    for candidate in report["candidates"]:
        candidate["w"] = None
    assert isinstance(figures.candidates(report).data[-1].marker.color, str)
    for candidate in report["candidates"]:
        candidate["error"] = None
    assert figures.candidates(report) is None


def test_stages_follow_each_other_along_the_clock(report):
    (bars,) = figures.time_bars(report).data
    assert list(bars.y) == ["prepare", "finetune", "extract", "distil", "evaluate", "export"]
    assert list(bars.base)[:4] == pytest.approx([0, 4.2, 4.2, 65.6])
    assert bars.x[1] == 0 and bars.text[1] == "reused"


def test_the_budget_is_a_line_inside_the_figure(report):
    figure = figures.time_bars(report)
    assert figure.layout.shapes[0].x0 == 600
    assert figure.layout.xaxis.range[1] > 600
    report["budget_seconds"] = None
    assert not figures.time_bars(report).layout.shapes


def test_no_bars_where_all_was_reused(regression):
    assert figures.time_bars(regression) is None


@pytest.mark.parametrize("end", [0.4, 3, 12, 59, 240, 1e5])
def test_ticks_are_few_and_round(end):
    ticks = figures._ticks(end)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] == 0 and ticks[-1] <= end


def test_a_learning_curve_shows_scores_only_where_they_were_taken(report):
    loss, score = figures.learning_curve(
        [{k: v for k, v in p.items() if v is not None} for p in report["curves"]["finetune"]],
        "finetune",
        "accuracy",
        percent=True,
    ).data
    assert len(loss.x) == 100 and len(score.x) == 10
    assert max(score.y) > 90


def test_a_learning_curve_of_losses_only_fills_the_figure():
    figure = figures.learning_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], "distil", "f1", percent=True)
    assert len(figure.data) == 1
    assert tuple(figure.layout.yaxis.domain) == (0, 1)
    assert figures.learning_curve([{"step": 1}], "distil", "f1", percent=True) is None
