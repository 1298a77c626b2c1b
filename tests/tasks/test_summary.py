import json
import subprocess
import sys

import numpy as np

from subarch.tasks.base import Examples, Task, TaskData
from subarch.tasks.custom import load_files
from subarch.tasks.summary import DataSummary


def test_files_are_summed_up(tmp_path):
    rows = [f"a text about {row},{('ham', 'spam', 'Spam')[row % 3]}" for row in range(60)] + ["no label,NULL", "nor,"]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]))
    test = ["A text about 0,ham", "a text  about 1,spam", "another,Spam", "another,ham", "another,ham", "more,NA"]
    (tmp_path / "test.csv").write_text("\n".join(["text,label", *test]))
    summary = DataSummary.of(load_files(tmp_path / "train.csv", test=tmp_path / "test.csv"))
    assert summary.lines() == [
        "text 'text', label 'label': classification, 3 classes",
        "train: 54 rows: Spam 18, ham 18, spam 18",
        "validation: 6 rows: Spam 2, ham 2, spam 2",
        "test: 5 rows: Spam 1, ham 3, spam 1",
        "train: 2 rows have no label and are left out",
        "test: 1 rows have no label and are left out",
        "test: 2 rows are copies of others, with 1 labels that contradict",
        "2 of 5 rows of test stand both in train and in test: its score may be too good",
        "the classes 'Spam' and 'spam' differ only in case or spacing",
    ]
    told = json.loads(json.dumps(summary.as_json()))
    assert told["splits"]["test"]["classes"] == {"Spam": 1, "ham": 3, "spam": 1}
    assert told["overlaps"] == {"validation in train": 0, "test in train": 2, "test in validation": 0}
    assert "2 of 62 rows of train.csv have no label (or 'NULL') and are left out, the first at line 62" in summary.notes


def summed(examples, **task):
    values = {"name": "t", "text": "a", "label": "y", "metrics": ("accuracy",), "main_metric": "accuracy", **task}
    nothing = examples.take(np.empty(0, dtype=np.int64))
    return DataSummary.of(TaskData(Task(**values), examples, nothing, nothing))


def test_scores_have_a_range():
    examples = Examples(["x", "y"], ["p", "q"], np.array([0.5, 2], dtype=np.float32))
    assert summed(examples, kind="regression", text_pair="b").lines() == [
        "text 'a', second text 'b', label 'y': regression",
        "train: 2 rows, scores from 0.5 to 2, mean 1.25",
    ]


def test_questions_are_counted_with_their_contexts():
    columns = {"answers": [["p"], [], ["q"]], "answer_starts": [[0], [], [0]]}
    examples = Examples(["x", "y", "z"], ["p", "p", "q"], columns=columns)
    names = {"text": "question", "text_pair": "passage", "label": "gold", "metrics": ("f1",), "main_metric": "f1"}
    assert summed(examples, kind="span", **names).lines() == [
        "question 'question', context 'passage', answers 'gold': span",
        "train: 3 questions on 2 contexts, 1 of them without an answer",
    ]


def test_of_many_classes_the_rarest_are_named():
    labels = np.repeat(np.arange(10), np.arange(1, 11))
    examples = Examples([f"text {row}" for row in range(len(labels))], None, labels)
    lines = summed(examples, kind="classification", labels=tuple("abcdefghij")).lines()
    assert lines[1] == "train: 55 rows, 1 to 10 of each class; the rarest: a 1, b 2, c 3"


def test_it_needs_no_torch():
    code = "import sys, subarch.tasks.summary, subarch.tasks.custom; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
