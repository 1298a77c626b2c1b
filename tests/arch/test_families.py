import re

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from subarch.arch.families import FAMILIES, axes_of, family_of, layer_of, rename_layer
from subarch.errors import ModelError

HEADS = ("none", "sequence-classification", "masked-lm", "question-answering")


def parameter_names(model):
    return {**dict(model.named_parameters()), **model.state_dict()}


@pytest.mark.parametrize("head", [*HEADS, "pooler"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_parameter_has_one_row_and_its_axes_have_its_shape(tiny, meta_model, family, head):
    architecture = tiny(family.name)
    sizes = architecture.axis_sizes()
    labels = 2 if head == "question-answering" else 5
    for name, parameter in parameter_names(meta_model(architecture, head, num_labels=labels)).items():
        inside = family.in_encoder(name)
        rows = [pattern for pattern, _ in family.axes if re.fullmatch(pattern, inside)]
        assert len(rows) == 1, (name, rows)
        axes = axes_of(family, name)
        assert tuple(labels if axis is None else sizes[axis] for axis in axes) == tuple(parameter.shape), name


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_row_is_used(tiny, meta_model, config_of, family):
    architecture = tiny(family.name)
    biased = {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}
    names = {name for head in (*HEADS, "pooler") for name in parameter_names(meta_model(architecture, head))}
    if family.name == "modernbert":
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config_of(architecture, **biased))
        names |= set(parameter_names(model))
    for pattern, _ in family.axes:
        assert any(re.fullmatch(pattern, family.in_encoder(name)) for name in names), pattern


def test_no_axes_for_a_foreign_parameter():
    with pytest.raises(ModelError, match=r"bert models have no parameter 'lm_head.dense.weight'"):
        axes_of(family_of("bert"), "lm_head.dense.weight")


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_layers_are_found_and_renamed(tiny, meta_model, family):
    model = meta_model(tiny(family.name), "sequence-classification")
    names = [name for name, _ in model.named_parameters()]
    assert {layer_of(family, name) for name in names} == {None, 0, 1, 2}
    for name in names:
        renamed = rename_layer(family, name, 17)
        if layer_of(family, name) is None:
            assert renamed == name
        else:
            assert layer_of(family, renamed) == 17
            assert rename_layer(family, renamed, layer_of(family, name)) == name
    assert layer_of(family, family.in_encoder(f"{family.layer_path(12)}.x")) == 12


def test_a_layer_number_is_not_a_prefix_of_another():
    bert = family_of("bert")
    assert rename_layer(bert, "bert.encoder.layer.11.output.dense.bias", 1) == "bert.encoder.layer.1.output.dense.bias"


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_modules_have_the_inputs_and_outputs_that_the_table_says(tiny, meta_model, family):
    architecture = tiny(family.name)
    model = meta_model(architecture, "sequence-classification", num_labels=5)
    layer = model.get_submodule(family.layer_path(1))
    ffn = layer.get_submodule(family.ffn_output)
    assert (ffn.in_features, ffn.out_features) == (architecture.intermediate_size, architecture.hidden_size)
    attention = layer.get_submodule(family.attention_output)
    assert attention.in_features == architecture.num_attention_heads * architecture.head_dim
    assert model.get_submodule(family.classifier).out_features == 5
    assert getattr(model, family.encoder_prefix) is model.base_model


def test_only_modernbert_has_a_different_first_layer(tiny, meta_model):
    for family in FAMILIES.values():
        model = meta_model(tiny(family.name), "none")
        owned = [
            {rename_layer(family, name, 0) for name, _ in model.named_parameters() if layer_of(family, name) == i}
            for i in (0, 1)
        ]
        assert (owned[0] != owned[1]) == family.keeps_first_layer, family.name
