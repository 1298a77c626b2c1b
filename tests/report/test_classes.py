from report.test_verdict import classes, uneven
from subarch.report.answers import answer
from subarch.report.classes import classes_table
from subarch.report.html import render_html
from subarch.report.markdown import render_markdown


def texts(table):
    return [[cell.full for cell in row.cells] for row in table.rows]


def test_macro_f1_and_recalls_stand_in_every_report_of_uneven_classes(report):
    uneven(report, teacher=0.8, student=0.4, onnx=0.4, onnx_int8=0.35, tfidf=0.1)
    table = classes_table(report)
    assert [column.heading for column in table.columns][2:] == [
        "Teacher",
        "Student",
        "int8 ONNX",
        "TF-IDF + logistic regression",
    ]
    assert texts(table) == [
        ["Macro F1", "", "90.0 [87.0, 93.0]", "70.0 [67.0, 73.0]", "67.5 [64.5, 70.5]", "55.0 [52.0, 58.0]"],
        ["rare", "40", "80.0", "40.0", "35.0", "10.0"],
        ["usual", "832", "100.0", "100.0", "100.0", "100.0"],
        ["Classes given as an answer", "", "2", "2", "2", "2"],
    ]
    for page in (render_markdown(report), render_html(report)):
        assert all(words in page for words in ("Macro F1", "90.0", "[87.0, 93.0]", "rare", "Recall of the class"))


def test_even_classes_need_no_table_unless_a_model_gives_one_answer(report):
    for model in report["models"]:
        model["classes"] = classes(uneven=False)
    assert classes_table(report) is None and "Macro F1" not in render_markdown(report)
    for model in report["models"][1:3]:
        model["classes"] = classes(answers=1, rare=0.0, uneven=False)
    assert texts(classes_table(report))[-1] == ["Classes given as an answer", "", "2", "1 (usual)", "2", "2"]


def test_of_many_classes_the_worst_are_shown(report):
    names = [f"class {number:02d}" for number in range(50)]
    many = classes() | {"examples": dict.fromkeys(names, 5), "recalls": {n: i / 50 for i, n in enumerate(names)}}
    report["models"][1]["classes"] = many
    table = classes_table(report)
    assert table.caption == "Recall of each class: the 20 lowest of 50"
    assert [row.cells[0].text for row in table.rows][1:-1] == names[:20]


def test_the_terminal_shows_them_too(report):
    uneven(report, teacher=0.8, student=0.4, onnx=0.4, onnx_int8=0.35, tfidf=0.1)
    models = {model["name"]: model for model in report["models"]}
    metrics = {name: models[name] for name in ("teacher", "student")}
    metrics |= {"exports": {name: models[name] for name in ("onnx", "onnx-int8")}, "main_metric": "accuracy"}
    metrics["baselines"] = {name: models[name] for name in ("majority", "tfidf")}
    lines = answer({"stage": "compress", "metrics": metrics, "artifacts": {}, "config": {"out": "o"}}).splitlines()
    assert any(line.split()[:3] == ["rare", "40", "80.0"] for line in lines)
