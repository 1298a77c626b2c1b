"""Each loss worked by hand on tensors small enough for it."""

import math

import pytest
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM

from subarch.arch.families import FAMILIES
from subarch.errors import ConfigError
from subarch.training import relations
from subarch.training.relations import HiddenLoss, RelationLoss, query_key_value, relation_heads


def test_relations_by_hand():
    # Two tokens of width 1 and one head: R = softmax(a·b). Teacher's queries (1, 2): rows softmax(1, 2) and
    # softmax(2, 4); student's (0, 0): both uniform. Keys and values agree.
    student = torch.zeros(3, 1, 2, 1)
    teacher = torch.zeros(3, 1, 2, 1)
    teacher[0, 0, :, 0] = torch.tensor([1.0, 2.0])

    def divergence(difference):
        p = 1 / (1 + math.exp(-difference))
        return p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))

    expected = (divergence(1.0) + divergence(2.0)) / 2
    loss = RelationLoss(heads=1)(student, {"teacher_relations": teacher})
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    all_three = RelationLoss(heads=1)(student, {"teacher_relations": teacher[:1].expand(3, 1, 2, 1)})
    assert float(all_three) == pytest.approx(3 * expected, rel=1e-5)


def test_relations_are_scaled_by_the_width_of_a_relation_head():
    # Width 4 in one head: products are divided by 2; in two heads of width 2 each by the root of 2.
    teacher = torch.zeros(3, 1, 2, 4)
    teacher[0, 0, 1] = 1.0  # products of token 1 with (0, 1): 0 and 4, or 0 and 2 in each of two heads
    for heads, difference in ((1, 2.0), (2, math.sqrt(2))):
        p = 1 / (1 + math.exp(-difference))
        expected = (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))) / 2  # token 0 relates uniformly
        loss = RelationLoss(heads=heads)(torch.zeros(3, 1, 2, 6), {"teacher_relations": teacher})
        assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_padding_takes_no_part_in_relations():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(3, 2, 5, 4, generator=generator), torch.randn(3, 2, 5, 8, generator=generator)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]])
    loss = RelationLoss(heads=2)
    short = loss(student[:, :, :3], {"teacher_relations": teacher[:, :, :3]})
    padded = loss(student, {"teacher_relations": teacher, "attention_mask": mask})
    torch.testing.assert_close(padded, short)
    assert float(loss(teacher, {"teacher_relations": teacher})) == 0.0


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("at_a_time", [1, 200, 10**6])  # one block, a few, all
def test_the_gradient_is_that_of_autograd(masked, at_a_time, monkeypatch):
    monkeypatch.setattr(relations, "CACHED", at_a_time)
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 4, 7, 6, generator=generator, requires_grad=True)
    batch = {"teacher_relations": torch.randn(3, 4, 7, 10, generator=generator)}
    mask = torch.arange(7) < torch.tensor([[7], [3], [5], [7]])
    if masked:
        batch["attention_mask"] = mask.long()
    expected = in_one_formula(student, batch["teacher_relations"], 2, mask if masked else torch.ones_like(mask))
    (wanted,) = torch.autograd.grad(0.5 * expected, student)
    found = RelationLoss(heads=2)(student, batch)
    (0.5 * found).backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(student.grad, wanted)


def in_one_formula(student, teacher, heads, mask):
    """The loss written for autograd, all relations at once."""

    def logarithms(vectors):
        split = vectors.unflatten(-1, (heads, -1)).transpose(-2, -3)
        products = split @ split.transpose(-1, -2) / math.sqrt(split.shape[-1])
        return products.masked_fill(~mask[:, None, None], -1e4).log_softmax(-1)

    student, teacher = logarithms(student), logarithms(teacher)
    divergence = (teacher.exp() * (teacher - student)).sum(-1)
    return sum(part[mask[:, None].expand_as(part)].mean() for part in divergence)


def test_hidden_states_by_hand():
    # Squared errors 1, 4, 0, 4 against the teacher's mean square (1 + 4 + 9 + 4) / 4.
    teacher = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]])
    student = torch.tensor([[[2.0, 0.0], [3.0, 4.0]]])
    loss = HiddenLoss()(student, {"teacher_hidden_states": teacher})
    assert float(loss) == pytest.approx((9 / 4) / (18 / 4))
    first_only = {"teacher_hidden_states": teacher, "attention_mask": torch.tensor([[1, 0]])}
    assert float(HiddenLoss()(student, first_only)) == pytest.approx(5 / 5)


def test_relation_heads():
    assert relation_heads(384, 256) == 32
    assert relation_heads(768, 768) == 48
    assert relation_heads(10, 7) == 1
    assert relation_heads(384, 256, 16) == 16
    with pytest.raises(ConfigError, match="relation_heads is 24, expected a divisor of the hidden sizes 384 and 256"):
        relation_heads(384, 256, 24)


@pytest.mark.parametrize("name", FAMILIES)
def test_queries_keys_and_values_are_those_of_the_layer(name, tiny):
    architecture = tiny(name)
    special = {f"{kind}_token_id": 0 for kind in ("pad", "bos", "eos", "cls", "sep")}
    config = CONFIG_MAPPING[name].from_dict(architecture.config_changes() | special)
    model, family = AutoModelForMaskedLM.from_config(config).eval(), FAMILIES[name]
    layer = model.get_submodule(family.layer_path(1))
    seen = {}
    first = layer.get_submodule(family.query_key_value[0])
    first.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0]))
    ids = torch.arange(5, 13).reshape(2, 4)
    with torch.no_grad():
        with query_key_value(model, family, 1) as found:
            model(input_ids=ids)
            vectors = found()
        linears = [layer.get_submodule(part) for part in family.query_key_value]
        expected = torch.cat([linear(seen["x"]) for linear in linears], dim=-1)
    assert vectors.shape == (3, 2, 4, 32)
    torch.testing.assert_close(torch.cat(tuple(vectors), dim=-1), expected)
    hooks = [module for module in layer.modules() if isinstance(module, nn.Linear) and module._forward_hooks]
    assert hooks == [first]  # ours are gone
