import json
import os
import subprocess
import sys

import pytest

from stages import tiny
from subarch.api import run_stage
from subarch.errors import BudgetError, ConfigError, ModelError
from subarch.stages import compress as compress_module
from subarch.stages.compression import settings as compression_settings

ROWS = ("teacher", "student", "onnx", "onnx-int8")
TRAINED = ("teacher", "student")
NUMBERS = {"score", "parameters", "encoder_parameters", "model_bytes", "latency_ms", "speedup"}


def rows_of(metrics):
    return {name: metrics[name] for name in ("teacher", "student")} | metrics["exports"]


def test_what_comes_of_it(compressed):
    result, out, _ = compressed
    assert {"teacher", "student", "extract", "export", "report.html", "report.md", "result.json"} <= {
        entry.name for entry in out.iterdir()
    }
    assert (out / "export/onnx/model.onnx").stat().st_size > (out / "export/onnx-int8/model.onnx").stat().st_size
    assert not list(out.rglob("*.partial")) and not list(out.rglob("checkpoint*"))
    written = json.loads((out / "result.json").read_text())
    assert written == json.loads(json.dumps(result.to_json()))
    assert set(written) == {"stage", "version", "config", "metrics", "artifacts", "run_id", "seconds"}
    assert all((out / path).exists() for path in written["artifacts"].values())


def test_the_metrics_keep_the_contract(compressed):
    metrics = compressed[0].metrics
    assert set(metrics["exports"]) == {"onnx", "onnx-int8"} and set(metrics["baselines"]) == {"majority", "tfidf"}
    for row in rows_of(metrics).values():
        assert set(row) >= NUMBERS
        low, high = row["score_interval"]
        assert low <= row["score"] <= high and row["latency_ms"] > 0
    for row in metrics["baselines"].values():
        assert set(row) >= {"score", "parameters", "latency_ms", "speedup"} and "model_bytes" not in row
    teacher, student = metrics["teacher"], metrics["student"]
    assert teacher["speedup"] == 1.0
    assert student["parameters"] < 0.6 * teacher["parameters"]
    assert student["encoder_parameters"] < 0.5 * teacher["encoder_parameters"]
    assert student["model_bytes"] < teacher["model_bytes"]
    assert metrics["main_metric"] == "accuracy"
    assert teacher["score"] > 0.6  # good and bad words are told apart


def test_the_files_that_hold_the_numbers_agree_with_them(compressed):
    result, out, _ = compressed
    for name, row in rows_of(result.metrics).items():
        evaluated = json.loads((out / "evaluation" / name / "result.json").read_text())
        assert evaluated["metrics"]["score"] == row["score"]
        assert set(evaluated["metrics"]["intervals"]) == {"accuracy", "f1_macro"}
        assert row["score_interval"] == evaluated["metrics"]["intervals"]["accuracy"]


def test_every_layer_imitates_the_one_it_stands_for(compressed):
    _, out, _ = compressed
    found = json.loads((out / "extract/result.json").read_text())["metrics"]
    layers = found["imitated_layers"]
    assert len(layers) == found["candidates"][found["chosen"]]["architecture"]["num_hidden_layers"]
    assert layers == sorted(set(layers)) and layers[-1] == tiny.SIZES["num_hidden_layers"]
    distilled = json.loads((out / "student/result.json").read_text())["config"]["distillation"]
    assert distilled["layers"] == layers


def test_w_follows_from_the_numbers(compressed):
    _, out, _ = compressed
    found = json.loads((out / "extract/result.json").read_text())["metrics"]
    whole = found["maximum_point"]
    for candidate in found["candidates"]:
        smaller = (whole["parameters"] - candidate["parameters"]) / whole["parameters"]
        faster = (whole["latency_ms"] - candidate["latency_ms"]) / whole["latency_ms"]
        expected = smaller * faster / candidate["error"] if min(smaller, faster) > 0 else min(smaller, faster)
        assert candidate["w"] == pytest.approx(expected)
        low, high = candidate["error_interval"]
        assert low <= candidate["error"] <= high
    best = max(range(len(found["candidates"])), key=lambda index: found["candidates"][index]["w"])
    assert found["chosen"] == best and best in found["front"]
    chosen = json.loads((out / "extract/architecture.json").read_text())
    assert chosen == found["candidates"][best]["architecture"]
    student = json.loads((out / "student/config.json").read_text())
    assert all(student[name] == chosen[name] for name in tiny.SIZES)
    assert student["vocab_size"] == chosen["vocab_size"] < len(tiny.wordpiece())


