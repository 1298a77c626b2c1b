import json

from subarch.report import trade_off


def test_every_measured_model_is_a_point_and_the_front_rises(report):
    front, points = trade_off.trade_off(report).data
    assert list(points.x) == [9.07, 3.12, 1.58, 0.81, 0.21]
    assert list(points.y) == [93.0, 91.4, 91.4, 91.10000000000001, 81.69999999999999]
    # The student in PyTorch is as good as its ONNX export but slower: it is not a corner of the front.
    assert list(front.x)[:-1] == [0.21, 0.81, 1.58, 9.07]
    assert list(front.y) == sorted(front.y)


def test_areas_follow_the_bytes(report):
    points = trade_off.trade_off(report).data[1]
    teacher, student = points.marker.size[:2]
    assert (student / teacher) ** 2 == (43_610_000 / 90_870_000) or abs((student / teacher) ** 2 - 0.48) < 0.001


def test_a_far_baseline_is_told_below_the_frame_and_a_near_one_is_a_line(report):
    figure = trade_off.trade_off(report)
    assert any("below: Majority class 50.9" in note.text for note in figure.layout.annotations)
    assert figure.layout.yaxis.range[0] > 60
    report["models"][4]["score"] = 0.85
    report["models"][4]["score_interval"] = None
    figure = trade_off.trade_off(report)
    assert [shape.y0 for shape in figure.layout.shapes] == [85.0]


def test_names_stand_at_their_points_on_the_log_axis(report):
    figure = trade_off.trade_off(report)
    teacher = next(note for note in figure.layout.annotations if note.text == "Teacher")
    assert abs(10**teacher.x - 9.07) < 1e-9 and teacher.y == 93.0
    texts = [note.text for note in figure.layout.annotations]
    assert "Student (ONNX int8)" in texts and "Student (PyTorch fp32)" in texts


def test_user_text_is_escaped_wherever_plotly_reads_html(report):
    report["models"][0]["label"] = "<script>alert(1)</script> %{x}"
    report["task"]["main_metric"] = "<img src=x>"
    figure = trade_off.trade_off(report)
    seen = [
        *(note.text for note in figure.layout.annotations),
        *figure.data[1].hovertext,
        figure.layout.title.text,
    ]
    assert not any("<script" in text or "<img" in text.lower() for text in seen)
    assert figure.data[1].hovertemplate is None


def test_nothing_to_draw_without_latencies(report, regression):
    for model in report["models"]:
        model["latency_ms"] = None
    assert trade_off.trade_off(report) is None
    assert trade_off.trade_off({}) is None
    assert len(trade_off.trade_off(regression).data[1].x) == 2


def test_a_single_model_and_equal_scores_have_a_frame():
    figure = trade_off.trade_off({"models": [{"name": "student", "score": 0.5, "latency_ms": 1.0}]})
    low, high = figure.layout.yaxis.range
    assert low < 50 < high
    json.loads(figure.to_json())


def test_only_baselines_measured_still_draws():
    models = [{"name": "tfidf", "score": 0.7, "latency_ms": 0.1}, {"name": "student", "score": 0.9}]
    assert list(trade_off.trade_off({"models": models}).data[1].x) == [0.1]


def test_what_is_drawn_is_said(report):
    alt = trade_off.trade_off(report).layout.meta["alt"]
    assert "Teacher (PyTorch fp32) 93.0 at 9.07 ms" in alt
