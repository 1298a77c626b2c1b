"""Every kind of task through `finetune`, from an encoder to a folder that loads without subarch."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from stages import tiny
from subarch.api import run_stage
from subarch.errors import ConfigError, DataError, InterruptedRun, ModelError
from subarch.inputs import data as inputs
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder
from subarch.report.answers import answer
from subarch.session.session import Session
from subarch.stages.finetuning.settings import DistillationConfig, FinetuneConfig
from subarch.tasks.base import Examples, Task, TaskData

LOOP = {"max_steps": 30, "evaluations": 2, "batch_size": 16, "learning_rate": 2e-3, "checkpoint_seconds": 0.0}
FAST = {"max_length": 24, "loop": LOOP}


def task(name, kind, metric, labels=(), **more):
    return Task(
        name=name, kind=kind, labels=labels, text="text", text_pair="second", label="label", metrics=(metric,),
        main_metric=metric, **more,
    )  # fmt: skip


TASKS = {
    "copa": task("copa", "choice", "accuracy"),
    "multirc": task("multirc", "classification", "f1_answers", ("wrong", "right"), max_length=20),
    "squad1": task("squad1", "span", "f1"),
    "stsb": task("stsb", "regression", "rmse"),
}


def choices(count, seed):
    """Questions of two to four rows: the right one has good words."""
    rng = np.random.default_rng(seed)
    texts, pairs, labels, groups = [], [], [], []
    for question in range(count):
        size = int(rng.integers(2, 5))
        right = int(rng.integers(size))
        for row in range(size):
            words = tiny.GOOD if row == right else tiny.BAD
            texts.append(" ".join(rng.choice(tiny.PLAIN, size=4)))
            pairs.append(" ".join(rng.choice(words, size=2)))
            labels.append(int(row == right))
            groups.append(question)
    return Examples(texts, pairs, np.asarray(labels, dtype=np.int64), np.asarray(groups, dtype=np.int64))


def scores(count, seed):
    texts, shares = tiny.sentences(count, seed)
    return Examples(texts, texts, np.asarray(shares, dtype=np.float32))


def spans(count, seed):
    """The question names a word of the context, and the answer is the word after it."""
    rng = np.random.default_rng(seed)
    questions, contexts, answers, starts = [], [], [], []
    for _ in range(count):
        words = [str(word) for word in rng.choice(tiny.PLAIN[:10], size=6, replace=False)]
        place = int(rng.integers(5))
        questions.append(words[place])
        contexts.append(" ".join(words))
        answers.append([words[place + 1]])
        starts.append([len(" ".join(words[: place + 1])) + 1])
    columns = {"id": [f"{seed}-{n}" for n in range(count)], "title": ["t"] * count}
    return Examples(questions, contexts, columns=columns | {"answers": answers, "answer_starts": starts})


MAKERS = {"copa": choices, "multirc": choices, "squad1": spans, "stsb": scores}


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """Tasks of these names have made-up rows; the others have none."""

    def load(name, **options):
        if name not in TASKS:
            raise DataError(f"no files of {name}")
        return TaskData(TASKS[name], *(MAKERS[name](count, seed) for seed, count in enumerate((60, 20, 20))))

    monkeypatch.setattr(inputs, "load_task", load)
    inputs._load.cache_clear()
    yield
    inputs._load.cache_clear()


def settings(tmp_path, name, model, **changes):
    return {**FAST, "model": str(model), "task": name, "out": tmp_path / "out", **changes}


def same_weights(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_choice_has_one_output_a_row_and_is_learned(tmp_path, teachers, family):
    loop = {**LOOP, "max_steps": 60}
    result = run_stage("finetune", settings(tmp_path, "copa", teachers(family), loop=loop))
    assert result.metrics["score"] > 0.8  # by chance about a third
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.config.num_labels == 1
    assert "highest output is the answer" in (tmp_path / "out/README.md").read_text()
    folder = ModelFolder.of(tmp_path / "out")
    assert folder.answers(TASKS["copa"]) and not folder.answers(TASKS["stsb"]) and not folder.answers(TASKS["squad1"])


def test_answers_of_a_question_are_rows_of_their_own(tmp_path, teachers):
    result = run_stage("finetune", settings(tmp_path, "multirc", teachers(), loop={**LOOP, "max_steps": 60}))
    assert result.metrics["score"] > 0.6
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {0: "wrong", 1: "right"}


def test_spans_make_a_question_answering_model(tmp_path, teachers):
    result = run_stage("finetune", settings(tmp_path, "squad1", teachers()))
    assert 0 <= result.metrics["score"] <= 1
    model, info = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"] and model.config.architectures == ["BertForQuestionAnswering"]
    # Every question has an answer.
    assert json.loads((tmp_path / "out/subarch.json").read_text()) == {"no_answer_threshold": None}
    folder = ModelFolder.of(tmp_path / "out")
    assert folder.answers(TASKS["squad1"]) and not folder.answers(TASKS["copa"])
    with pytest.raises(ModelError, match="has a head for spans, expected a model for one output a choice"):
        folder.require_answers(TASKS["copa"])


def test_a_regression_is_scored_by_an_error_that_should_be_small(tmp_path, teachers):
    result = run_stage("finetune", settings(tmp_path, "stsb", teachers()))
    assert 0 < result.metrics["score"] < 1
    folder = ModelFolder.of(tmp_path / "out")
    assert folder.answers(TASKS["stsb"]) and not folder.answers(TASKS["copa"])
    with pytest.raises(ModelError, match=r"has label \(regression\), expected a model for one output a choice"):
        folder.require_answers(TASKS["copa"])


def test_the_folders_load_without_subarch(tmp_path, teachers):
    run_stage("finetune", settings(tmp_path, "copa", teachers(), loop={**LOOP, "max_steps": 2}))
    program = (
        "import sys; sys.modules['subarch'] = None\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        f"place = {str(tmp_path / 'out')!r}\n"
        "tokenizer = AutoTokenizer.from_pretrained(place)\n"
        "model = AutoModelForSequenceClassification.from_pretrained(place)\n"
        "rows = tokenizer(['the film'] * 2, ['superb', 'dull'], padding=True, return_tensors='pt')\n"
        "assert model(**rows).logits.shape == (2, 1)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize("name", ["copa", "squad1"])
def test_distillation_lowers_the_loss(tmp_path, teachers, name):
    taught = run_stage("finetune", settings(tmp_path, name, teachers(), out=tmp_path / "teacher"))
    assert taught.metrics["steps"] == 30
    events = []
    small = tiny.teacher(tmp_path / "small", num_hidden_layers=1, seed=3)
    run_stage(
        "finetune",
        settings(tmp_path, name, small, teacher=str(tmp_path / "teacher"), distillation={"weight": 1.0}),
        session=Session(on_event=events.append),
    )
    losses = [event["loss"] for event in events if event["event"] == "step"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert not list((tmp_path / "out").glob("teacher_outputs*"))


@pytest.mark.parametrize("changes", [{"layers": (0, 1)}, {"layers": ()}, {"repeats": 0}])
def test_a_distillation_that_cannot_be_is_refused(changes):
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} is .*, expected"):
        DistillationConfig(**changes)


def test_a_layer_that_the_teacher_lacks_is_refused(tmp_path, teachers):
    run_stage("finetune", settings(tmp_path, "stsb", teachers(), out=tmp_path / "teacher"))
    taught = {"teacher": str(tmp_path / "teacher"), "distillation": {"layers": (2, 9)}}
    with pytest.raises(ConfigError, match=r"layers is \(2, 9\), but the teacher has 3"):
        run_stage("finetune", settings(tmp_path, "stsb", teachers(), **taught))


@pytest.mark.parametrize("teacher", [False, True])
def test_a_resumed_choice_ends_as_an_uninterrupted_one(tmp_path, teachers, teacher):
    more = {}
    if teacher:
        run_stage("finetune", settings(tmp_path, "copa", teachers(), out=tmp_path / "teacher"))
        more = {"teacher": str(tmp_path / "teacher")}
    loop = {**LOOP, "max_steps": 12}
    run_stage("finetune", settings(tmp_path, "copa", teachers(), out=tmp_path / "whole", loop=loop, **more))
    steps = []
    session = Session(
        on_event=lambda event: steps.append(event.get("step")),
        stop_requested=lambda: 5 in steps,
    )
    resumed = settings(tmp_path, "copa", teachers(), loop=loop, **more)
    with pytest.raises(InterruptedRun, match="step 5"):
        run_stage("finetune", resumed, session=session)
    run_stage("finetune", resumed)
    assert same_weights(tmp_path / "whole", tmp_path / "out")


def test_the_longest_input_is_the_tasks_unless_told():
    data = DataConfig(task="multirc")
    config = FinetuneConfig(model="m", out="o", data=data)
    assert config.length_for(TASKS["multirc"]) == 20 and config.length_for(TASKS["copa"]) == 128
    assert FinetuneConfig(model="m", out="o", data=data, max_length=7).length_for(TASKS["multirc"]) == 7
    for changes in ({"max_length": 0}, {"validation_examples": 0}, {"head_scale": 0.0}):
        with pytest.raises(ConfigError, match=f"{next(iter(changes))} is"):
            FinetuneConfig(model="m", out="o", data=data, **changes)


@pytest.mark.parametrize("head", ["default", "two_layer"])
def test_a_head_by_the_papers_initialisation(tmp_path, teachers, head):
    loop = {**LOOP, "max_steps": 1, "learning_rate": 1e-9}
    given = settings(tmp_path, "multirc", teachers(), loop=loop, head=head, head_init="uniform", head_scale=0.3)
    run_stage("finetune", given)
    found, before = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", teachers()))
    assert 0.2 < found["classifier.weight"].abs().max() <= 0.301
    pooler = "pooler.dense.weight"
    kept = torch.allclose(found[f"bert.{pooler}"], before[pooler], atol=1e-5)
    assert kept == (head == "default")


def test_heads_that_cannot_be_are_refused(tmp_path, teachers):
    for name, model, match in (
        ("multirc", teachers("modernbert"), r"head is linear, but transformers puts .* has no head\.dense\.weight"),
        ("squad1", teachers(), "for classifiers, but squad1 asks for spans"),
        ("multirc", tiny.teacher(tmp_path / "ready", labels=("wrong", "right")), "brings a head for multirc"),
    ):
        with pytest.raises(ConfigError, match=match):
            run_stage("finetune", settings(tmp_path, name, model, head="linear"))
    assert not (tmp_path / "out").exists()


def test_only_built_in_tasks_have_a_casting(tmp_path):
    with pytest.raises(ConfigError, match="only a built-in task"):
        DataConfig(train=tmp_path / "rows.csv", casting="paper")


def test_the_tasks_rows_need_labels(tmp_path, teachers, monkeypatch):
    data = load_data(DataConfig(task="copa"))
    bare = Examples(data.train.texts, data.train.pairs, None, data.train.groups)
    monkeypatch.setattr(inputs, "load_task", lambda *_, **__: TaskData(data.task, bare, data.validation, data.test))
    inputs._load.cache_clear()
    with pytest.raises(DataError, match="training data of copa have rows without labels"):
        run_stage("finetune", settings(tmp_path, "copa", teachers()))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def suite(tmp_path, teachers):
    """Settings of a run over SuperGLUE, of which two tasks have data."""
    return settings(tmp_path, "superglue", teachers(), loop={**LOOP, "max_steps": 8})


def test_a_suite_is_a_folder_for_each_task_that_has_data(tmp_path, suite):
    result = run_stage("finetune", suite)
    tasks, skipped = result.metrics["tasks"], result.metrics["skipped"]
    assert list(tasks) == ["copa", "multirc"] and tasks["multirc"]["metric"] == "f1_answers"
    assert "boolq" in skipped and skipped["wic"] == "no files of wic"
    for name in tasks:
        assert ModelFolder.of(tmp_path / "out" / name).answers(TASKS[name])
        assert json.loads((tmp_path / "out" / name / "result.json").read_text())["metrics"] == {
            key: value for key, value in tasks[name].items() if key not in ("metric", "notes")
        }
    lines = answer(result.to_json()).splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["task", "metric"],
        ["copa", "accuracy"],
        ["multirc", "f1_answers"],
    ]
    assert "skipped boolq: no files of boolq" in lines and lines[-1].startswith("result: ")
    assert run_stage("finetune", suite).reused


def test_a_killed_suite_goes_on_in_the_task_where_it_was(tmp_path, suite):
    whole = run_stage("finetune", suite | {"out": tmp_path / "whole"})
    events = []

    def tell(event):
        events.extend([(event["stage"], event["step"])] if event["event"] == "step" else [])

    session = Session(on_event=tell, stop_requested=lambda: ("finetune multirc", 3) in events)
    with pytest.raises(InterruptedRun):
        run_stage("finetune", suite, session=session)
    assert (tmp_path / "out/copa/result.json").exists() and not (tmp_path / "out/result.json").exists()
    resumed = run_stage("finetune", suite, session=Session(on_event=tell))
    assert events == [(f"finetune {name}", step) for name in ("copa", "multirc") for step in range(1, 9)]
    assert same_weights(tmp_path / "out/multirc", tmp_path / "whole/multirc")
    scores = [{name: row["score"] for name, row in each.metrics["tasks"].items()} for each in (whole, resumed)]
    assert scores[0] == scores[1]


def test_the_teachers_of_a_suite_are_a_folder_for_each_task(tmp_path, suite):
    run_stage("finetune", suite | {"task": "copa", "out": tmp_path / "taught/copa"})
    result = run_stage("finetune", suite | {"teacher": str(tmp_path / "taught")})
    assert list(result.metrics["tasks"]) == ["copa"]
    assert result.metrics["skipped"]["multirc"] == f"no teacher in {tmp_path}/taught/multirc"
    (tmp_path / "taught/multirc").symlink_to(tmp_path / "taught/copa")
    with pytest.raises(ModelError, match="expected a model for wrong, right"):
        run_stage("finetune", suite | {"teacher": str(tmp_path / "taught"), "out": tmp_path / "other"})
    assert not (tmp_path / "other").exists()


def test_a_suite_without_any_data_is_an_error(tmp_path, suite):
    with pytest.raises(DataError, match="no task of race can be trained, race_middle for this reason: no files"):
        run_stage("finetune", suite | {"task": "race"})
    with pytest.raises(DataError, match="no folder nowhere"):
        run_stage("finetune", suite | {"teacher": "nowhere"})
    assert not (tmp_path / "out").exists()