def test_the_record_is_a_tree_with_curves(compressed, record):
    result, _, _ = compressed
    children = record.runs(parent=result.run_id)
    assert [run["stage"] for run in children] == ["finetune", "extract", "finetune", "export"] + ["evaluate"] * 4
    assert {run["status"] for run in children} == {"FINISHED"}
    candidates = record.runs(parent=children[1]["run_id"])
    assert [run["stage"] for run in candidates] == ["candidate"] * 3 and all("w" in c["metrics"] for c in candidates)
    for trained in (children[0], children[2]):
        loss = record.history(trained["run_id"], "loss")
        assert [step for step, _ in loss] == list(range(1, 41))
        assert len(record.history(trained["run_id"], "score")) in (2, 3)
    (own,) = [run for run in record.runs("compress") if run["run_id"] == result.run_id]
    assert own["metrics"]["student.score"] == result.metrics["student"]["score"]


def test_its_progress_is_told(compressed):
    _, _, events = compressed
    phases = [event["name"] for event in events if event["event"] == "phase"]
    assert phases.index("reading") < phases.index("timing candidates") < phases.index("exporting")
    assert phases[-1] == "timing"
    assert [event["done"] for event in events if event["event"] == "candidate"] == [1, 2, 3]


def test_the_same_command_again_does_nothing(compressed, rows, teachers, record):
    first, out, _ = compressed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    again = run_stage("compress", {**tiny.FAST, "teacher": str(teachers()), "out": out, "train": rows})
    assert again == first.__class__(**json.loads((out / "result.json").read_text())) and again.reused
    assert {path: path.stat().st_mtime_ns for path in before} == before


WITHOUT_SUBARCH = """
import sys
sys.modules["subarch"] = None
import json, numpy as np, onnxruntime
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
out, text = sys.argv[1:]
model, info = AutoModelForSequenceClassification.from_pretrained(f"{out}/student", output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(f"{out}/student")
found = {"student": model.eval()(**tokenizer(text, return_tensors="pt")).logits.tolist()[0]}
for name in ("onnx", "onnx-int8"):
    session = onnxruntime.InferenceSession(f"{out}/export/{name}/model.onnx", providers=["CPUExecutionProvider"])
    encoding = Tokenizer.from_file(f"{out}/export/{name}/tokenizer.json").encode(text)
    arrays = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
    arrays["token_type_ids"] = encoding.type_ids
    inputs = {item.name: np.array([arrays[item.name]]) for item in session.get_inputs()}
    found[name] = session.run(None, inputs)[0].tolist()[0]
missing = [key for kind in ("missing_keys", "unexpected_keys") for key in info[kind]]
print(json.dumps({"found": found, "labels": model.config.id2label, "missing": missing}))
"""


def load_without_subarch(out, text):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SUBARCH, str(out), text],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=out,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_everything_loads_without_subarch(compressed):
    _, out, _ = compressed
    answer = load_without_subarch(out, "the superb film with a lovely ending")
    assert answer["labels"] == {"0": "bad", "1": "good"} and answer["missing"] == []
    assert answer["found"]["onnx"] == pytest.approx(answer["found"]["student"], abs=1e-3)
    assert answer["found"]["onnx-int8"] == pytest.approx(answer["found"]["student"], abs=0.5)


@pytest.mark.parametrize(
    ("family", "data", "metric"),
    [("bert", "scores", "pearson"), ("roberta", "pairs", "accuracy"), ("modernbert", "classes", "accuracy")],
)
def test_other_families_and_tasks(family, data, metric, tmp_path, teachers):
    file = getattr(tiny, data)(tmp_path / "rows.csv")
    out = tmp_path / "out"
    result = run_stage("compress", {**tiny.FAST, "teacher": str(teachers(family)), "out": out, "train": file})
    assert result.metrics["main_metric"] == metric
    for row in rows_of(result.metrics).values():
        assert set(row) >= NUMBERS
    whole, cut = (json.loads((folder / "config.json").read_text()) for folder in (teachers(family), out / "student"))
    assert cut["vocab_size"] < whole["vocab_size"] and cut["hidden_size"] < whole["hidden_size"]
    student, onnx = result.metrics["student"], result.metrics["exports"]["onnx"]
    assert onnx["score"] == pytest.approx(student["score"], abs=1e-4)
    assert ("agreement" in onnx) == (data != "scores")
    labels = json.loads((out / "student/config.json").read_text())["id2label"]
    expected = {"scores": ["score"], "pairs": ["other", "same"], "classes": ["bad", "good"]}[data]
    assert list(labels.values()) == expected


