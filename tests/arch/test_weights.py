import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, BertTokenizer

from subarch.arch.families import FAMILIES
from subarch.arch.folders import check_folder
from subarch.arch.pretrained import load_classifier
from subarch.errors import ModelError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad")


@pytest.fixture
def folder(tiny, config_of, tmp_path):
    """A saved model with its tokenizer."""

    def make(family="bert", auto=AutoModelForSequenceClassification, **options):
        auto.from_config(config_of(tiny(family), **options)).save_pretrained(tmp_path)
        BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(tmp_path)
        return tmp_path

    return make


def changed(path, change):
    """Change the tensors of a folder by `change(tensors)`, in place."""
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()}, path / "model.safetensors", {"format": "pt"}
    )
    return path


def configured(path, **values):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | values))
    return path


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification])
def test_what_transformers_saves_has_a_place(folder, family, auto):
    check_folder(folder(family, auto))


def test_old_names_buffers_and_other_heads_are_harmless(folder):
    def old(tensors):
        for name in list(tensors):
            new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[new] = tensors.pop(name)
        tensors["bert.embeddings.position_ids"] = torch.arange(20)[None]
        tensors["cls.seq_relationship.weight"] = torch.randn(2, 8)

    path = folder()
    expected = load_classifier(path).state_dict()
    check_folder(changed(path, old))
    for name, tensor in load_classifier(path).state_dict().items():
        assert torch.equal(tensor, expected[name]), name


EXTRA = {
    "relative positions": "bert.encoder.layer.0.attention.self.distance_embedding.weight",
    "lora": "bert.encoder.layer.0.attention.self.query.lora_A.weight",
    "adapter": "bert.encoder.layer.0.output.adapters.t.adapter_down.0.weight",
    "custom head": "classifier.dense.weight",
    "second head": "ranker.weight",
}


@pytest.mark.parametrize("kind", EXTRA)
def test_weights_without_a_place_are_refused_by_name_and_shape(folder, kind):
    name = EXTRA[kind]
    path = changed(folder(), lambda tensors: tensors.update({name: torch.zeros(4, 8)}))
    with pytest.raises(ModelError, match=rf"holds 1 weights .* first {name} \(4×8\)") as caught:
        check_folder(path)
    assert ("merge_and_unload" in caught.value.hint) == (kind in ("lora", "adapter"))


@pytest.mark.parametrize("layers", [2, 4])
def test_layers_too_many_or_too_few(folder, layers):
    with pytest.raises(ModelError, match=f"have 3 layers, config.json describes {layers}"):
        check_folder(configured(folder(), num_hidden_layers=layers))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_of_another_size_is_refused(folder, family):
    path = configured(folder(family, num_labels=4), id2label={"0": "bad", "1": "good"})
    with pytest.raises(ModelError, match=r"the trained head .* has 4 outputs \(classifier.*weight\), expected 2"):
        check_folder(path)


def test_sizes_are_compared_before_any_weight_is_read(folder):
    with pytest.raises(ModelError, match=r"word_embeddings.weight .* has shape \(40, 8\), .* \(1000000000000, 8\)"):
        check_folder(configured(folder(), vocab_size=10**12))


def test_integers_are_no_weights(folder):
    name = "bert.encoder.layer.0.attention.self.query.weight"
    path = changed(folder(), lambda tensors: tensors.update({name: torch.ones(8, 8, dtype=torch.int8)}))
    with pytest.raises(ModelError, match=f"{name} .* holds I8 numbers"):
        check_folder(path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "0.auto_model."])
def test_a_prefix_is_named(folder, prefix):
    def prefixed(tensors):
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)

    with pytest.raises(ModelError, match=rf"names that begin with '{prefix}', expected bert") as caught:
        check_folder(changed(folder(), prefixed))
    assert f"save them under the names without '{prefix}'" in caught.value.hint


@pytest.mark.parametrize("family", ["bert", "modernbert"])
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForSequenceClassification])
def test_what_is_said_of_a_prefix_mends_the_file(folder, family, auto):
    """A state dict of DataParallel, saved as it is: each of the two ways that the hint names."""
    path = folder(family, auto)
    wrapped = torch.nn.DataParallel(auto.from_pretrained(path))
    expected = load_file(path / "model.safetensors")
    save_file(wrapped.state_dict(), path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="'module\\.'") as caught:
        check_folder(path)
    prefix = re.search("without '(.*?)'", caught.value.hint)[1]
    changed(path, lambda tensors: tensors.update({n.removeprefix(prefix): tensors.pop(n) for n in list(tensors)}))
    check_folder(path)
    assert load_file(path / "model.safetensors").keys() == expected.keys()
    wrapped.module.save_pretrained(path)
    check_folder(path)


@pytest.mark.parametrize("name", [1, "../other.safetensors", "nope.safetensors"])
def test_an_index_that_leads_elsewhere(folder, name):
    path = folder()
    (path / "model.safetensors").rename(path.parent / "other.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match=r"index.json names .*, expected a file in the same folder"):
        check_folder(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_named_at_loading(folder, value):
    name = "bert.encoder.layer.0.output.dense.bias"

    def poison(tensors):
        tensors[name][2] = value

    with pytest.raises(ModelError, match=f"{name} in .* holds 1 of 8 numbers that are NaN or infinite"):
        load_classifier(changed(folder(), poison))


def test_a_trained_classifier_lacks_nothing(folder):
    path = changed(folder(), lambda tensors: tensors.pop("bert.pooler.dense.weight"))
    with pytest.raises(ModelError, match=r"lacks 1 parameters .* bert.pooler.dense.weight"):
        load_classifier(path)


def test_biases_that_the_configuration_switches_off_are_not_dropped(folder):
    path = configured(folder("modernbert", norm_bias=True), norm_bias=False)
    with pytest.raises(ModelError, match=r"holds \d+ weights that the model of its config.json lacks"):
        load_classifier(path)


def test_kernels_of_a_config_are_not_asked_for(folder):
    path = configured(folder(), _attn_implementation="someone/kernel", attn_implementation="someone/kernel")
    assert load_classifier(path).config._attn_implementation == "sdpa"
