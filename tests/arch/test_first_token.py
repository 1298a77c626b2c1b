"""A last layer for one token: the same answers, the same gradients, less work."""

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from subarch.arch.families import FAMILIES
from subarch.arch.first_token import first_token_alone

FIRST = sorted(name for name, family in FAMILIES.items() if family.reads_first_token)


def padded_batch():
    ids = torch.randint(3, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids.where(mask > 0, 1), "attention_mask": mask}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FIRST)
def test_answers_and_gradients_are_those_of_the_whole_layer(model_of, family, attention):
    model, batch = model_of(family, attention=attention), padded_batch()
    whole = model(**batch).logits
    whole.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    with first_token_alone(model):
        output = model(**batch, output_hidden_states=True)
        output.logits.square().sum().backward()
    torch.testing.assert_close(output.logits, whole, rtol=1e-5, atol=1e-6)
    assert output.hidden_states[-1].shape == (3, 1, 32)
    assert output.hidden_states[-2].shape == (3, 9, 32)
    for name, parameter in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_model_is_whole_again_and_its_names_never_change(model_of):
    model = model_of("bert")
    names = list(model.state_dict())
    with pytest.raises(ZeroDivisionError), first_token_alone(model), first_token_alone(model):
        assert list(model.state_dict()) == names
        1 / 0  # noqa: B018
    assert model(**padded_batch(), output_hidden_states=True).hidden_states[-1].shape == (3, 9, 32)


def test_an_inner_context_leaves_the_outer_one_in_force(model_of):
    model = model_of("bert")
    with first_token_alone(model):
        with first_token_alone(model):
            pass
        assert model(**padded_batch(), output_hidden_states=True).hidden_states[-1].shape == (3, 1, 32)


@pytest.mark.parametrize("family", FIRST)
def test_dropout_of_attention_works_in_training_alone(model_of, family):
    dropout = "attention_dropout" if family == "distilbert" else "attention_probs_dropout_prob"
    others = {"dropout": 0.0} if family == "distilbert" else {"hidden_dropout_prob": 0.0}
    batch = padded_batch()
    model = model_of(family, **{dropout: 0.5}, **others, classifier_dropout=0.0, seq_classif_dropout=0.0)
    with first_token_alone(model), torch.no_grad():
        assert torch.equal(model(**batch).logits, model(**batch).logits)
        model.train()
        assert not torch.equal(model(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize(
    ("family", "auto"), [("bert", AutoModelForMaskedLM), ("modernbert", AutoModelForSequenceClassification)]
)
def test_a_model_that_reads_more_tokens_is_left_alone(model_of, family, auto):
    model, batch = model_of(family, auto=auto), padded_batch()
    with first_token_alone(model):
        assert model(**batch, output_hidden_states=True).hidden_states[-1].shape == (3, 9, 32)
