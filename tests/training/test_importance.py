import numpy as np
import pytest
import torch

from subarch.arch.families import FAMILIES
from subarch.training.importance import measure_importance
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
    assert importance.attention.shape == (3, 32)
    assert importance.intermediate.shape == (3, 48)
    assert importance.embedding.shape == (24 if family == "electra" else 32,)
    for scores in (importance.hidden, importance.attention, importance.intermediate):
        assert (scores > 0).all()
    assert [moment.shape for moment in importance.moments] == [(49, 49)] * 3


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
def test_moments_are_those_of_the_tokens_without_padding(measured, family):
    teacher, batches, importance = measured(family)
    facts = FAMILIES[family]
    seen = []
    handle = teacher.get_submodule(f"{facts.layer_path(0)}.{facts.ffn_output}").register_forward_pre_hook(
        lambda module, arguments: seen.append(arguments[0])
    )
    expected = np.zeros((49, 49))
    tokens = 0
    with torch.no_grad():
        for batch in batches:
            teacher(**{name: tensor for name, tensor in batch.items() if name != "labels"})
            rows = seen.pop()[batch["attention_mask"].bool()].numpy()
            rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
            expected += rows.T @ rows
            tokens += len(rows)
    handle.remove()
    np.testing.assert_allclose(importance.moments[0].numpy(), expected, rtol=1e-4, atol=1e-4)
    assert float(importance.moments[0][-1, -1]) == tokens


def test_the_teacher_is_left_as_it_was(tiny, classifier_of, encoded_data):
    architecture, data = tiny("bert"), encoded_data(8)
    teacher, untouched = classifier_of(architecture), classifier_of(architecture)
    measure_importance(teacher, architecture, [data.batch(np.arange(8))], task_loss)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, parameter in untouched.named_parameters():
        assert torch.equal(parameter, teacher.get_parameter(name))
    assert not any(module._forward_pre_hooks for module in teacher.modules())


def test_hooks_go_even_when_the_loss_fails(tiny, classifier_of, encoded_data):
    architecture, data = tiny("bert"), encoded_data(8)
    teacher = classifier_of(architecture)

    def fail(logits, batch):
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        measure_importance(teacher, architecture, [data.batch(np.arange(8))], fail)
    assert not any(module._forward_pre_hooks for module in teacher.modules())
