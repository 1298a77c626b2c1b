"""An encoder trained for the mean over its tokens: a plain classifier whose first token holds it."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from subarch.arch.families import FAMILIES, family_of
from subarch.arch.pooling import pools_by_mean, put_mean_first
from subarch.errors import ModelError


def padded_batch():
    ids = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids.where(mask > 0, 1), "attention_mask": mask}


@pytest.mark.parametrize("family", sorted(name for name, family in FAMILIES.items() if family.reads_first_token))
def test_the_first_token_holds_the_mean_of_what_the_encoder_said(model_of, family, tmp_path):
    model, batch = model_of(family), padded_batch()
    encoder = model.get_submodule(family_of(family).encoder_prefix)
    states, mask = encoder(**batch).last_hidden_state, batch["attention_mask"][..., None]
    mean = (states * mask).sum(1) / mask.sum(1)
    put_mean_first(model)
    first = encoder(**batch).last_hidden_state[:, 0]
    expected = torch.nn.functional.layer_norm(10 * mean + states[:, 0], (32,), eps=1e-12)
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-3)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert loaded.config.num_hidden_layers == 3
    torch.testing.assert_close(loaded(**batch).logits, model(**batch).logits)


def test_modernbert_has_it_built_in(model_of, tmp_path):
    model = model_of("modernbert")
    put_mean_first(model)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert (loaded.config.num_hidden_layers, loaded.config.classifier_pooling) == (2, "mean")


def test_the_new_layer_learns(model_of):
    model = model_of("bert")
    put_mean_first(model)
    model(**padded_batch()).logits.square().sum().backward()
    layer = model.get_submodule("bert.encoder.layer.2")
    for name in ("attention.self.value", "attention.output.dense", "output.dense"):
        assert layer.get_submodule(name).weight.grad.abs().max() > 0, name


def sentence_transformer(folder, *, modules=None, **pooling):
    (folder / "1_Pooling").mkdir()
    listed = modules or [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, True),
        ({"pooling_mode": "mean"}, True),
        ({"pooling_mode": "cls"}, False),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, False),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, False),
        ({}, False),
    ],
)
def test_what_a_folder_says_of_its_pooling(tmp_path, pooling, expected):
    assert pools_by_mean(sentence_transformer(tmp_path, **pooling)) is expected


def test_other_folders_pool_nothing(tmp_path):
    assert not pools_by_mean(tmp_path)
    transformer = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    assert not pools_by_mean(sentence_transformer(tmp_path, modules=transformer, pooling_mode="mean"))


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '"x"'])
def test_unreadable_modules_are_named(tmp_path, text):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(ModelError, match=r"modules\.json"):
        pools_by_mean(tmp_path)
