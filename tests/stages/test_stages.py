"""Each stage by itself: finetune, extract, evaluate, export, latency."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file, save_file

from stages import tiny
from subarch.api import run_stage
from subarch.errors import BudgetError, ConfigError, InterruptedRun, ModelError
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.running.budget import Deadline
from subarch.session.session import Session
from subarch.tracking.record import NullRecord

LOOP = {"max_steps": 6, "evaluations": 2, "batch_size": 16}
SHORT = {"max_length": 24, "loop": LOOP}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Answers the task, with its labels in the order that the data does not have."""
    return tiny.teacher(tmp_path_factory.mktemp("classifier") / "good-bad", labels=("good", "bad"))


def weights_differ(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return [name for name in first if not np.array_equal(first[name], second[name])]


def test_finetune_leaves_an_ordinary_folder(tmp_path, rows, teachers):
    out = tmp_path / "out"
    result = run_stage("finetune", {**SHORT, "model": str(teachers()), "out": out, "train": rows})
    assert result.stage == "finetune" and result.metrics["steps"] == 6 and 0 <= result.metrics["score"] <= 1
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= {p.name for p in out.iterdir()}
    assert not (out / "checkpoint.safetensors").exists() and not (out / "model.partial").exists()
    assert "Labels: bad, good." in (out / "README.md").read_text()
    assert ModelFolder.of(out).answers(load_data(DataConfig(train=rows)).task)


def test_the_seed_decides(tmp_path, rows, teachers):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = {**SHORT, "model": str(teachers()), "out": tmp_path / name, "train": rows, "seed": seed}
        run_stage("finetune", settings)
    assert not weights_differ(tmp_path / "a", tmp_path / "b")
    assert weights_differ(tmp_path / "a", tmp_path / "c")


def test_a_student_takes_the_order_of_its_teachers_answers(tmp_path, rows, teachers, classifier):
    settings = {**SHORT, "teacher": str(classifier), "out": tmp_path / "out", "train": rows, "force": True}
    run_stage("finetune", {**settings, "model": str(teachers())})
    assert ModelFolder.of(tmp_path / "out").labels == ("good", "bad")


def test_a_teacher_of_another_task_is_refused(tmp_path, rows, teachers):
    other = tiny.teacher(tmp_path / "other", labels=("yes", "no"))
    settings = {**SHORT, "model": str(teachers()), "out": tmp_path / "out", "train": rows}
    with pytest.raises(ModelError, match="has yes, no, expected a model for bad, good") as caught:
        run_stage("finetune", {**settings, "teacher": str(other)})
    assert "fine-tune it on the task first, or name the classes in the order" in caught.value.hint
    with pytest.raises(ModelError, match="has no trained head"):
        run_stage("finetune", {**settings, "teacher": str(teachers())})
    assert not (tmp_path / "out").exists()


def test_aligned_renumbers_the_classes_and_nothing_else(rows, classifier):
    data = load_data(DataConfig(train=rows))
    turned = aligned(data, ModelFolder.of(classifier))
    assert data.task.labels == ("bad", "good") and turned.task.labels == ("good", "bad")
    for split in ("train", "validation", "test"):
        before, after = getattr(data, split), getattr(turned, split)
        assert before.texts == after.texts
        assert [data.task.labels[i] for i in before.labels] == [turned.task.labels[i] for i in after.labels]
    assert aligned(turned, ModelFolder.of(classifier)) is turned


def test_no_time_for_a_step(tmp_path, rows, teachers):
    session = Session(deadline=Deadline.after(0.0))
    with pytest.raises(BudgetError, match="before the first"):
        settings = {"model": str(teachers()), "out": tmp_path / "out", "train": rows, "max_length": 24}
        run_stage("finetune", settings, session=session)


@pytest.mark.parametrize("stage", ["finetune", "compress"])
def test_numbers_of_a_base_model_that_are_none_are_named_before_anything_is_written(tmp_path, rows, stage):
    base = tiny.teacher(tmp_path / "base")
    tensors = load_file(base / "model.safetensors")
    name = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    tensors[name][7] = math.nan
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    told = []
    settings = {"model" if stage == "finetune" else "teacher": str(base), "train": rows, "out": tmp_path / "out"}
    with pytest.raises(ModelError, match=f"{name} in .* NaN"):
        run_stage(stage, settings, session=Session(on_event=told.append, record=Refusing()))
    assert not (tmp_path / "out").exists()


class Refusing(NullRecord):
    """Where nothing may be recorded."""

    def start(self, *arguments, **options):
        raise AssertionError


@pytest.mark.parametrize("phase", ["reading", "exporting"])
def test_a_stop_between_two_phases(phase, compressed, tmp_path, rows, teachers):
    session = Session(stop_requested=lambda: True)
    settings = {"out": tmp_path / "out"}
    with pytest.raises(InterruptedRun, match=f"interrupted before {phase}") as caught:
        if phase == "reading":
            run_stage("finetune", {**SHORT, **settings, "model": str(teachers()), "train": rows}, session=session)
        else:
            run_stage("export", {**settings, "model": str(compressed[1] / "student")}, session=session)
    assert caught.value.hint == "the same command resumes"


@pytest.mark.parametrize("model", ["teacher", "export/onnx"])
def test_evaluate_both_splits(model, compressed, tmp_path, rows):
    data = load_data(DataConfig(train=rows))
    for split in ("test", "validation"):
        out = tmp_path / split
        settings = {"model": str(compressed[1] / model), "out": out, "train": rows, "split": split, "max_length": 24}
        result = run_stage("evaluate", settings)
        table = pq.read_table(out / "predictions.parquet").to_pydict()
        right = [a == b for a, b in zip(table["prediction"], table["gold"], strict=True)]
        assert result.metrics["score"] == result.metrics["accuracy"] == pytest.approx(sum(right) / len(right))
        assert set(table["gold"]) == {"bad", "good"} and len(table["id"]) == 20
        assert all(math.isclose(sum(row), 1, abs_tol=1e-5) for row in table["probabilities"])
        assert result.metrics["intervals"].keys() == {"accuracy", "f1_macro"}
        assert table["gold"] == [data.task.labels[label] for label in getattr(data, split).labels]


def test_evaluate_reads_the_order_of_a_models_labels(tmp_path, rows, classifier):
    """A model whose labels are turned round with its head gives the same answers."""
    turned = tiny.teacher(tmp_path / "bad-good", labels=("bad", "good"))
    found = []
    for name, folder in (("one", classifier), ("other", turned)):
        settings = {"model": str(folder), "out": tmp_path / name, "train": rows, "max_length": 24}
        found.append(run_stage("evaluate", settings).metrics["accuracy"])
    # The weights are the same and the names are not: what one takes for good is bad to the other.
    assert sum(found) == pytest.approx(1.0)


def test_export_one_format(compressed, tmp_path):
    out = tmp_path / "out"
    settings = {"model": str(compressed[1] / "student"), "out": out, "formats": ["onnx-int8"]}
    result = run_stage("export", settings)
    assert result.metrics.keys() == result.artifacts.keys() == {"onnx-int8"}
    assert not (out / "onnx").exists()
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {p.name for p in (out / "onnx-int8").iterdir()}
    numbers = result.metrics["onnx-int8"]
    assert numbers["agreement"] > 0.8 and numbers["model_bytes"] == (out / "onnx-int8/model.onnx").stat().st_size


def test_an_export_whose_weights_lie_beside_it(compressed, tmp_path, rows, monkeypatch):
    monkeypatch.setattr("subarch.deploy.onnx_export.LARGEST", 1000)
    out = tmp_path / "out"
    result = run_stage("export", {"model": str(compressed[1] / "student"), "out": out})
    for name in ("onnx", "onnx-int8"):
        sizes = [(out / name / file).stat().st_size for file in ("model.onnx", "model.onnx.data")]
        assert result.metrics[name]["model_bytes"] == sum(sizes) and sizes[1] > 1_000
    settings = {"model": str(out / "onnx"), "out": tmp_path / "scored", "train": rows, "max_length": 24}
    expected = run_stage("evaluate", {**settings, "model": str(compressed[1] / "student"), "out": tmp_path / "student"})
    assert run_stage("evaluate", settings).metrics["score"] == expected.metrics["score"]
    settings = {"model": str(compressed[1] / "student"), "out": tmp_path / "alone", "formats": ["onnx-int8"]}
    alone = run_stage("export", settings)
    assert alone.metrics.keys() == {"onnx-int8"} and not (tmp_path / "alone/onnx").exists()


def test_latency_compares_with_the_first(compressed, tmp_path, rows):
    folders = [str(compressed[1] / name) for name in ("teacher", "export/onnx")]
    settings = {"models": folders, "out": tmp_path / "out", "train": rows, "requests": 2, "repeats": 3}
    metrics = run_stage("latency", {**settings, "max_length": 24}).metrics
    assert metrics["threads"] == 1 and set(metrics) == {"threads", *folders}
    for row in (metrics[folder] for folder in folders):
        assert 0 < row["latency_ms_low"] <= row["latency_ms"] <= row["latency_ms_high"]
    assert metrics[folders[0]]["speedup"] == 1.0 < metrics[folders[1]]["speedup"]


@pytest.mark.parametrize(("name", "value"), [("models", []), ("requests", 0), ("repeats", 0), ("threads", 0)])
def test_latency_of_nothing(name, value, tmp_path, rows, teachers):
    settings = {"models": [str(teachers())], "out": tmp_path / "out", "train": rows}
    with pytest.raises(ConfigError, match=rf"{name} is 0|no {name}"):
        run_stage("latency", settings | {name: value})
    assert not (tmp_path / "out").exists()


def test_extract_keeps_the_whole_vocabulary_if_told_to(tmp_path, rows, classifier):
    space = {**tiny.FAST["extract"]["space"], "vocabulary": 1, "max_total": 1.0, "layers": (1 / 3,)}
    settings = {**tiny.FAST["extract"], "space": space, "teacher": str(classifier), "max_length": 24, "force": True}
    result = run_stage("extract", {**settings, "out": tmp_path / "out", "train": rows})
    sizes = json.loads((tmp_path / "out/architecture.json").read_text())
    assert sizes["vocab_size"] == len(tiny.wordpiece()) and sizes["num_hidden_layers"] == 1
    assert result.metrics["chosen"] == 0 and len(result.metrics["candidates"]) == 1
    assert ModelFolder.of(tmp_path / "out/student").labels == ("good", "bad")


def test_nominal_latencies_follow_from_the_sizes_alone(tmp_path, rows, classifier):
    settings = {**tiny.FAST["extract"], "latency": "nominal", "teacher": str(classifier), "train": rows, "force": True}
    first, second = (run_stage("extract", {**settings, "out": tmp_path / name}).metrics for name in ("one", "two"))
    assert first == second
    assert all(c["latency_ms"] < first["maximum_point"]["latency_ms"] for c in first["candidates"])


@pytest.mark.parametrize("stage", ["finetune", "extract", "compress", "evaluate", "export", "latency", "prepare"])
def test_one_process_of_several_refuses_before_it_reads_anything(tmp_path, monkeypatch, stage):
    monkeypatch.setenv("WORLD_SIZE", "2")
    own = {
        **{name: {"teacher": "nowhere", "train": tmp_path / "none.csv"} for name in ("extract", "compress")},
        "latency": {"models": ["nowhere"], "train": tmp_path / "none.csv"},
        "export": {"model": "nowhere"},
        "prepare": {"input": [str(tmp_path / "none.txt")], "tokenizer": "nowhere"},
    }
    settings = own.get(stage, {"model": "nowhere", "train": tmp_path / "none.csv"})
    with pytest.raises(ConfigError, match=f"^{stage} runs in one process, but was started as one of 2"):
        run_stage(stage, {**settings, "out": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_what_is_cut_is_told_before_training_and_stands_in_the_card(tmp_path, rows, teachers):
    told = []
    out = tmp_path / "out"
    settings = {"model": str(teachers()), "out": out, "train": rows, "max_length": 8, "loop": LOOP}
    result = run_stage("finetune", settings, session=Session(on_event=told.append))
    cut = result.metrics["cut"]
    assert cut["share"] > 0.5 and "are longer than 8 tokens" in cut["text"] and "--set max_length=" in cut["text"]
    first = next(event for event in told if event.get("name") != "data")
    assert first == {"event": "phase", "name": "note", "detail": cut["text"]}
    assert cut["text"][1:] in (out / "README.md").read_text()
