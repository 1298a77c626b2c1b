"""A last layer for one token: the same answers, the same gradients, less work."""

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForMaskedLM, AutoModelForSequenceClassification

from subarch.arch.architecture import Architecture
from subarch.arch.families import FAMILIES
from subarch.arch.first_token import first_token_alone

SIZES = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "vocab_size": 60,
    "max_position_embeddings": 40,
}
TYPES = {"bert": 2, "electra": 2, "roberta": 1}
FIRST = sorted(name for name, family in FAMILIES.items() if family.reads_first_token)


def model_of(family, *, attention="sdpa", auto=AutoModelForSequenceClassification, **changes):
    options = {"electra": {"embedding_size": 16}, "modernbert": {"local_attention": 8}}.get(family, {})
    architecture = Architecture(family=family, **SIZES, type_vocab_size=TYPES.get(family, 0), **options)
    config = CONFIG_MAPPING[family].from_dict(architecture.config_changes() | {"pad_token_id": 1} | changes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = auto.from_config(config, attn_implementation=attention)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def padded_batch():
    ids = torch.randint(3, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids.where(mask > 0, 1), "attention_mask": mask}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FIRST)
def test_answers_and_gradients_are_those_of_the_whole_layer(family, attention):
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


def test_the_model_is_whole_again_and_its_names_never_change():
    model = model_of("bert")
    names = list(model.state_dict())
    with pytest.raises(ZeroDivisionError), first_token_alone(model), first_token_alone(model):
        assert list(model.state_dict()) == names
        1 / 0  # noqa: B018
    assert model(**padded_batch(), output_hidden_states=True).hidden_states[-1].shape == (3, 9, 32)


def test_an_inner_context_leaves_the_outer_one_in_force():
    model = model_of("bert")
    with first_token_alone(model):
        with first_token_alone(model):
            pass
        assert model(**padded_batch(), output_hidden_states=True).hidden_states[-1].shape == (3, 1, 32)


@pytest.mark.parametrize("family", FIRST)
def test_dropout_of_attention_works_in_training_alone(family):
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
def test_a_model_that_reads_more_tokens_is_left_alone(family, auto):
    model, batch = model_of(family, auto=auto), padded_batch()
    with first_token_alone(model):
        assert model(**batch, output_hidden_states=True).hidden_states[-1].shape == (3, 9, 32)
