"""A compression of every kind of task, from an encoder to exports that give the student's answers."""

import json

import numpy as np
import pytest

from stages import tiny
from subarch.api import run_stage
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import SETTINGS
from subarch.kinds.registry import KINDS


def copa(folder):
    """Official files in which the right one of two choices has good words."""
    (folder / "SuperGLUE/COPA").mkdir(parents=True)
    for seed, (name, count) in enumerate((("train", 150), ("val", 40))):
        rng = np.random.default_rng(seed)
        lines = []
        for number in range(count):
            label = int(rng.integers(2))
            words = [" ".join(rng.choice(tiny.GOOD if row == label else tiny.BAD, size=2)) for row in range(2)]
            premise = " ".join(rng.choice(tiny.PLAIN, size=4))
            row = {"premise": premise, "choice1": words[0], "choice2": words[1], "question": "effect"}
            lines.append(json.dumps({**row, "label": label, "idx": number}))
        (folder / f"SuperGLUE/COPA/{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"task": "copa", "data_dir": folder}


def questions(folder):
    """A user's file in SQuAD's form: contexts with one good word, which is the answer; every fourth has none."""
    rng = np.random.default_rng(0)
    files = {}
    for name, articles in (("train", 12), ("valid", 3), ("test", 4)):
        data = []
        for article in range(articles):
            paragraphs = []
            for number in range(12):
                words = [str(word) for word in rng.choice(tiny.PLAIN, size=int(rng.integers(4, 26)))]
                answer = str(rng.choice(tiny.GOOD))
                if number % 4:
                    words[int(rng.integers(len(words)))] = answer
                context = " ".join(words)
                answers = [{"text": answer, "answer_start": context.index(answer)}] if number % 4 else []
                asked = {"id": f"{name}-{article}-{number}", "question": "which is good?", "answers": answers}
                paragraphs.append({"context": context, "qas": [{**asked, "is_impossible": not answers}]})
            data.append({"title": f"{name} {article}", "paragraphs": paragraphs})
        files[name] = folder / f"{name}.json"
        files[name].write_text(json.dumps({"version": "v2.0", "data": data}), encoding="utf-8")
    return files


MADE = {"choice": copa, "span": questions}
SPEND = {
    **tiny.FAST,
    "max_length": 24,
    "finetune": {**tiny.FAST["finetune"], "max_steps": 100, "learning_rate": 3e-3},
    "distil": {**tiny.FAST["distil"], "max_steps": 80},
    "distillation": {"weight": 1.0, "hidden_weight": 0.0},
}


@pytest.fixture(scope="module", params=list(MADE))
def whole(request, tmp_path_factory):
    """(kind, result, folder) of a whole compression."""
    folder = tmp_path_factory.mktemp("whole")
    settings = {**SPEND, "teacher": str(tiny.teacher(folder / "teacher")), "out": folder / "out"}
    result = run_stage("compress", {**settings, **MADE[request.param](folder)})
    return request.param, result, folder / "out"


def test_the_student_is_smaller_and_has_learned(whole):
    kind, result, out = whole
    metrics = result.metrics
    assert metrics["main_metric"] == {"choice": "accuracy", "span": "f1"}[kind]
    assert metrics["student"]["encoder_parameters"] < 0.5 * metrics["teacher"]["encoder_parameters"]
    commonest = metrics["baselines"][next(iter(metrics["baselines"]))]["score"]
    assert metrics["student"]["score"] > commonest
    assert ModelFolder.of(out / "student").exported_as.output_names == KINDS[kind].output_names


def test_exports_answer_as_the_student_does(whole):
    kind, result, out = whole
    for name, row in result.metrics["exports"].items():
        assert row["agreement"] >= (0.99 if name == "onnx" else 0.7)
        assert row["latency_ms"] > 0 and row["speedup"] > 0
        exported = ModelFolder.of_any(out / "export" / name)
        assert exported.exported_as.output_names == KINDS[kind].output_names
        evaluated = json.loads((out / "evaluation" / name / "result.json").read_text())
        assert evaluated["metrics"]["score"] == row["score"]
    assert result.metrics["exports"]["onnx"]["score"] == pytest.approx(result.metrics["student"]["score"], abs=0.03)
    thresholds = [(out / place / SETTINGS).exists() for place in ("student", "export/onnx", "export/onnx-int8")]
    assert thresholds == [kind == "span"] * 3


def test_the_report_speaks_of_the_kind(whole):
    kind, _, out = whole
    text = (out / "report.md").read_text()
    assert ("F1" in text) == (kind == "span")
    assert "class" not in text.split("## ")[1]


def test_the_same_command_does_nothing_twice(whole):
    _, result, out = whole
    again = run_stage("compress", json.loads(json.dumps(result.config)) | {"out": out})
    assert again.metrics == json.loads(json.dumps(result.metrics))
