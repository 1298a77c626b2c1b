import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from stages.trials import small
from stages.trials.small import searches, tried  # noqa: F401  (a fixture)
from subarch.errors import ConfigError, DivergedError
from subarch.inputs.models import ModelFolder
from subarch.kinds.span import read_threshold
from subarch.running.executor import Cancelled
from subarch.stages.evaluate import predict_task
from subarch.stages.trials.costs import COSTS
from subarch.stages.trials.settings import MetricSettings
from subarch.stages.trials.shared import open_shared
from subarch.tasks.scoring.scores import score

SMALL = {"student.num_hidden_layers": 2, "student.num_attention_heads": 2, "student.vocabulary": 0.8}


@pytest.mark.parametrize("kind", small.MAIN)
def test_a_trial_leaves_a_student_that_is_worth_what_it_says(searches, tmp_path, kind):  # noqa: F811
    events = []
    found = tried(searches(kind), tmp_path / "out", SMALL, events.append)
    assert [(event["step"], event["progress"]) for event in events] == [(2, 1 / 3), (4, 2 / 3), (6, 1.0)]
    assert all(event["event"] == "evaluation" and json.dumps(event) for event in events)
    shared = open_shared(*searches(kind))
    task, validation = shared.data.task, shared.data.validation
    said = predict_task(ModelFolder(tmp_path / "out"), task, validation, shared.length)
    again = score(task, said, validation, 0)
    for name in ("score", *task.metrics):
        assert found["metrics"][name] == pytest.approx(again[name], abs=1e-6)
    low, high = again["intervals"][task.main_metric]
    assert found["errors"]["score"] == found["errors"][task.main_metric] == pytest.approx((high - low) / 3.92)
    assert set(found["metrics"]) & set(COSTS) == {"num_parameters"}
    written = json.loads((tmp_path / "out" / "trial.json").read_text())
    assert written == {"number": 3, "params": SMALL, "seed": 7, **found}
    auto = AutoModelForQuestionAnswering if kind == "span" else AutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path / "out")
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (2, 16)
    assert model.num_parameters() == found["metrics"]["num_parameters"]


def test_spans_have_slices_and_a_threshold(searches, tmp_path):  # noqa: F811
    found = tried(searches("span"), tmp_path / "out")
    assert {"title", "answerable", "question_word"} == set(found["slices"])
    articles = found["slices"]["title"]
    assert sorted(articles) == ["article 0", "article 1", "article 2"]
    assert set(articles["article 0"]) == {"count", "f1", "exact_match"}
    counts = [row["count"] for row in articles.values()]
    assert np.average([row["f1"] for row in articles.values()], weights=counts) == pytest.approx(found["metrics"]["f1"])
    assert {"has_answer_f1", "no_answer_f1", "best_f1"} <= set(found["metrics"])
    assert (tmp_path / "out" / "subarch.json").exists()
    untouched = tried(searches("span"), tmp_path / "test", split="test")
    assert sum(row["count"] for row in untouched["slices"]["title"].values()) == 31
    assert read_threshold(tmp_path / "test") == read_threshold(tmp_path / "out")


def test_the_same_task_gives_the_same_metrics(searches, tmp_path):  # noqa: F811
    params = SMALL | {"student.hidden_dropout_prob": 0.2}
    first = tried(searches(), tmp_path / "a", params)
    # In another process there are other threads, and other numbers were drawn before.
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    torch.manual_seed(99)
    try:
        second = tried(searches(), tmp_path / "b", params)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    for name in ("metrics", "errors", "slices"):
        assert first[name] == second[name]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] == weights[1]
    tried(searches(), tmp_path / "c", params, seed=8)
    assert weights[0] != (tmp_path / "c" / "model.safetensors").read_bytes()


def test_a_trial_ends_where_it_is_cancelled(searches, tmp_path):  # noqa: F811
    def tell(event):
        if event["step"] >= 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        tried(searches(), tmp_path / "out", tell=tell)
    assert not (tmp_path / "out" / "trial.json").exists()


@pytest.mark.parametrize("kind", ["classes", "span"])
def test_a_training_that_diverges_is_said_to(searches, tmp_path, kind):  # noqa: F811
    with pytest.raises(DivergedError):
        tried(searches(kind), tmp_path / "out", {"loop.learning_rate": 1e30, "loop.warmup": 0.0})
    assert not (tmp_path / "out" / "trial.json").exists()


def test_outputs_that_are_no_numbers_are_no_score(searches, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("subarch.kinds.rows.predict", lambda *_: np.full((12, 2), np.nan))
    with pytest.raises(DivergedError, match="24 outputs of the student are no finite numbers"):
        tried(searches(), tmp_path / "out")


def test_a_configuration_that_cannot_be_is_refused(searches, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match="hidden_size is 64, expected at most the teacher's 32"):
        tried(searches(), tmp_path / "out", {"student.num_attention_heads": 8})


@pytest.mark.parametrize(
    "params",
    [
        {"student.num_hidden_layers": 4, "student.initializer_range": 0.1},
        {"student.start": "random", "student.hidden_size": 40, "student.num_attention_heads": 2},
        {"distillation.weight": 0.0, "distillation.hidden_weight": 0.0},
        {"student.hidden_dropout_prob": 0.3, "student.layers": "spread", "distillation.dropout": True},
        {"loop.beta_1": 0.8, "loop.adam_epsilon": 1e-6, "loop.optimizer": "sgd"},
    ],
)
def test_students_of_all_kinds_are_trained(searches, tmp_path, params):  # noqa: F811
    found = tried(searches(), tmp_path / "out", params)
    assert 0 <= found["metrics"]["accuracy"] <= 1
    assert found["steps"] == 6


def test_dropouts_that_training_left_out_are_in_the_config(searches, tmp_path):  # noqa: F811
    tried(searches(), tmp_path / "out", {"student.attention_probs_dropout_prob": 0.3})
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (written["hidden_dropout_prob"], written["attention_probs_dropout_prob"]) == (0.1, 0.3)


def test_latency_is_measured_unless_a_table_has_it(searches, tmp_path):  # noqa: F811
    config, shared = searches()
    config = replace(config, metrics={**config.metrics, "latency_ms": MetricSettings(store=True)})
    found = tried((config, shared), tmp_path / "out", SMALL)
    assert 0 < found["metrics"]["latency_ms"] < 1000
    assert found["errors"]["latency_ms"] >= 0
    table = {"2x2x16x64x16": [123.0, 4.5]}
    (shared / "latency.json").write_text(json.dumps(table))
    try:
        found = tried((config, shared), tmp_path / "known", SMALL)
    finally:
        (shared / "latency.json").unlink()
    assert (found["metrics"]["latency_ms"], found["errors"]["latency_ms"]) == (123.0, 4.5)
