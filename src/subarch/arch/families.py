"""The families of encoders that subarch knows: one table of facts each.

Axes name what each dimension of a parameter counts, so that weights can be cut without knowing the family:

    vocab, position, token_type   rows of the embedding tables
    embedding                     width of ELECTRA's tables; the same as `hidden` where nothing projects them
    hidden                        hidden_size
    attention                     the concatenated heads, num_attention_heads * head_dim
    qkv                           3 * attention: queries, keys, values stacked (ModernBERT)
    intermediate                  intermediate_size
    gated_intermediate            2 * intermediate_size: the input half, then the gate half (ModernBERT)
    None                          kept as it is, such as the number of labels
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from subarch.errors import ModelError, did_you_mean

Axes = tuple[str | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """What tells one family of encoders from another, in the names of its Hugging Face classes."""

    name: str
    """The `model_type` of config.json."""
    config_keys: Mapping[str, str]
    """Field of `Architecture` -> key in config.json."""
    encoder_prefix: str
    """Attribute that holds the encoder in a model with a head; also the prefix of its parameters."""
    layer_prefix: str
    """Prefix of the parameters of layer `{i}`, relative to the encoder."""
    axes: tuple[tuple[str, Axes], ...]
    """Pattern that matches a whole parameter name (without `encoder_prefix`) -> its axes."""
    attention_output: str
    """Module, relative to the layer, whose input is the concatenated heads."""
    after_attention: tuple[str, ...]
    """Modules, relative to the layer, that the concatenated heads pass before the residual sum."""
    attention_norm: str | None
    """Module, relative to the layer, that normalises that sum; None where the norm comes before the attention."""
    feed_forward: tuple[str, ...]
    """Modules, relative to the layer, of the feed-forward network, in their order, without its norm."""
    ffn_output: str
    """Module, relative to the layer, whose input is the intermediate activation."""
    ffn_norm: str | None
    """Module, relative to the layer, that normalises the sum of the feed-forward network's output and its input; None
    where the sum itself is the layer's output, and whoever reads it normalises it."""
    classifier: str
    """Module of the sequence-classification model that gives the logits."""
    classifier_dense: str
    """The dense layer below it, with an activation in between, which no model of the family is without."""
    mlm_head: tuple[str, ...]
    """Modules of the masked-language model that turn hidden states into logits, in their order."""
    mlm_dense: str
    """The dense layer among them, which only a model with that head has (ModernBERT's classifiers have it too)."""
    query_key_value: tuple[str, ...]
    """Modules, relative to the layer, whose outputs are its queries, keys and values, or all three side by side."""
    reads_first_token: bool = True
    """Whether the classifier reads the first token of the last layer and nothing else, whatever config.json says."""
    has_pooler: bool = False
    """Whether the bare encoder ends in a tanh pooler."""
    gated: bool = False
    """Whether the feed-forward network is a gated linear unit, with two input matrices."""
    has_local_attention: bool = False
    """Whether some layers attend only to a window of neighbours."""
    keeps_first_layer: bool = False
    """Whether no other layer can take the place of layer 0, which has no norm before its attention."""
    position_offset: int = 0
    """Rows of the position table that no token uses."""

    def in_encoder(self, parameter_name: str) -> str:
        """`parameter_name` without the encoder's prefix, if it has it."""
        return parameter_name.removeprefix(f"{self.encoder_prefix}.")

    def layer_path(self, index: int) -> str:
        """Path of layer `index` in a model with a head, without a final point."""
        return f"{self.encoder_prefix}.{self.layer_prefix.format(i=index).removesuffix('.')}"


def _keys(*fields: str, **renamed: str) -> dict[str, str]:
    return {field: field for field in fields} | renamed


_SIZES = ("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size")
_TABLES = ("vocab_size", "max_position_embeddings")

