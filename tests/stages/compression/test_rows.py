"""What a report says of each model."""

import json
from dataclasses import replace

import numpy as np
import pytest

from subarch.deploy.formats.registry import FORMATS
from subarch.stages.compression.rows import agreements, described, keep_worst, names, scored
from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.scoring.prediction_files import save_predictions
from subarch.tasks.scoring.predictions import Predictions
from subarch.tasks.scoring.scores import score, slices
from subarch.tasks.scoring.slices import slice_columns
from subarch.tasks.suites.squad import SQUAD

CLASSES = Task(
    name="own",
    kind="classification",
    labels=("no", "yes"),
    text="t",
    label="l",
    metrics=("accuracy",),
    main_metric="accuracy",
)
CHOICE = replace(CLASSES, kind="choice", labels=())
NUMBERS = replace(CLASSES, kind="regression", labels=(), metrics=("rmse",), main_metric="rmse")


@pytest.fixture
def said(tmp_path):
    """Writes what the student and its exports say of examples, and what the export's check found."""

    def write(task, examples, student, onnx, int8):
        for name, predictions in {"student": student, "onnx": onnx, "onnx-int8": int8}.items():
            (tmp_path / "evaluation" / name).mkdir(parents=True)
            save_predictions(tmp_path / "evaluation" / name / "predictions.parquet", task, predictions, examples)
        (tmp_path / "export").mkdir()
        (tmp_path / "export/result.json").write_text(json.dumps({"metrics": {"onnx": {"agreement": 0.9}}}))
        return tmp_path

    return write


def of_classes(*classes):
    return Predictions(outputs=np.eye(2)[list(classes)])


@pytest.mark.parametrize(("scored_by_export", "onnx"), [(False, 0.75), (True, 0.9)])
def test_an_export_that_scored_the_student_is_not_compared_with_itself(said, scored_by_export, onnx):
    examples = Examples(["a text"] * 4)
    out = said(CLASSES, examples, of_classes(0, 1, 1, 0), of_classes(0, 1, 1, 1), of_classes(1, 0, 1, 0))
    found = agreements(out, CLASSES, examples, scored_by_export=scored_by_export)
    assert found == {"onnx": onnx, "onnx-int8": 0.5}


def test_spans_agree_where_the_same_text_is_the_answer_or_none_is(said):
    examples = Examples(["q"] * 4, ["c"] * 4, columns={"id": ["1", "2", "3", "4"], "answers": [["a"]] * 4})
    sure = Predictions(texts=["a", "b", "c", "d"], no_answer=np.array([-1.0, -1.0, 1.0, 1.0]), threshold=0.0)
    others = replace(sure, texts=["a", "x", "y", "d"])  # of the third nobody says an answer
    unsure = replace(sure, threshold=2.0)
    found = agreements(
        said(SQUAD["squad2"], examples, sure, others, unsure), SQUAD["squad2"], examples, scored_by_export=False
    )
    assert found == {"onnx": 0.75, "onnx-int8": 0.5}


def test_choices_agree_by_the_question(said):
    examples = Examples(["q"] * 4, list("abcd"), np.array([1, 0, 0, 1]), np.array([0, 0, 1, 1]))
    first, second = (Predictions(outputs=np.array(rows)[:, None]) for rows in ([3.0, 1, 2, 4], [1.0, 3, 2, 4]))
    found = agreements(said(CHOICE, examples, first, first, second), CHOICE, examples, scored_by_export=False)
    assert found == {"onnx": 1.0, "onnx-int8": 0.5}


def test_numbers_do_not_agree(said):
    examples = Examples(["a text"] * 2, None, np.array([0.5, 1.0], dtype=np.float32))
    numbers = Predictions(outputs=np.array([[0.5], [1.0]]))
    assert (
        agreements(said(NUMBERS, examples, numbers, numbers, numbers), NUMBERS, examples, scored_by_export=True) == {}
    )


def questions():
    """Of three articles, one of few questions; every fourth question has no answer."""
    titles = ["Rivers"] * 12 + ["Kings"] * 12 + ["Tea"] * 3
    answers = [[] if row % 4 == 0 else ["yes"] for row in range(27)]
    columns = {"title": titles, "answers": answers, "answer_starts": [[0] * len(each) for each in answers]}
    return Examples(["who is it?"] * 27, ["yes"] * 27, columns=columns)


def test_of_spans_the_scores_with_and_without_an_answer_are_told_and_the_articles():
    task, examples = SQUAD["squad2"], questions()
    right = [title != "Kings" for title in examples.columns["title"]]
    predictions = Predictions(texts=["yes" if good else "no" for good in right])
    found = score(task, predictions, examples, 0)
    found["slices"] = slices(task, predictions, examples, slice_columns(task, examples), 0)
    row = scored(task, found)
    assert row["score"] == found["f1"] and row["score_interval"] == found["intervals"]["f1"]
    assert row["metrics"]["no_answer_f1"] == 0.0 and row["metrics"]["has_answer_exact_match"] == pytest.approx(11 / 20)
    assert set(row["metrics"]) == set(row["intervals"])
    assert row["part"] == "article" and set(row["parts"]) == {"Rivers", "Kings"}  # of tea there are few questions
    assert row["parts"]["Kings"]["score"] == 0.0 and row["parts"]["Kings"]["count"] == 12
    rows = {"student": row, "teacher": {"parts": {"Rivers": {}, "Tea": {}}}, "majority": {}}
    keep_worst(rows)
    assert set(rows["teacher"]["parts"]) == {"Rivers"} and set(rows["student"]["parts"]) == {"Rivers", "Kings"}


def test_of_classes_the_score_alone_is_told():
    found = score(CLASSES, of_classes(0, 1), Examples(["a", "b"], None, np.array([0, 1])), 0)
    assert scored(CLASSES, found) == {"score": 1.0, "score_interval": [1.0, 1.0]}


def test_a_task_of_choices_is_counted_in_questions():
    rows = Examples(["q"] * 4, list("abcd"), np.array([1, 0, 0, 1]), np.array([0, 0, 1, 1]))
    found = described(TaskData(CHOICE, rows, rows, rows.take(np.arange(2))))
    assert (found["train"], found["test"], found["unit"], found["kind_words"]) == (2, 1, "question", "multiple choice")


def test_every_model_has_names_and_every_export_a_place():
    found = names()
    assert set(found) == {"teacher", "student", *FORMATS}
    assert (
        len({each["label"] for each in found.values()}) == len({each["words"] for each in found.values()}) == len(found)
    )
    assert found["onnx-int8"] == {"label": "Student (ONNX int8)", "words": "int8 ONNX", "path": "export/onnx-int8"}
