import math

from subarch.report import content


def test_missing_values_are_dropped_at_every_depth():
    report = {"a": None, "b": {"c": math.nan, "d": 1}, "e": [{"f": None, "g": math.inf, "h": 0}], "i": False}
    assert content.present(report) == {"b": {"d": 1}, "e": [{"h": 0}], "i": False, "models": []}


def test_half_an_interval_is_no_interval():
    models = [
        {"name": "teacher", "score": 0.9, "score_interval": [0.8, None]},
        {"name": "student", "score_interval": [0.1]},
    ]
    assert all("score_interval" not in model for model in content.present({"models": models})["models"])


def test_labels_and_intervals_are_filled_in():
    report = {"score_interval": {"student": [0.1, 0.2]}, "models": [{"name": "student"}, {"name": "other"}]}
    student, other = content.present(report)["models"]
    assert student["label"] == student["role"] == "student" and student["score_interval"] == [0.1, 0.2]
    assert other["label"] == other["words"] == "other" and other["role"] == "export"


def test_the_report_given_is_not_changed(report):
    before = repr(report)
    content.present(report)
    assert repr(report) == before


def test_percent_only_where_every_score_is_a_share(report):
    assert content.in_percent(content.present(report))
    report["models"][0]["score"] = 12.5
    assert not content.in_percent(content.present(report))


def test_shape_in_words():
    whole = {"num_hidden_layers": 4, "hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1200}
    assert content.shape(whole) == "4 layers × 312, 12 heads, 1,200 intermediate"
    assert content.shape({"num_hidden_layers": 1}) == "1 layer"
    assert content.shape({}) == ""


def test_shape_keys_put_the_layers_first():
    assert content.shape_keys({"vocab_size": 1, "zeta": 2}, {"num_hidden_layers": 3}) == [
        "num_hidden_layers",
        "vocab_size",
        "zeta",
    ]
