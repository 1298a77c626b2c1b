import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from stages import tiny
from subarch.api import run_stage
from subarch.arch.pretrained import has_span_head, load_span_model
from subarch.errors import ConfigError, ModelError
from subarch.inputs.data import DataConfig
from subarch.inputs.models import ModelFolder
from subarch.kinds.base import SETTINGS
from subarch.kinds.span import read_threshold
from subarch.session.session import Session
from subarch.stages.evaluate import predict_task
from subarch.stages.finetuning.job import Job
from subarch.stages.finetuning.saving import save_model
from subarch.stages.finetuning.settings import DistillationConfig, FinetuneConfig
from subarch.stages.finetuning.training import train_on_task
from subarch.tasks.base import Examples, TaskData
from subarch.tasks.scoring.answers import exact_and_f1
from subarch.tasks.suites.squad import SQUAD
from subarch.training.loop import ignore_event
from subarch.training.settings import LoopConfig

FAMILIES = ("bert", "roberta", "modernbert")


def questions(count, seed):
    """Contexts with one good word, which is the answer; every fourth has none, and no answer."""
    rng = np.random.default_rng(seed)
    contexts, answers, starts = [], [], []
    for number in range(count):
        words = [str(word) for word in rng.choice(tiny.PLAIN, size=int(rng.integers(4, 30)))]
        answer = str(rng.choice(tiny.GOOD))
        if number % 4:
            words[int(rng.integers(len(words)))] = answer
        contexts.append(" ".join(words))
        answers.append([answer] if number % 4 else [])
        starts.append([contexts[-1].index(answer)] if number % 4 else [])
    columns = {"id": [str(number) for number in range(count)], "answers": answers, "answer_starts": starts}
    return Examples(["which is good?"] * count, contexts, columns=columns)


@pytest.fixture(scope="module")
def data():
    return TaskData(SQUAD["squad2"], questions(160, 0), questions(40, 1), questions(40, 2))


def trained(data, folder, out, teacher=None):
    config = FinetuneConfig(
        model=str(folder),
        out=out,
        data=DataConfig(task="squad2"),
        max_length=32,
        loop=LoopConfig(max_steps=60, learning_rate=3e-3, batch_size=16, evaluations=3),
        distillation=DistillationConfig(weight=1.0, hidden_weight=0.0),
    )
    model = ModelFolder.of(folder)
    job = Job(data=data, model=model, teacher=None if teacher is None else ModelFolder.of(teacher))
    trained = train_on_task(config, Session(), job, ignore_event)
    save_model(out, trained.model, model, data.task, said=trained.said)
    return trained.result


def f1(folder, data):
    predictions = predict_task(ModelFolder.of(folder), data.task, data.test, 32)
    return exact_and_f1(predictions.answers, data.test.columns["answers"])[1].mean()


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    folder = tiny.teacher(tmp_path_factory.mktemp("encoder"))
    out = tmp_path_factory.mktemp("trained") / "teacher"
    return trained(data, folder, out), out


def test_a_trained_model_answers_and_is_an_ordinary_folder(teacher, data):
    outcome, out = teacher
    assert outcome.best_score > 0.8
    assert f1(out, data) > 0.8
    model = AutoModelForQuestionAnswering.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    inputs = tokenizer("which is good?", "the film was superb", return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
    # beyond the first token, which stands for no answer
    first, last = output.start_logits[0, 1:].argmax() + 1, output.end_logits[0, 1:].argmax() + 1
    span = inputs["input_ids"][0, first : last + 1]
    assert tokenizer.decode(span) == "superb"


def test_the_threshold_is_saved_with_the_model(teacher, data):
    _, out = teacher
    assert list(json.loads((out / SETTINGS).read_text())) == ["no_answer_threshold"]
    assert np.isfinite(read_threshold(out))  # some questions have no answer
    assert predict_task(ModelFolder.of(out), data.task, data.test, 32).threshold == read_threshold(out)


def test_a_student_learns_from_its_teacher(teacher, data, tmp_path):
    student = tiny.teacher(tmp_path / "student", seed=7, num_hidden_layers=1)
    trained(data, student, tmp_path / "out", teacher[1])
    assert f1(tmp_path / "out", data) > 0.6
    assert (tmp_path / "out" / SETTINGS).exists()


def test_a_teacher_with_another_tokenizer_is_refused(teacher, data, tmp_path):
    student = tiny.teacher(tmp_path / "student", "roberta")
    with pytest.raises(ConfigError, match="cuts texts otherwise than the student's"):
        trained(data, student, tmp_path / "out", teacher[1])
    assert not (tmp_path / "out").exists()


def test_where_everything_is_answerable_everything_is_answered(tmp_path):
    (tmp_path / SETTINGS).write_text('{"no_answer_threshold": null}')
    assert read_threshold(tmp_path) == np.inf
    (tmp_path / SETTINGS).write_text("[1]")
    with pytest.raises(ModelError, match="holds no threshold"):
        read_threshold(tmp_path)
    (tmp_path / SETTINGS).unlink()
    assert read_threshold(tmp_path) == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_is_drawn_where_there_is_none_and_kept_where_there_is_one(tmp_path, family):
    for labels in (None, ("no", "yes")):
        encoder = tiny.teacher(tmp_path / f"encoder{labels}", family, labels=labels)
        assert not has_span_head(encoder)
        torch.manual_seed(1)
        model = load_span_model(encoder)
        # A classifier's last layer is no head for spans, even where it has the name and the shape of one.
        heads = [value for name, value in model.named_parameters() if value.shape == (2, 32)]
        assert heads[-1].std() < 0.05
        model.save_pretrained(tmp_path / "model")
        assert has_span_head(tmp_path / "model")
        again = load_span_model(tmp_path / "model")
        for name, value in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name


def test_lost_weights_are_refused(tmp_path):
    folder = tiny.teacher(tmp_path / "encoder")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(ModelError, match=r"lacks 16 parameters .* first bert\.encoder\.layer\.3"):
        load_span_model(folder)


def test_own_questions_are_trained_on_and_another_file_of_them_scored(tmp_path):
    examples = questions(80, 5)
    rows = [
        {"question": q, "context": c, "answers": {"text": a, "answer_start": s}}
        for q, c, a, s in zip(
            examples.texts, examples.pairs, examples.columns["answers"], examples.columns["answer_starts"], strict=True
        )
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    paragraphs = [
        {"context": row["context"], "qas": [{"id": str(n), "question": row["question"], "answers": []}]}
        for n, row in enumerate(rows[:4])
    ]
    (tmp_path / "none.json").write_text(json.dumps({"version": "v2.0", "data": [{"paragraphs": paragraphs}]}))
    common = {"max_length": 32, "data": {"train": tmp_path / "own.jsonl"}}
    teacher = str(tiny.teacher(tmp_path / "encoder"))
    model = str(tmp_path / "model")
    loop = {"max_steps": 2, "batch_size": 8}
    run_stage("finetune", {"model": teacher, "out": tmp_path / "model", "loop": loop, **common})
    own = run_stage("evaluate", {"model": model, "out": tmp_path / "own", **common}).metrics
    assert own["examples"] == 8 and own["data"]["splits"]["test"]["contexts"] == 8
    split = {"split": str(tmp_path / "none.json")}
    other = run_stage("evaluate", {"model": model, "out": tmp_path / "other", **common, **split}).metrics
    assert other["examples"] == 4 and other["no_answer_f1"] == other["score"]
