import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from subarch.arch.architecture import FULL, SLIDING, Architecture
from subarch.arch.build import build_classifier, build_config, build_masked_lm, draw_head, head_layers
from subarch.arch.costs import parameters
from subarch.arch.families import FAMILIES, family_of
from subarch.errors import ConfigError, ModelError

ODD = {
    "bert": {"layer_norm_eps": 1e-3, "hidden_act": "relu", "classifier_dropout": 0.7},
    "roberta": {"layer_norm_eps": 1e-3, "hidden_act": "relu", "classifier_dropout": 0.7},
    "distilbert": {"activation": "relu", "seq_classif_dropout": 0.7},
    "electra": {"layer_norm_eps": 1e-3, "hidden_act": "relu", "classifier_dropout": 0.7},
    "modernbert": {"norm_eps": 1e-3, "hidden_activation": "relu", "classifier_pooling": "mean"},
}


@pytest.fixture
def teacher_config(tiny, config_of):
    def make(family, **options):
        return json.loads(config_of(tiny(family), **options).to_json_string())

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_the_architectures_and_all_else_the_teachers(teacher_config, tiny, family):
    base = teacher_config(family, **ODD[family])
    student = tiny(family, num_hidden_layers=2, hidden_size=4, intermediate_size=6, vocab_size=30)
    model = build_classifier(student, base, num_labels=3)
    assert Architecture.from_config(model.config.to_dict()) == student
    assert {key: getattr(model.config, key) for key in ODD[family]} == ODD[family]
    count = parameters(student, "sequence-classification", num_labels=3)
    assert sum(parameter.numel() for parameter in model.parameters()) == count.total
    logits = model.eval()(input_ids=torch.tensor([[1, 2, 3]])).logits
    assert logits.shape == (1, 3) and torch.isfinite(logits).all()


def test_labels_and_problem_type_are_not_the_teachers(teacher_config, tiny):
    base = teacher_config("bert", id2label={0: "a", 1: "b", 2: "c"}, problem_type="regression", dtype="float16")
    named = build_config(tiny("bert"), base, num_labels=2, id2label={0: "no", 1: "yes"})
    assert (named.id2label, named.label2id) == ({0: "no", 1: "yes"}, {"no": 0, "yes": 1})
    assert named.problem_type is None
    model = build_classifier(tiny("bert"), base, num_labels=4, problem_type="multi_label_classification")
    assert model.config.num_labels == 4 and model.config.problem_type == "multi_label_classification"
    assert model.dtype == torch.float32


@pytest.mark.parametrize("id2label", [{0: "no"}, {1: "no", 2: "yes"}, {0: "same", 1: "same"}])
def test_labels_that_do_not_fit_are_refused(teacher_config, tiny, id2label):
    with pytest.raises(ConfigError, match="id2label"):
        build_config(tiny("bert"), teacher_config("bert"), num_labels=2, id2label=id2label)


def test_kept_layers_keep_their_attention(teacher_config, tiny):
    student = tiny("modernbert", num_hidden_layers=2)
    model = build_classifier(student, teacher_config("modernbert"), num_labels=2, layers=[0, 2])
    assert model.config.layer_types == [FULL, SLIDING]
    base = teacher_config("modernbert", layer_types=[FULL, SLIDING, FULL])
    assert build_config(student, base, num_labels=2, layers=[0, 2]).layer_types == [FULL, FULL]


def test_kept_layers_must_fit(teacher_config, tiny):
    with pytest.raises(ConfigError, match="2 kept layers for an architecture of 3"):
        build_config(tiny("bert"), teacher_config("bert"), num_labels=2, layers=[0, 2])


def test_what_cannot_be_built_is_refused(teacher_config, tiny):
    with pytest.raises(ConfigError, match="cannot build a roberta model from a bert teacher"):
        build_config(tiny("roberta"), teacher_config("bert"), num_labels=2)
    with pytest.raises(ConfigError, match="needs a token type"):
        build_config(tiny("bert", type_vocab_size=0), teacher_config("bert"), num_labels=2)
    with pytest.raises(ModelError, match="no model_type"):
        build_config(tiny("bert"), {}, num_labels=2)


def test_a_built_model_loads_without_subarch(teacher_config, tiny, tmp_path):
    build_classifier(tiny("modernbert"), teacher_config("modernbert"), num_labels=2).save_pretrained(tmp_path)
    program = (
        "import sys; sys.modules['subarch'] = None\n"
        "from transformers import AutoModelForSequenceClassification as A\n"
        f"m, info = A.from_pretrained({str(tmp_path)!r}, output_loading_info=True)\n"
        "assert not info['missing_keys'] and not info['unexpected_keys'], info"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).config.model_type == "modernbert"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_layers_of_a_head_are_linear_layers_of_the_classifier(meta_model, tiny, family):
    facts = family_of(family)
    model = meta_model(tiny(family), "sequence-classification", num_labels=3)
    dense, last = facts.classifier_dense, facts.classifier
    assert head_layers(family, "two_layer", ()) == head_layers(family, "default", ()) == (dense, last)
    known = {f"{facts.in_encoder(dense)}.weight"}
    assert head_layers(family, "linear", known) == head_layers(family, "default", known) == (last,)
    assert head_layers(family, "two_layer", known) == (dense, last)
    assert tuple(model.get_submodule(dense).weight.shape) == (8, 8)
    assert tuple(model.get_submodule(last).weight.shape) == (3, 8)
    with pytest.raises(ConfigError, match=f"below the last layer of {family} models") as caught:
        head_layers(family, "linear", ())
    assert "two_layer" in caught.value.hint


@pytest.mark.parametrize("init", ["default", "gaussian", "uniform", "orthogonal", "xavier"])
def test_heads_are_drawn_from_the_distribution_of_that_name(config_of, tiny, init):
    config = config_of(tiny("bert", hidden_size=200, num_attention_heads=2), num_labels=50)
    model = AutoModelForSequenceClassification.from_config(config)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    draw_head(model, ("bert.pooler.dense", "classifier"), init, 0.5)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= changed <= {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias",
    }  # fmt: skip
    weight = model.classifier.weight.detach()
    assert not model.classifier.bias.any() and not model.bert.pooler.dense.bias.any()
    glorot = (6 / (200 + 50)) ** 0.5
    expected = {"default": 0.02, "gaussian": 0.5, "uniform": 0.5 / 3**0.5, "xavier": glorot / 3**0.5}
    if init == "orthogonal":
        torch.testing.assert_close(weight @ weight.T, 0.25 * torch.eye(50), atol=1e-5, rtol=0)
    else:
        assert weight.std().item() == pytest.approx(expected[init], rel=0.05)
        assert abs(weight.mean().item()) < 0.05 * expected[init]
    limit = {"uniform": 0.5, "xavier": glorot}.get(init)
    assert limit is None or 0.95 * limit < weight.abs().max().item() <= limit


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("empty", [False, True])
def test_a_masked_language_model_is_tied_and_has_the_counted_parameters(family, empty, tiny, config_of):
    architecture = tiny(family)
    model = build_masked_lm(architecture, config_of(architecture).to_dict(), empty=empty)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(architecture, "masked-lm").total
    facts = FAMILIES[family]
    for name in (*facts.mlm_head, facts.mlm_dense, facts.layer_path(0) + "." + facts.query_key_value[-1]):
        assert model.get_submodule(name) is not None
