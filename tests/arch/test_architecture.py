import json

import pytest

from subarch.arch.architecture import FULL, SLIDING, Architecture
from subarch.arch.families import FAMILIES
from subarch.errors import ConfigError, ModelError


@pytest.mark.parametrize("family", FAMILIES)
def test_json_round_trip(tiny, family):
    architecture = tiny(family)
    assert Architecture.from_json(json.loads(json.dumps(architecture.to_json()))) == architecture


@pytest.mark.parametrize("family", FAMILIES)
def test_config_round_trip_through_transformers(tiny, config_of, family):
    architecture = tiny(family)
    config = json.loads(config_of(architecture).to_json_string())
    assert Architecture.from_config(config) == architecture


def test_equal_values_have_equal_hashes(tiny):
    assert len({tiny("bert"), tiny("bert"), tiny("bert", hidden_size=16)}) == 2


def test_replace_checks_the_sizes_again(tiny):
    assert tiny("bert").replace(hidden_size=16).head_dim == 8
    with pytest.raises(ConfigError, match="hidden_size 9 is not a multiple of num_attention_heads 2"):
        tiny("bert").replace(hidden_size=9)


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
def test_sizes_are_positive_whole_numbers(tiny, value):
    with pytest.raises(ConfigError, match=r"num_hidden_layers is .* expected a whole number of at least 1"):
        tiny("bert", num_hidden_layers=value)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("distilbert", {"type_vocab_size": 2}, "no token types"),
        ("bert", {"embedding_size": 4}, "no embedding_size of its own"),
        ("bert", {"local_attention": 8}, "expected None"),
        ("modernbert", {"local_attention": None}, "expected a window"),
        ("bert", {"layer_types": (FULL,) * 3}, "one kind of attention"),
        ("modernbert", {"layer_types": (FULL,)}, "1 layer_types for 3 layers"),
        ("modernbert", {"layer_types": (FULL, SLIDING, "sideways")}, "sideways"),
    ],
)
def test_options_that_a_family_lacks_are_refused(tiny, family, changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny(family, **changes)


def test_unknown_family_names_the_nearest():
    with pytest.raises(ModelError, match="did you mean roberta"):
        Architecture.from_config({"model_type": "robertta"})


def test_a_config_without_its_sizes_says_which():
    with pytest.raises(ModelError, match=r"distilbert model lacks .*n_layers, n_heads, hidden_dim"):
        Architecture.from_config({"model_type": "distilbert", "dim": 8})
    with pytest.raises(ModelError, match="no model_type"):
        Architecture.from_config({"hidden_size": 8})


def test_json_with_unknown_or_missing_keys_is_refused(tiny):
    value = tiny("bert").to_json()
    with pytest.raises(ConfigError, match="did you mean hidden_size"):
        Architecture.from_json(value | {"hiden_size": 8})
    del value["hidden_size"]
    with pytest.raises(ConfigError, match="needs hidden_size"):
        Architecture.from_json(value)


def test_embedding_size_as_wide_as_hidden_size_follows_it(tiny):
    wide = tiny("electra", embedding_size=8)
    assert wide.embedding_size is None
    assert wide.replace(hidden_size=4).embedding_width == 4
    assert tiny("electra").replace(hidden_size=4).embedding_width == 6


def test_roberta_leaves_two_positions_unused(tiny):
    assert tiny("roberta").max_length == 18
    assert tiny("bert").max_length == 20


def test_every_third_layer_of_modernbert_is_global_by_default(tiny):
    architecture = tiny("modernbert", num_hidden_layers=4)
    assert architecture.attention_types == (FULL, SLIDING, SLIDING, FULL)
    assert tiny("bert").attention_types == (FULL,) * 3


def test_modernbert_reads_old_and_new_configs(tiny):
    config = tiny("modernbert").config_changes() | {"model_type": "modernbert"}
    del config["layer_types"]
    old = Architecture.from_config(config | {"global_attn_every_n_layers": 2})
    assert old.attention_types == (FULL, SLIDING, FULL)
    assert Architecture.from_config(old.config_changes() | {"model_type": "modernbert"}) == old


def test_kept_layers_keep_their_attention(tiny):
    teacher = tiny("modernbert", num_hidden_layers=7)
    student = teacher.keep_layers([0, 2, 3])
    assert student.attention_types == (FULL, SLIDING, FULL)
    assert student.config_changes()["layer_types"] == [FULL, SLIDING, FULL]
    assert student.config_changes()["global_attn_every_n_layers"] == 2
    assert teacher.keep_layers([0, 1, 3, 4]).config_changes()["global_attn_every_n_layers"] == 2
    assert teacher.keep_layers([0, 1, 3]).keep_layers([0, 2]).attention_types == (FULL, FULL)


def test_an_irregular_pattern_has_no_period(tiny):
    irregular = tiny("modernbert", layer_types=(FULL, FULL, SLIDING))
    assert irregular.config_changes()["global_attn_every_n_layers"] is None
    with pytest.raises(ConfigError, match="keep_layers"):
        irregular.replace(num_hidden_layers=2)


@pytest.mark.parametrize("layers", [[], [1, 0], [0, 0], [0, 3], [-1, 0]])
def test_layers_that_cannot_be_kept(tiny, layers):
    with pytest.raises(ConfigError, match="cannot keep layers"):
        tiny("bert").keep_layers(layers)


def test_only_modernbert_must_keep_its_first_layer(tiny):
    assert tiny("bert").keep_layers([1, 2]).num_hidden_layers == 2
    with pytest.raises(ConfigError, match="without layer 0"):
        tiny("modernbert").keep_layers([1, 2])