_BERT_TABLES: tuple[tuple[str, Axes], ...] = (
    (r"embeddings\.word_embeddings\.weight", ("vocab", "hidden")),
    (r"embeddings\.position_embeddings\.weight", ("position", "hidden")),
    (r"embeddings\.token_type_embeddings\.weight", ("token_type", "hidden")),
    (r"embeddings\.LayerNorm\.(weight|bias)", ("hidden",)),
)
_BERT_LAYERS: tuple[tuple[str, Axes], ...] = (
    (r"encoder\.layer\.\d+\.attention\.self\.(query|key|value)\.weight", ("attention", "hidden")),
    (r"encoder\.layer\.\d+\.attention\.self\.(query|key|value)\.bias", ("attention",)),
    (r"encoder\.layer\.\d+\.attention\.output\.dense\.weight", ("hidden", "attention")),
    (r"encoder\.layer\.\d+\.attention\.output\.dense\.bias", ("hidden",)),
    (r"encoder\.layer\.\d+\.intermediate\.dense\.weight", ("intermediate", "hidden")),
    (r"encoder\.layer\.\d+\.intermediate\.dense\.bias", ("intermediate",)),
    (r"encoder\.layer\.\d+\.output\.dense\.weight", ("hidden", "intermediate")),
    (r"encoder\.layer\.\d+\.output\.dense\.bias", ("hidden",)),
    (r"encoder\.layer\.\d+\.(attention\.)?output\.LayerNorm\.(weight|bias)", ("hidden",)),
)
_BERT_QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
_BERT_POOLER: tuple[tuple[str, Axes], ...] = (
    (r"pooler\.dense\.weight", ("hidden", "hidden")),
    (r"pooler\.dense\.bias", ("hidden",)),
)
_DENSE_CLASSIFIER: tuple[tuple[str, Axes], ...] = (
    (r"classifier\.dense\.weight", ("hidden", "hidden")),
    (r"classifier\.dense\.bias", ("hidden",)),
    (r"classifier\.out_proj\.weight", (None, "hidden")),
    (r"classifier\.out_proj\.bias", (None,)),
)
_LINEAR_CLASSIFIER: tuple[tuple[str, Axes], ...] = (
    (r"classifier\.weight", (None, "hidden")),
    (r"classifier\.bias", (None,)),
)
_SPAN_HEAD: tuple[tuple[str, Axes], ...] = (
    (r"qa_outputs\.weight", (None, "hidden")),
    (r"qa_outputs\.bias", (None,)),
)

BERT = Family(
    name="bert",
    config_keys=_keys(*_SIZES, *_TABLES, "type_vocab_size"),
    encoder_prefix="bert",
    layer_prefix="encoder.layer.{i}.",
    axes=(
        *_BERT_TABLES,
        *_BERT_LAYERS,
        *_BERT_POOLER,
        *_LINEAR_CLASSIFIER,
        *_SPAN_HEAD,
        (r"cls\.predictions\.transform\.dense\.weight", ("hidden", "hidden")),
        (r"cls\.predictions\.transform\.dense\.bias", ("hidden",)),
        (r"cls\.predictions\.transform\.LayerNorm\.(weight|bias)", ("hidden",)),
        (r"cls\.predictions\.decoder\.weight", ("vocab", "hidden")),
        (r"cls\.predictions\.(decoder\.)?bias", ("vocab",)),
    ),
    attention_output="attention.output.dense",
    after_attention=("attention.output.dense", "attention.output.dropout"),
    attention_norm="attention.output.LayerNorm",
    feed_forward=("intermediate", "output.dense", "output.dropout"),
    ffn_output="output.dense",
    ffn_norm="output.LayerNorm",
    classifier="classifier",
    classifier_dense="bert.pooler.dense",
    mlm_head=("cls",),
    mlm_dense="cls.predictions.transform.dense",
    query_key_value=_BERT_QKV,
    has_pooler=True,
)

ROBERTA = Family(
    name="roberta",
    config_keys=_keys(*_SIZES, *_TABLES, "type_vocab_size"),
    encoder_prefix="roberta",
    layer_prefix="encoder.layer.{i}.",
    axes=(
        *_BERT_TABLES,
        *_BERT_LAYERS,
        *_BERT_POOLER,
        *_DENSE_CLASSIFIER,
        *_SPAN_HEAD,
        (r"lm_head\.dense\.weight", ("hidden", "hidden")),
        (r"lm_head\.dense\.bias", ("hidden",)),
        (r"lm_head\.layer_norm\.(weight|bias)", ("hidden",)),
        (r"lm_head\.decoder\.weight", ("vocab", "hidden")),
        (r"lm_head\.(decoder\.)?bias", ("vocab",)),
    ),
    attention_output="attention.output.dense",
    after_attention=("attention.output.dense", "attention.output.dropout"),
    attention_norm="attention.output.LayerNorm",
    feed_forward=("intermediate", "output.dense", "output.dropout"),
    ffn_output="output.dense",
    ffn_norm="output.LayerNorm",
    classifier="classifier.out_proj",
    classifier_dense="classifier.dense",
    mlm_head=("lm_head",),
    mlm_dense="lm_head.dense",
    query_key_value=_BERT_QKV,
    has_pooler=True,
    # positions count from pad_token_id + 1, and RoBERTa pads with token 1
    position_offset=2,
)

