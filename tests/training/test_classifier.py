import numpy as np
import pytest
import torch

from subarch.tasks.base import Task
from subarch.training.classifier import (
    EncodedData,
    TeacherOutputs,
    training_batches,
)
from subarch.training.predict import predict

CLASSES = Task(
    name="t", kind="classification", labels=("a", "b", "c"), text="x", label="y", metrics=("accuracy",),
    main_metric="accuracy",
)  # fmt: skip
CHOICES = Task(name="t", kind="choice", text="x", label="y", metrics=("accuracy",), main_metric="accuracy")
ANSWERS = Task(
    name="t", kind="classification", labels=("no", "yes"), text="x", label="y", metrics=("f1_answers",),
    main_metric="f1_answers",
)  # fmt: skip
SCORES = Task(name="t", kind="regression", text="x", label="y", metrics=("rmse", "pearson"), main_metric="rmse")


@pytest.fixture
def fp32_teacher(monkeypatch):
    monkeypatch.setattr("subarch.training.classifier.inference_dtype", lambda precision, device: torch.float32)


@pytest.fixture
def outputs(tiny, classifier_of, encoded_data, tmp_path):
    """TeacherOutputs of 24 examples, and the number of rows that each of its forward passes had."""

    def make(hidden_layers=()):
        teacher, rows = classifier_of(tiny()), []
        teacher.register_forward_pre_hook(
            lambda module, arguments, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
        )
        path = tmp_path / "outputs.safetensors"
        return TeacherOutputs(teacher=teacher, data=encoded_data(24), path=path, hidden_layers=hidden_layers), rows

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


def test_hidden_layers_are_kept_too(outputs, fp32_teacher):
    indices = np.array([7, 3, 20])
    first, rows = outputs(hidden_layers=(1, -1))
    first(indices[:2])
    found = first(indices)["teacher_hidden"]
    assert rows == [2, 1]
    batch = dict(first.data.batch(indices))
    mask = batch["attention_mask"].bool()
    batch.pop("labels")
    with torch.no_grad():
        states = first.teacher(**batch, output_hidden_states=True).hidden_states
    expected = torch.stack([states[1], states[-1]], dim=2)
    assert found.shape == expected.shape
    torch.testing.assert_close(found[mask].float(), expected[mask], rtol=1e-2, atol=1e-2)
    assert not found[~mask].any()
    first.save()
    second, rows = outputs(hidden_layers=(1, -1))
    assert torch.equal(second(indices)["teacher_hidden"], found)
    assert rows == []


def test_hidden_layers_without_their_logits_are_computed_again(outputs):
    first, _ = outputs(hidden_layers=(-1,))
    first(np.arange(5))
    del first  # killed before the first checkpoint
    second, rows = outputs(hidden_layers=(-1,))
    second(np.arange(5))
    assert rows == [5]


def test_hidden_layers_beyond_float16_stay_finite(outputs, fp32_teacher):
    taught, _ = outputs(hidden_layers=(-1,))
    with torch.no_grad():
        taught.teacher.bert.encoder.layer[-1].output.LayerNorm.weight.fill_(1e6)
    found = taught(np.arange(5))["teacher_hidden"].float()
    assert torch.isfinite(found).all() and float(found.abs().max()) == 65504.0


def test_repeated_batches_show_all_data_as_often(encoded_data, monkeypatch):
    monkeypatch.setattr("subarch.training.classifier.ECHO", 2)
    batches = training_batches(encoded_data(20), batch_size=4, seed=0, teacher=lambda i: {"rows": i}, repeats=2)

    def rows(number):
        return [tuple(make()["rows"]) for make in batches.epoch(number)]

    first, second = rows(0), rows(1)
    assert first[:2] == first[2:4] and first[4:5] == first[5:6]
    assert second[:2] == second[2:4]
    assert sorted(row for batch in first + second for row in batch) == sorted(2 * list(range(20)))
    assert rows(2) != first


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


def test_a_batch_of_choices_has_whole_questions(encoded_data):
    data, groups = encoded_data(24), np.repeat([3, 4, 7, 9, 11, 20], [4, 2, 5, 6, 3, 4])
    batches = training_batches(data, batch_size=8, seed=0, groups=groups)
    seen = []
    for make in batches.epoch(0):
        batch = make()
        numbers = batch["groups"]
        assert numbers[0] == 0 and set(torch.diff(numbers).tolist()) <= {0, 1} and len(numbers) <= 8
        assert len(batch["labels"]) == len(batch["input_ids"]) == len(numbers)
        seen += torch.bincount(numbers).tolist()
    assert sorted(seen) == [2, 3, 4, 4, 5, 6]


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


@pytest.mark.parametrize("hidden_layers", [(), (1, -1)])
def test_complete_outputs_are_those_that_batches_would_have_asked_for(outputs, fp32_teacher, hidden_layers):
    one, rows = outputs(hidden_layers)
    one.complete(max_tokens=64)
    assert sum(rows) == 24 and max(rows) < 24 and one.path.exists()
    again, rows = outputs(hidden_layers)
    again.complete()
    assert rows == []
    given = again(np.arange(24))
    one.path.unlink()
    batch, _ = outputs(hidden_layers)
    for name, tensor in batch(np.arange(24)).items():
        torch.testing.assert_close(
            given[name].float(), tensor.float(), rtol=1e-2, atol=1e-2 if "hidden" in name else 1e-5
        )


@pytest.mark.parametrize("hidden_layers", [(), (-1,)])
def test_outputs_on_the_first_examples_are_taken_over(tiny, classifier_of, encoded_data, tmp_path, hidden_layers):
    whole = encoded_data(24)
    first = EncodedData(encoded=whole.encoded.take(np.arange(10)), pad_token_id=whole.pad_token_id)
    teacher = classifier_of(tiny())

    def outputs(data, name):
        path = tmp_path / f"{name}.safetensors"
        return TeacherOutputs(teacher=teacher, data=data, path=path, hidden_layers=hidden_layers)

    early = outputs(first, "early")
    early.complete()
    rows = []
    teacher.register_forward_pre_hook(
        lambda module, arguments, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True
    )
    later = outputs(whole, "later")
    later.take_over(early.path)
    later.complete()
    assert sum(rows) == 14
    expected, found = early(np.arange(10)), later(np.arange(10))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert not np.isnan(later.values).any()


def test_outputs_with_other_layers_are_not_taken_over(outputs, tmp_path):
    early, _ = outputs((1, -1))
    early.complete()
    earlier = early.path.rename(tmp_path / "early.safetensors")
    early.path.with_suffix(".hidden").rename(tmp_path / "early.hidden")
    for layers, computed in (((-1,), 24), ((), 0), ((1, -1), 0)):
        later, rows = outputs(layers)
        later.take_over(earlier)
        later.complete()
        assert sum(rows) == computed
        for file in tmp_path.glob("outputs.*"):
            file.unlink()