def test_a_teacher_that_answers_the_task_is_not_trained_again(compressed, rows, tmp_path, monkeypatch):
    _, first, _ = compressed
    trained = []
    monkeypatch.setattr(compress_module, "deliver", lambda *args: pytest.fail("far enough"))
    monkeypatch.setattr(compress_module, "finetune", lambda config, session: trained.append(config) or None)
    settings = {**tiny.FAST, "teacher": str(first / "teacher"), "out": tmp_path / "out", "train": rows}
    with pytest.raises(pytest.fail.Exception):
        run_stage("compress", settings)
    (distil,) = trained
    assert distil.teacher == str(first / "teacher") and distil.model.endswith("extract/student")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"budget": "3s"}, BudgetError, "the budget is 3s, too short"),
        ({"budget": "soon"}, ConfigError, "the duration is 'soon'"),
        ({"extract": {"steps": 0}}, ConfigError, "steps is 0"),
        ({"extract": {"epsilon": 0}}, ConfigError, "epsilon is 0"),
        ({"extract": {"epsilon": 999}}, ConfigError, "epsilon is 999, expected 1 to the size of the search space"),
        ({"extract": {"space": {"max_total": 0.01}}}, ConfigError, "no student has"),
        ({"finetune": {"evaluations": 0}}, ConfigError, "evaluations is 0"),
        ({"deliver": {"repeats": 0}}, ConfigError, "repeats is 0"),
        ({"distillation": {"weight": 2}}, ConfigError, "weight is 2"),
        ({"max_length": 1}, ConfigError, "max_length"),
        ({"teacher": "./nowhere"}, ModelError, "no folder ./nowhere"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(changes, error, message, tmp_path, rows, teachers):
    out = tmp_path / "out"
    settings = {**tiny.FAST, "teacher": str(teachers()), "out": out, "train": rows}
    with pytest.raises(error, match=message):
        run_stage("compress", settings | changes)
    assert not out.exists()


def test_without_the_extra_onnx_nothing_begins(tmp_path, rows, teachers, monkeypatch):
    from subarch.errors import MissingExtraError

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="onnxruntime"):
        run_stage("compress", {**tiny.FAST, "teacher": str(teachers()), "out": tmp_path / "out", "train": rows})
    assert not (tmp_path / "out").exists()


def test_a_budget_is_kept(rows, teachers, tmp_path, monkeypatch):
    monkeypatch.setattr(compression_settings, "LEAST_SECONDS", 1.0)
    endless = {"epochs": 1e6, "batch_size": 16, "evaluations": 2}
    search = {"space": tiny.FAST["extract"]["space"], "error_examples": 20}
    settings = {"max_length": 24, "finetune": endless, "distil": endless, "extract": search, "budget": "16s"}
    settings |= {"teacher": str(teachers()), "out": tmp_path / "out", "train": rows}
    result = run_stage("compress", settings)
    trained = [json.loads((tmp_path / "out" / name / "result.json").read_text())["metrics"] for name in TRAINED]
    # What a budget bounds at any speed of the machine; how long an export takes, it cannot.
    assert sum(stage["seconds"] for stage in trained) < 16
    assert min(stage["steps"] for stage in trained) > 1
    assert result.config["budget"] == "16s"


def test_the_output_is_not_the_teacher(rows, tmp_path):
    folder = tiny.teacher(tmp_path / "teacher")
    before = sorted(folder.iterdir())
    with pytest.raises(ConfigError, match="is the teacher's own folder"):
        run_stage("compress", {**tiny.FAST, "teacher": str(folder), "out": folder, "train": rows})
    assert sorted(folder.iterdir()) == before