DISTILBERT = Family(
    name="distilbert",
    config_keys=_keys(
        *_TABLES,
        num_hidden_layers="n_layers",
        num_attention_heads="n_heads",
        hidden_size="dim",
        intermediate_size="hidden_dim",
    ),
    encoder_prefix="distilbert",
    layer_prefix="transformer.layer.{i}.",
    axes=(
        (r"embeddings\.word_embeddings\.weight", ("vocab", "hidden")),
        (r"embeddings\.position_embeddings\.weight", ("position", "hidden")),
        (r"embeddings\.LayerNorm\.(weight|bias)", ("hidden",)),
        (r"transformer\.layer\.\d+\.attention\.[qkv]_lin\.weight", ("attention", "hidden")),
        (r"transformer\.layer\.\d+\.attention\.[qkv]_lin\.bias", ("attention",)),
        (r"transformer\.layer\.\d+\.attention\.out_lin\.weight", ("hidden", "attention")),
        (r"transformer\.layer\.\d+\.attention\.out_lin\.bias", ("hidden",)),
        (r"transformer\.layer\.\d+\.ffn\.lin1\.weight", ("intermediate", "hidden")),
        (r"transformer\.layer\.\d+\.ffn\.lin1\.bias", ("intermediate",)),
        (r"transformer\.layer\.\d+\.ffn\.lin2\.weight", ("hidden", "intermediate")),
        (r"transformer\.layer\.\d+\.ffn\.lin2\.bias", ("hidden",)),
        (r"transformer\.layer\.\d+\.(sa|output)_layer_norm\.(weight|bias)", ("hidden",)),
        (r"(pre_classifier|vocab_transform)\.weight", ("hidden", "hidden")),
        (r"(pre_classifier|vocab_transform)\.bias", ("hidden",)),
        *_LINEAR_CLASSIFIER,
        *_SPAN_HEAD,
        (r"vocab_layer_norm\.(weight|bias)", ("hidden",)),
        (r"vocab_projector\.weight", ("vocab", "hidden")),
        (r"vocab_projector\.bias", ("vocab",)),
    ),
    attention_output="attention.out_lin",
    after_attention=("attention.out_lin",),
    attention_norm="sa_layer_norm",
    feed_forward=("ffn",),
    ffn_output="ffn.lin2",
    ffn_norm="output_layer_norm",
    classifier="classifier",
    classifier_dense="pre_classifier",
    mlm_head=("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
    mlm_dense="vocab_transform",
    query_key_value=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
)

ELECTRA = Family(
    name="electra",
    config_keys=_keys(*_SIZES, *_TABLES, "type_vocab_size", "embedding_size"),
    encoder_prefix="electra",
    layer_prefix="encoder.layer.{i}.",
    axes=(
        (r"embeddings\.word_embeddings\.weight", ("vocab", "embedding")),
        (r"embeddings\.position_embeddings\.weight", ("position", "embedding")),
        (r"embeddings\.token_type_embeddings\.weight", ("token_type", "embedding")),
        (r"embeddings\.LayerNorm\.(weight|bias)", ("embedding",)),
        (r"embeddings_project\.weight", ("hidden", "embedding")),
        (r"embeddings_project\.bias", ("hidden",)),
        *_BERT_LAYERS,
        *_DENSE_CLASSIFIER,
        *_SPAN_HEAD,
        (r"generator_predictions\.dense\.weight", ("embedding", "hidden")),
        (r"generator_predictions\.dense\.bias", ("embedding",)),
        (r"generator_predictions\.LayerNorm\.(weight|bias)", ("embedding",)),
        (r"generator_lm_head\.weight", ("vocab", "embedding")),
        (r"generator_lm_head\.bias", ("vocab",)),
    ),
    attention_output="attention.output.dense",
    after_attention=("attention.output.dense", "attention.output.dropout"),
    attention_norm="attention.output.LayerNorm",
    feed_forward=("intermediate", "output.dense", "output.dropout"),
    ffn_output="output.dense",
    ffn_norm="output.LayerNorm",
    classifier="classifier.out_proj",
    classifier_dense="classifier.dense",
    mlm_head=("generator_predictions", "generator_lm_head"),
    mlm_dense="generator_predictions.dense",
    query_key_value=_BERT_QKV,
)

MODERNBERT = Family(
    name="modernbert",
    config_keys=_keys(*_SIZES, *_TABLES),
    encoder_prefix="model",
    layer_prefix="layers.{i}.",
    axes=(
        (r"embeddings\.tok_embeddings\.weight", ("vocab", "hidden")),
        (r"(embeddings\.|final_|head\.|layers\.\d+\.(attn|mlp)_)norm\.(weight|bias)", ("hidden",)),
        (r"layers\.\d+\.attn\.Wqkv\.weight", ("qkv", "hidden")),
        (r"layers\.\d+\.attn\.Wqkv\.bias", ("qkv",)),
        (r"layers\.\d+\.attn\.Wo\.weight", ("hidden", "attention")),
        (r"layers\.\d+\.mlp\.Wi\.weight", ("gated_intermediate", "hidden")),
        (r"layers\.\d+\.mlp\.Wi\.bias", ("gated_intermediate",)),
        (r"layers\.\d+\.mlp\.Wo\.weight", ("hidden", "intermediate")),
        (r"layers\.\d+\.(attn|mlp)\.Wo\.bias", ("hidden",)),
        (r"head\.dense\.weight", ("hidden", "hidden")),
        (r"head\.dense\.bias", ("hidden",)),
        *_LINEAR_CLASSIFIER,
        (r"decoder\.weight", ("vocab", "hidden")),
        (r"decoder\.bias", ("vocab",)),
    ),
    attention_output="attn.Wo",
    after_attention=("attn.Wo", "attn.out_drop"),
    attention_norm=None,
    feed_forward=("mlp",),
    ffn_output="mlp.Wo",
    ffn_norm=None,
    classifier="classifier",
    classifier_dense="head.dense",
    mlm_head=("head", "decoder"),
    mlm_dense="head.dense",
    query_key_value=("attn.Wqkv",),
    reads_first_token=False,
    gated=True,
    has_local_attention=True,
    keeps_first_layer=True,
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in (BERT, ROBERTA, DISTILBERT, ELECTRA, MODERNBERT)}


def family_of(name: str) -> Family:
    """The family with this `model_type`.

    Raises:
        ModelError: No such family.
    """
    if name not in FAMILIES:
        raise ModelError(f"unknown model family {name!r}", did_you_mean(str(name), FAMILIES))
    return FAMILIES[name]


def axes_of(family: Family, parameter_name: str) -> Axes:
    """Name of each dimension of a parameter, with or without the encoder's prefix.

    Raises:
        ModelError: The family has no such parameter.
    """
    name = family.in_encoder(parameter_name)
    for pattern, axes in family.axes:
        if re.fullmatch(pattern, name):
            return axes
    raise ModelError(f"{family.name} models have no parameter {parameter_name!r}")


def layer_of(family: Family, parameter_name: str) -> int | None:
    """Index of the encoder layer that owns a parameter; None outside the layers."""
    match = _layer_match(family, parameter_name)
    return int(match["index"]) if match else None


def rename_layer(family: Family, parameter_name: str, new_index: int) -> str:
    """The name that a layer's parameter has in layer `new_index`; other names are returned unchanged."""
    match = _layer_match(family, parameter_name)
    if match is None:
        return parameter_name
    return f"{parameter_name[: match.start('index')]}{new_index}{parameter_name[match.end('index') :]}"


def _layer_match(family: Family, parameter_name: str) -> re.Match[str] | None:
    before, after = (re.escape(part) for part in family.layer_prefix.split("{i}"))
    prefix = re.escape(f"{family.encoder_prefix}.")
    return re.match(rf"(?:{prefix})?{before}(?P<index>\d+){after}", parameter_name)
