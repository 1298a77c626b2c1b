import numpy as np
import pytest
import torch

from subarch.tasks.base import Task
from subarch.training.classifier import TeacherOutputs, distillation_loss_for, loss_for, scorer, training_batches
from subarch.training.losses import DistillationLoss, RegressionLoss, task_loss
from subarch.training.predict import predict

CLASSES = Task(
    name="t", kind="classification", labels=("a", "b", "c"), text="x", label="y", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip
SCORES = Task(name="t", kind="regression", text="x", label="y", metrics=("rmse", "pearson"), main_metric="rmse")


@pytest.fixture
def fp32_teacher(monkeypatch):
    monkeypatch.setattr("subarch.training.classifier.resolve_precision", lambda precision, device: torch.float32)


@pytest.fixture
def outputs(tiny, classifier_of, encoded_data, tmp_path):
    """TeacherOutputs of 24 examples, and the number of rows that each of its forward passes had."""

    def make(with_hidden=False):
        teacher, rows = classifier_of(tiny()), []
        teacher.register_forward_pre_hook(
            lambda module, arguments, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
        )
        path = tmp_path / "outputs.safetensors"
        return TeacherOutputs(teacher=teacher, data=encoded_data(24), path=path, with_hidden=with_hidden), rows

    return make


def test_each_example_is_computed_once(outputs):
    teacher, rows = outputs()
    for indices in ([0, 1, 2], [2, 1, 0], [1, 2, 3, 4], [4]):
        teacher(np.asarray(indices))
    assert rows == [3, 2]


def test_outputs_are_the_teachers(outputs, fp32_teacher, logits_of):
    teacher, _ = outputs()
    indices = np.array([7, 3, 3, 20])
    expected = logits_of(teacher.teacher, teacher.data)[torch.from_numpy(indices)]
    found = teacher(indices)
    assert list(found) == ["teacher_logits"]
    assert found["teacher_logits"].dtype == torch.float32
    torch.testing.assert_close(found["teacher_logits"], expected)


def test_what_was_not_asked_for_is_unknown(outputs):
    teacher, _ = outputs()
    teacher(np.array([5]))
    assert np.isnan(teacher.values[:, 0]).sum() == 23
    assert not np.isnan(teacher.values[5]).any()


def test_saved_outputs_are_found_again_bit_by_bit(outputs):
    first, _ = outputs()
    known = first(np.arange(10))["teacher_logits"]
    first.save()
    second, rows = outputs()
    assert torch.equal(second(np.arange(10))["teacher_logits"], known)
    assert rows == []
    second(np.array([9, 10]))
    assert rows == [1]


def test_the_last_hidden_layer_is_kept_too(outputs, fp32_teacher):
    indices = np.array([7, 3, 20])
    first, rows = outputs(with_hidden=True)
    first(indices[:2])
    found = first(indices)["teacher_hidden"]
    assert rows == [2, 1]
    batch = dict(first.data.batch(indices))
    mask = batch["attention_mask"].bool()
    batch.pop("labels")
    with torch.no_grad():
        expected = first.teacher(**batch, output_hidden_states=True).hidden_states[-1]
    assert found.shape == expected.shape
    torch.testing.assert_close(found[mask].float(), expected[mask], rtol=1e-2, atol=1e-2)
    assert not found[~mask].any()
    first.save()
    second, rows = outputs(with_hidden=True)
    assert torch.equal(second(indices)["teacher_hidden"], found)
    assert rows == []


def test_hidden_layers_without_their_logits_are_computed_again(outputs):
    first, _ = outputs(with_hidden=True)
    first(np.arange(5))
    del first  # killed before the first checkpoint
    second, rows = outputs(with_hidden=True)
    second(np.arange(5))
    assert rows == [5]


def test_batches_are_the_same_for_the_same_seed(encoded_data):
    data = encoded_data(23)

    def epoch(seed, number):
        batches = training_batches(data, batch_size=5, seed=seed)
        made = [make() for make in batches.epoch(number)]
        assert len(made) == batches.count == 5
        return made

    one, again = epoch(1, 0), epoch(1, 0)
    for batch, other in zip(one, again, strict=True):
        assert batch.keys() == other.keys() == {"input_ids", "attention_mask", "labels"}
        assert all(torch.equal(batch[name], other[name]) for name in batch)
    for different in (epoch(1, 1), epoch(2, 0)):
        assert [len(b["labels"]) for b in one] != [len(b["labels"]) for b in different] or any(
            not torch.equal(b["labels"], d["labels"]) for b, d in zip(one, different, strict=True)
        )


def test_an_epoch_has_every_example_once(encoded_data):
    data = encoded_data(23)
    lengths = [
        int(length)
        for make in training_batches(data, batch_size=5, seed=0).epoch(3)
        for length in make()["attention_mask"].sum(1)
    ]
    assert sorted(lengths) == sorted(data.encoded.lengths.tolist())


def test_batches_of_a_student_carry_the_teachers_outputs(encoded_data):
    data = encoded_data(10)
    asked = []

    def teacher(indices):
        asked.extend(indices.tolist())
        return {"teacher_logits": torch.from_numpy(data.encoded.labels[indices]).float()[:, None]}

    batches = training_batches(data, batch_size=4, seed=0, teacher=teacher)
    makers = list(batches.epoch(0))
    assert asked == []  # nothing is computed for batches that are skipped
    for make in makers:
        batch = make()
        assert torch.equal(batch["teacher_logits"][:, 0], batch["labels"].float())
    assert sorted(asked) == list(range(10))


def test_the_scorer_is_the_main_metric(tiny, classifier_of, encoded_data, logits_of):
    model, data = classifier_of(tiny()), encoded_data(24)
    expected = (logits_of(model, data).argmax(1).numpy() == data.encoded.labels).mean()
    assert scorer(CLASSES, data)(model) == pytest.approx(expected)


def test_a_metric_that_is_better_when_lower_changes_sign(tiny, classifier_of, encoded_data):
    model, data = classifier_of(tiny(), num_labels=1), encoded_data(24, regression=True)
    outputs = predict(model, data.encoded, data.pad_token_id)[:, 0]
    expected = np.sqrt(np.mean((outputs - data.encoded.labels) ** 2))
    assert scorer(SCORES, data)(model) == pytest.approx(-expected, rel=1e-5)


def test_the_loss_of_a_task():
    labels = np.array([1.0, 3.0], dtype=np.float32)
    assert loss_for(CLASSES, np.array([0, 1])) is task_loss
    assert loss_for(SCORES, labels) == RegressionLoss(variance=1.0)
    assert loss_for(SCORES, np.array([2.0, 2.0])) == RegressionLoss(variance=1.0)  # constant labels have no scale


def test_the_distillation_loss_holds_the_tasks_own():
    labels = np.array([1.0, 3.0], dtype=np.float32)
    assert distillation_loss_for(CLASSES, np.array([0, 1]), weight=0.0) == DistillationLoss(
        task=task_loss, regression_variance=None, weight=0.0, temperature=1.0
    )
    assert distillation_loss_for(SCORES, labels, weight=0.5, temperature=2.0, hidden_weight=0.1) == DistillationLoss(
        task=RegressionLoss(variance=1.0), regression_variance=1.0, weight=0.5, temperature=2.0, hidden_weight=0.1
    )


def test_predictions_come_in_the_order_of_the_examples(tiny, classifier_of, encoded_data, logits_of):
    model, data = classifier_of(tiny()), encoded_data(24)
    expected = logits_of(model, data).numpy()
    for max_tokens in (1, 30, 4096):
        found = predict(model, data.encoded, data.pad_token_id, max_tokens=max_tokens)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nothing_to_predict(tiny, classifier_of, encoded_data):
    data = encoded_data(3)
    with pytest.raises(ValueError, match="no examples"):
        predict(classifier_of(tiny()), data.encoded.take(np.array([], dtype=int)), 1)
