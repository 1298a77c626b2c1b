import numpy as np
import pytest
import torch

from stages import tiny
from subarch.api import run_stage
from subarch.arch.folders import resolve
from subarch.arch.pretrained import load_classifier, quiet_transformers
from subarch.errors import DataError, ModelError
from subarch.inputs.agreement import agreement_of, check_teacher
from subarch.inputs.data import DataConfig, load_data
from subarch.inputs.models import ModelFolder, aligned
from subarch.session.session import Session

SHORT = {"max_length": 24, "loop": {"max_steps": 2, "evaluations": 1, "batch_size": 16}}


def outputs_of(answers, classes):
    return np.eye(classes)[np.asarray(answers)]


def test_right_answers_agree():
    found = agreement_of(outputs_of([0, 1, 2, 0], 3), np.array([0, 1, 2, 1]))
    assert (found.score, found.commonest, found.best_order) == (0.75, 0.5, (0, 1, 2))
    assert found.recall == pytest.approx((1 + 0.5 + 1) / 3) and found.above_commonest


def test_the_order_that_fits_is_found():
    labels = np.arange(80) % 4
    found = agreement_of(outputs_of([(2, 0, 3, 1)[label] for label in labels], 4), labels)
    assert found.score == 0.0 and found.best_score == 1.0 and found.another_order_fits and not found.above_commonest
    assert found.best_order == (1, 3, 0, 2)


@pytest.mark.parametrize("classes", [2, 4, 20])
def test_chance_is_no_order(classes):
    rng = np.random.default_rng(0)
    fits = [
        agreement_of(rng.random((128, classes)), rng.integers(0, classes, 128)).another_order_fits for _ in range(50)
    ]
    assert not any(fits)


def test_the_rare_class_counts_where_classes_are_uneven():
    labels = np.array([0] * 95 + [1] * 5)
    found = agreement_of(outputs_of([0] * 85 + [1] * 15, 2), labels)
    assert found.score < found.commonest and found.above_commonest


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A teacher that is right, whose outputs have no names and stand in the order good, bad; and its rows."""
    folder = tmp_path_factory.mktemp("taught")
    rows, encoder = tiny.classes(folder / "rows.csv"), tiny.teacher(folder / "encoder")
    loop = {"max_steps": 60, "evaluations": 2, "learning_rate": 2e-3, "head_rate": 1.0, "batch_size": 16}
    run_stage(
        "finetune", {"model": str(encoder), "train": rows, "out": folder / "model", "max_length": 24, "loop": loop}
    )
    model = load_classifier(folder / "model")
    with torch.no_grad(), quiet_transformers():
        model.classifier.weight.copy_(model.classifier.weight.flip(0))
        model.classifier.bias.copy_(model.classifier.bias.flip(0))
        model.config.id2label, model.config.label2id = {0: "LABEL_0", 1: "LABEL_1"}, {"LABEL_0": 0, "LABEL_1": 1}
        model.save_pretrained(folder / "unnamed")
        ModelFolder(folder / "model").tokenizer.save_pretrained(folder / "unnamed")
    return folder / "unnamed", rows


def test_outputs_in_another_order_are_refused_with_the_order_that_fits(taught, student, tmp_path):
    teacher, rows = taught
    common = {"train": rows, "out": tmp_path / "out"}
    for stage, settings in (
        ("evaluate", {"model": str(teacher)}),
        ("finetune", {"model": str(student), "teacher": str(teacher), **SHORT}),
        ("extract", {"teacher": str(teacher)}),
        ("compress", {"teacher": str(teacher)}),
    ):
        with pytest.raises(ModelError, match=r"labelled rows as labelled, the commonest answer 5\d%") as caught:
            run_stage(stage, {**settings, **common})
        assert "--labels good,bad, or go on with --force" in caught.value.hint
        assert not common["out"].exists()


def test_the_given_order_is_taken(taught, tmp_path):
    teacher, rows = taught
    common = {"model": str(teacher), "train": rows}
    right = run_stage("evaluate", {**common, "labels": "good,bad", "out": tmp_path / "right"}).metrics["score"]
    wrong = run_stage("evaluate", {**common, "force": True, "out": tmp_path / "wrong"}).metrics["score"]
    assert right > 0.7 and wrong == pytest.approx(1 - right)


def test_a_student_of_a_given_order_has_the_names(taught, student, tmp_path):
    teacher, rows = taught
    settings = {"model": str(student), "teacher": str(teacher), "train": rows, "labels": ["good", "bad"], **SHORT}
    run_stage("finetune", {**settings, "out": tmp_path / "out"})
    assert ModelFolder(tmp_path / "out").labels == ("good", "bad")


def test_what_a_teacher_is_worth_is_told(taught, tmp_path):
    teacher, rows = taught
    told = []
    session = Session(on_event=told.append)
    data = load_data(DataConfig(train=rows, labels=("good", "bad")))
    line = check_teacher(ModelFolder(teacher), data, 24, session, force=False)
    assert "of 128 labelled rows as labelled, the commonest answer" in line and told[-1]["detail"] == line


def regression(folder, **changes):
    import json

    tiny.teacher(folder, labels=["score"], **changes)
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    (folder / "config.json").write_text(json.dumps(config))
    return ModelFolder(resolve(folder))


def test_labels_beyond_a_sigmoid_are_refused(tmp_path):
    model, data = regression(tmp_path / "ce"), load_data(DataConfig(train=tiny.scores(tmp_path / "scores.csv")))
    assert model.answers(data.task)
    with pytest.raises(DataError, match=r"lie between 0 and 5, .* answers between 0 and 1"):
        check_teacher(model, data, 24, Session(), force=False)


def test_a_sigmoid_answers_but_is_not_trained(tmp_path):
    model, data = regression(tmp_path / "ce"), load_data(DataConfig(train=tiny.scores(tmp_path / "scores.csv")))
    ids = torch.arange(40, 50)[None]
    with torch.no_grad():
        answer = model.model_for(data.task).eval()(ids).logits
        bare = model.model_for(data.task, activated=False).eval()(ids).logits
    assert torch.allclose(answer, bare.sigmoid()) and "sentence_transformers" not in model.config


def test_the_head_of_a_model_with_names_is_kept_for_numbers(tmp_path):
    teacher = ModelFolder(tiny.teacher(tmp_path / "named", labels=["bad", "good"]))
    texts, shares = tiny.sentences(60)
    rows = [(text, int(share > 0.5)) for text, share in zip(texts, shares, strict=True)]
    data = load_data(DataConfig(train=tiny.write_csv(tmp_path / "rows.csv", ("text", "label"), rows)))
    assert teacher.answers(data.task)
    found = aligned(data, teacher)
    assert found.task.labels == ("bad", "good") and "0 is bad, 1 is good" in found.notes[-1]
    assert found.train.labels.tolist() == data.train.labels.tolist()


def test_independent_outputs_are_no_classes(tmp_path):
    model = ModelFolder(
        tiny.teacher(tmp_path / "multi", labels=["bad", "good"], problem_type="multi_label_classification")
    )
    data = load_data(DataConfig(train=tiny.classes(tmp_path / "rows.csv")))
    with pytest.raises(ModelError, match=r"has bad, good \(multi_label_classification\)") as caught:
        model.require_answers(data.task)
    assert "take problem_type out" in caught.value.hint
