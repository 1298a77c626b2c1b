import math

import pytest

from stages import tiny
from stages.trials import small
from stages.trials.small import searches, tried  # noqa: F401  (a fixture)
from stages.trials.test_student import TASKS, donor_of
from subarch.arch.costs import flops
from subarch.inputs.models import ModelFolder
from subarch.stages.trials.costs import COSTS, METRICS, Skeleton, known_metrics, metrics_of, operations
from subarch.stages.trials.latency import size_key, table_architectures
from subarch.stages.trials.settings import MetricSettings
from subarch.stages.trials.student import StudentConfig, architecture_of
from subarch.tasks.registry import find_task, task_names

COUNTED = {name: MetricSettings() for name in COSTS if name != "latency_ms"}


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "modernbert"])
@pytest.mark.parametrize("kind", TASKS)
def test_sizes_follow_from_a_skeleton(tmp_path, family, kind):
    # Biases that no published checkpoint has: the closed forms of `arch.costs` do not hold here.
    options = {"attention_bias": True, "mlp_bias": True} if family == "modernbert" else {}
    donor = donor_of(tiny.teacher(tmp_path / "t", family, **options), TASKS[kind])
    student = StudentConfig(num_hidden_layers=4, num_attention_heads=3, intermediate_size=24)
    architecture = architecture_of(student, donor.teacher.architecture)
    model = donor.build(student, None, dropout=False, seed=0)
    model.save_pretrained(tmp_path / "s")
    skeleton = Skeleton.of(donor.teacher, donor.task)
    assert skeleton.num_parameters(architecture) == model.num_parameters()
    assert skeleton.model_bytes(architecture) == (tmp_path / "s" / "model.safetensors").stat().st_size


def test_every_metric_of_every_task_has_a_name():
    names = {name for task in map(find_task, task_names()) for name in metrics_of(task)}
    assert names <= set(METRICS)
    assert {"score", "accuracy", "exact_match", "num_parameters"} <= names


@pytest.mark.parametrize(("family", "dense"), [("bert", 0), ("modernbert", 2 * 32**2)])
def test_the_head_of_spans_sees_every_token(tmp_path, family, dense):
    architecture = ModelFolder(tiny.teacher(tmp_path / "t", family)).architecture
    head = operations(architecture, TASKS["span"], 10) - flops(architecture, 10)
    assert head == 10 * (dense + 2 * 32 * 2)


def test_what_is_known_is_what_a_trial_measures(searches, tmp_path):  # noqa: F811
    config, shared = searches()
    config = small.search(shared.parent, metrics=config.metrics | COUNTED)
    teacher = ModelFolder(shared / "teacher")
    known = known_metrics(config, teacher, TASKS["classes"], shared)
    assert set(known) == set(COUNTED)
    for number, params in enumerate(
        (
            {"student.num_hidden_layers": 1, "student.num_attention_heads": 2, "student.vocabulary": 0.8},
            {"student.num_hidden_layers": 4, "student.intermediate_size": 32, "loop.learning_rate": 2e-3},
        )
    ):
        found = tried((config, shared), tmp_path / str(number), params)["metrics"]
        assert {name: function(params) for name, function in known.items()} == {name: found[name] for name in known}


def test_sizes_that_cannot_be_cost_infinitely_much(tmp_path):
    ranges = {"student.hidden_size": {"choices": [16, 20]}, "student.num_attention_heads": {"choices": [2, 4]}}
    config = small.search(tmp_path, parameters=ranges)
    known = known_metrics(config, ModelFolder(tmp_path / "encoder"), TASKS["classes"])
    assert known["flops"]({"student.hidden_size": 20, "student.num_attention_heads": 2}) == math.inf
    assert known["flops"]({"student.hidden_size": 16, "student.num_attention_heads": 2}) < math.inf


@pytest.mark.parametrize("vocabulary", [{"low": 0.5, "high": 1.0}, {"choices": [0.7, 1.0]}])
def test_what_depends_on_an_unknown_vocabulary_is_not_known(tmp_path, vocabulary):
    config = small.search(tmp_path, parameters={"student.vocabulary": vocabulary})
    known = known_metrics(config, ModelFolder(tmp_path / "encoder"), TASKS["classes"], tmp_path / "shared")
    assert set(known) == {"flops", "encoder_parameters"}


def test_latency_is_known_where_the_architectures_can_be_listed(tmp_path):
    ranges = {"student.num_hidden_layers": {"low": 1, "high": 3}, "student.hidden_size": {"choices": [16, 20]}}
    latency = {"accuracy": MetricSettings(), "latency_ms": MetricSettings()}
    teacher = ModelFolder(tiny.teacher(tmp_path / "encoder")).architecture
    # Of the two widths only one holds whole heads.
    found = table_architectures(small.search(tmp_path, parameters=ranges, metrics=latency), teacher)
    assert [size_key(each) for each in found] == ["1x2x16x64x16", "2x2x16x64x16", "3x2x16x64x16"]
    stored = latency | {"latency_ms": MetricSettings(store=True)}
    assert table_architectures(small.search(tmp_path, parameters=ranges, metrics=stored), teacher) is None
    many = ranges | {"student.intermediate_size": {"low": 1, "high": 40}}
    assert table_architectures(small.search(tmp_path, parameters=many, metrics=latency), teacher) is None
    wide = ranges | {"student.intermediate_size": {"low": 1, "high": 4000}}
    assert table_architectures(small.search(tmp_path, parameters=wide, metrics=latency), teacher) is None
