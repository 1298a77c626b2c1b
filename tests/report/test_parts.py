import json
import re

import pytest

from subarch.report import content
from subarch.report.answers import answer
from subarch.report.html import render_html
from subarch.report.markdown import render_markdown
from subarch.report.parts import metrics_table, parts_table
from subarch.report.verdict import verdict


def model(score, exact, absent, label, **more):
    """A model of questions; an article more than the student's does not count."""
    metrics = {"exact_match": exact, "f1": score, "no_answer_f1": absent}
    articles = {"Rivers": score - 0.1, "Kings & <b>queens</b>": score - 0.3, "Tea": score + 0.1}
    return {
        "label": label,
        "score": score,
        "score_interval": [score - 0.02, score + 0.02],
        "metrics": metrics,
        "intervals": {name: [value - 0.02, value + 0.02] for name, value in metrics.items()},
        "part": "article",
        "parts": {n: {"count": 40, "score": v, "interval": [v - 0.1, v + 0.1]} for n, v in articles.items()},
        "parameters": 1_000_000,
        "latency_ms": 4.0,
        "speedup": 1.0,
        **more,
    }


@pytest.fixture
def metrics():
    """What a compression of a task of spans leaves in its result."""
    student = model(0.75, 0.71, 0.62, "Student", words="student")
    return {
        "teacher": model(0.8, 0.77, 0.7, "Teacher", words="teacher"),
        "student": student,
        "exports": {
            "onnx": {**student, "label": "Student (exact)", "words": "exact", "agreement": 1.0},
            "onnx-int8": model(0.73, 0.69, 0.5, "Student (rough)", words="rough", agreement=0.93, latency_ms=1.0),
        },
        "baselines": {
            "nothing": model(0.5, 0.5, 1.0, "No answer", latency_ms=0.1),
            "overlap": model(0.3, 0.2, 0.1, "Word overlap", latency_ms=0.2),
        },
        "main_metric": "f1",
        "task": {"name": "squad2", "kind": "span", "kind_words": "answers in a text", "unit": "question", "test": 150}
        | {"main_metric": "f1", "train": 1000, "labels": []},
        "floor": {"sufficient": False, "text": "", "commonest": "nothing", "simple": "overlap"},
    }


def texts(table):
    return [[cell.full for cell in row.cells] for row in table.rows]


def test_exact_match_and_f1_stand_with_and_without_an_answer(metrics):
    table = metrics_table(content.of_compression(metrics))
    # The exact export says what the student says, and no answer is no method.
    assert [column.heading for column in table.columns] == ["Metric", "Teacher", "Student", "rough", "Word overlap"]
    assert texts(table)[0][:3] == ["Exact match", "77.0 [75.0, 79.0]", "71.0 [69.0, 73.0]"]
    assert texts(table)[2][:3] == ["F1, without an answer", "70.0 [68.0, 72.0]", "62.0 [60.0, 64.0]"]
    assert [row.emphasis for row in table.rows] == [False, True, False]


def test_the_worst_articles_come_first(metrics):
    table = parts_table(content.of_compression(metrics))
    assert table.caption == "F1 by article: the 3 lowest of 3"
    assert [column.heading for column in table.columns][:3] == ["Article", "Questions", "Teacher"]
    assert [row[0] for row in texts(table)] == ["Kings & <b>queens</b>", "Rivers", "Tea"]
    assert texts(table)[0][1:4] == ["40", "50.0 [40.0, 60.0]", "45.0 [35.0, 55.0]"]
    many = {f"{number:03d}": {"count": 9, "score": number / 100, "interval": [0, 1]} for number in range(30)}
    metrics["student"]["parts"] = many
    assert [row[0] for row in texts(parts_table(content.of_compression(metrics)))] == [f"{n:03d}" for n in range(10)]


def test_where_one_metric_says_all_there_are_no_such_tables(report):
    assert metrics_table(report) is None and parts_table(report) is None
    page = render_markdown(report)
    assert "## Scores" not in page and "## Worst" not in page


def test_the_words_are_those_of_the_task(metrics):
    report = content.of_compression(metrics)
    for page in (render_markdown(report), render_html(report)):
        shown = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.S)
        assert "Answers in a text; questions: 1,000 train, 150 test." in shown
        assert "Worst articles" in shown and "<b>queens" not in shown
        assert "share of questions on which a model answers as the student does" in shown
        assert "All scores come from 150 test questions only" in shown
        for word in ("accuracy", "class", "label", "example", "majority", "commonest"):
            text = re.sub(r"<[^>]*>", " ", shown)
            assert word not in text.lower().replace("speed-up", ""), word


@pytest.mark.parametrize("score", [0.75, 0.85, 0.55, 0.4])
def test_page_and_terminal_judge_alike(metrics, score):
    metrics["student"] |= {"score": score, "score_interval": [score - 0.02, score + 0.02]}
    read = json.loads(json.dumps(metrics))
    judged = verdict(content.of_compression(metrics) | {"curves": {"distil": [{"step": 1, "score": 7.0}]}})
    result = {"stage": "compress", "metrics": read, "artifacts": {"report": "report.html"}, "config": {"out": "o"}}
    told = answer(result).splitlines()
    assert [judged.sentence, *judged.caveats] == told[told.index(judged.sentence) : -2]
    assert judged.caveats and told[-1] == "report: o/report.html"
    assert any(line.split()[:3] == ["Exact", "match", "77.0"] for line in told)


def test_no_answer_at_all_is_the_floor(metrics):
    for name in ("teacher", "student"):
        metrics[name] |= {"score": 0.5, "score_interval": [0.48, 0.52]}
    judged = verdict(content.of_compression(metrics))
    assert judged.sentence == (
        "Nothing was learned: no model is better than the baseline “No answer” (F1 50.0) on 150 test questions."
    )
