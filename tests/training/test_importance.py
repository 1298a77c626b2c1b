import numpy as np
import pytest
import torch

from subarch.arch.families import FAMILIES
from subarch.running.budget import Deadline
from subarch.training.importance import LEAST_ROWS, measure_importance
from subarch.training.losses import task_loss


@pytest.fixture
def measured(tiny, classifier_of, encoded_data):
    def make(family, loss=task_loss):
        architecture, data = tiny(family), encoded_data(16)
        teacher = classifier_of(architecture)
        batches = [data.batch(np.arange(8)), data.batch(np.arange(8, 16))]
        return teacher, batches, measure_importance(teacher, architecture, batches, loss)

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_and_that_every_structure_matters(measured, family):
    _, _, importance = measured(family)
    assert importance.hidden.shape == (32,)
    assert importance.attention.shape == (3, 4)
    assert importance.intermediate.shape == (3, 48)
    assert importance.embedding.shape == (24 if family == "electra" else 32,)
    for scores in (importance.hidden, importance.attention, importance.intermediate):
        assert (scores > 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_squared_derivative_by_a_mask(measured, family):
    teacher, batches, importance = measured(family)
    facts = FAMILIES[family]
    path = f"{facts.layer_path(1)}.{facts.ffn_output}"
    total = np.zeros(48)
    for batch in batches:
        mask = torch.ones(48, requires_grad=True)
        handle = teacher.get_submodule(path).register_forward_pre_hook(
            lambda module, arguments, mask=mask: (arguments[0] * mask,)
        )
        logits = teacher(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
        task_loss(logits, batch).backward()
        handle.remove()
        total += mask.grad.square().numpy()
    np.testing.assert_allclose(importance.intermediate[1], total, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_has_one_mask_whose_derivative_is_squared_whole(measured, family):
    teacher, batches, importance = measured(family)
    facts = FAMILIES[family]
    path = f"{facts.layer_path(1)}.{facts.attention_output}"
    total = np.zeros(4)
    for batch in batches:
        mask = torch.ones(4, requires_grad=True)
        handle = teacher.get_submodule(path).register_forward_pre_hook(
            lambda module, arguments, mask=mask: (arguments[0] * mask.repeat_interleave(8),)
        )
        logits = teacher(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
        task_loss(logits, batch).backward()
        handle.remove()
        total += mask.grad.square().numpy()
    np.testing.assert_allclose(importance.attention[1], total, rtol=1e-3, atol=1e-9)


def test_past_the_deadline_the_least_rows_are_seen(tiny, classifier_of, encoded_data):
    architecture, data = tiny("bert"), encoded_data(96)
    teacher = classifier_of(architecture)
    batches = [data.batch(np.arange(start, start + 8)) for start in range(0, 96, 8)]
    expired = Deadline.after(0.0, clock=lambda: 1.0)
    least = measure_importance(teacher, architecture, batches[: LEAST_ROWS // 8], task_loss)
    found = measure_importance(teacher, architecture, batches, task_loss, expired)
    whole = measure_importance(teacher, architecture, batches, task_loss)
    np.testing.assert_array_equal(found.intermediate, least.intermediate)
    assert (whole.intermediate > found.intermediate).any()


def test_the_teacher_is_left_as_it_was(tiny, classifier_of, encoded_data):
    architecture, data = tiny("bert"), encoded_data(8)
    teacher, untouched = classifier_of(architecture), classifier_of(architecture)
    measure_importance(teacher, architecture, [data.batch(np.arange(8))], task_loss)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, parameter in untouched.named_parameters():
        assert torch.equal(parameter, teacher.get_parameter(name))
    assert all(parameter.requires_grad for parameter in teacher.parameters())


def test_the_tables_learn_again_even_when_the_loss_fails(tiny, classifier_of, encoded_data):
    architecture, data = tiny("bert"), encoded_data(8)
    teacher = classifier_of(architecture)

    def fail(logits, batch):
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        measure_importance(teacher, architecture, [data.batch(np.arange(8))], fail)
    assert all(parameter.requires_grad for parameter in teacher.parameters())
