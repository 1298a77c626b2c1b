import json

import pytest

from subarch.arch.configuration import activation_of, honoured, labels_of, read_object
from subarch.errors import ModelError

BERT = {"model_type": "bert", "hidden_size": 8}


def test_nothing_that_runs_or_chooses_code_is_honoured():
    hostile = {
        "auto_map": {"AutoModel": "evil.Model"},
        "trust_remote_code": True,
        "_attn_implementation": "someone/kernel",
        "attn_implementation": "someone/kernel",
        "_attn_implementation_internal": "someone/kernel",
        "experts_implementation": "someone/kernel",
        "torch_dtype": "__import__",
        "return_dict": False,
        "custom_pipelines": {"x": {"impl": "evil.py"}},
    }
    assert honoured({**BERT, **hostile, "hidden_act": "relu"}) == {**BERT, "hidden_act": "relu"}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("quantization_config", {"quant_method": "gptq", "bits": 4}, '"gptq"'),
        ("compression_config", {"format": "int"}, "format"),
        ("position_embedding_type", "relative_key", '"relative_key"'),
        ("is_decoder", True, "true"),
        ("pruned_heads", {"0": [1]}, "0"),
        ("per_layer_config", {"0": {"hidden_size": 4}}, "hidden_size"),
    ],
)
def test_what_would_change_the_model_is_refused_by_name(key, value, told):
    with pytest.raises(ModelError, match=rf"config.json has {key} .*{told}.*, which subarch cannot honour"):
        honoured({**BERT, key: value})


def test_what_changes_nothing_is_no_reason_to_refuse():
    harmless = {"quantization_config": None, "position_embedding_type": "absolute", "is_decoder": False}
    assert honoured({**BERT, **harmless, "pruned_heads": {}}) == BERT


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "good", "0": "bad"}}, ("bad", "good")),
        ({"id2label": {"0": "bad", "1": "good"}, "num_labels": 5}, ("bad", "good")),
        ({"id2label": {"0": 1.5, "1": True}}, ("1.5", "True")),
        ({"id2label": None, "num_labels": 1}, ("LABEL_0",)),
    ],
)
def test_labels_are_read_as_transformers_reads_them(given, names):
    assert labels_of(honoured({**BERT, **given})) == names


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"bad": 0, "good": 1}, "which is label2id written there, expected numbers as keys"),
        (["bad", "good"], "expected a name for each output"),
        ({}, "expected a name for each output"),
        ("bad", "expected a name for each output"),
        ({"x": "a"}, "expected numbers as keys"),
        ({"1": "a", "2": "b"}, "expected the numbers from 0 to 1"),
        ({"0": "a", "00": "b"}, "expected the numbers from 0 to 1"),
        ({"0": {"name": "a"}}, "expected names as values"),
        ({"0": None}, "expected names as values"),
    ],
)
def test_malformed_labels_are_refused_in_a_line(labels, message):
    with pytest.raises(ModelError, match=message) as caught:
        honoured({**BERT, "id2label": labels})
    assert '{"0": "first class"' in caught.value.hint and "\n" not in caught.value.message


@pytest.mark.parametrize("count", [0, -1, 2.5, "2", True, 10**9])
def test_a_number_of_labels_that_cannot_be(count):
    with pytest.raises(ModelError, match="num_labels"):
        honoured({**BERT, "num_labels": count})


def test_an_unknown_problem_type():
    with pytest.raises(ModelError, match='problem_type "ranking", expected one of regression'):
        honoured({**BERT, "problem_type": "ranking"})


def test_the_activation_of_a_cross_encoder():
    sigmoid = "torch.nn.modules.activation.Sigmoid"
    assert activation_of({"sentence_transformers": {"activation_fn": sigmoid}}) == "sigmoid"
    assert activation_of({"sbert_ce_default_activation_function": sigmoid}) == "sigmoid"
    assert activation_of({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}) is None
    assert activation_of({}) is None
    with pytest.raises(ModelError, match="Tanh"):
        activation_of({"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}})


def test_a_sigmoid_on_several_outputs_makes_them_independent():
    section = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}
    found = honoured({**BERT, **section, "num_labels": 3})
    assert found["problem_type"] == "multi_label_classification" and "sentence_transformers" not in found
    assert "problem_type" not in honoured({**BERT, **section, "num_labels": 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"null", "holds a NoneType"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    ],
)
def test_files_that_hold_no_object(content, message, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_object(tmp_path / "config.json")


def test_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BERT), encoding="utf-8-sig")
    assert read_object(tmp_path / "config.json") == BERT
