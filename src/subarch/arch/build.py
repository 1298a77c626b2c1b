"""Building a fresh classifier or masked-language model: a new architecture, all else as its teacher has it; heads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from subarch.arch.architecture import Architecture
from subarch.arch.families import family_of
from subarch.errors import ConfigError

HeadName = Literal["default", "linear", "two_layer"]
HeadInit = Literal["default", "gaussian", "uniform", "orthogonal", "xavier"]

# true of the teacher's file or its labels, not of a model built from it
_NOT_INHERITED = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "torch_dtype",
    "transformers_version",
)


def build_config(
    architecture: Architecture,
    base_config: Mapping[str, Any],
    *,
    num_labels: int,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    layers: Sequence[int] | None = None,
) -> PretrainedConfig:
    """The configuration of `architecture`, with the teacher's activation, dropout, norms and special ids.

    Args:
        architecture: The sizes.
        base_config: The teacher's config.json as a dict, of the same family.
        num_labels: Outputs of the classifier.
        id2label: Names of the outputs; "LABEL_0" and so on where absent.
        problem_type: "regression", "single_label_classification" or "multi_label_classification".
        layers: Teacher layers that are kept, so that each keeps its kind of attention.

    Raises:
        ConfigError: Another family than the teacher's, layers or labels that do not fit, or sizes that
            cannot run.
        ModelError: A `base_config` that subarch cannot read.
    """
    teacher = Architecture.from_config(base_config)
    if architecture.family != teacher.family:
        raise ConfigError(f"cannot build a {architecture.family} model from a {teacher.family} teacher")
    if not architecture.type_vocab_size and "type_vocab_size" in family_of(architecture.family).config_keys:
        raise ConfigError(
            f"a {architecture.family} model of transformers needs a token type, got type_vocab_size 0",
            "set type_vocab_size to 1",
        )
    if layers is not None:
        architecture = _with_attention_of(architecture, teacher.keep_layers(layers))
    labels = _labels(num_labels, id2label)
    values = {key: value for key, value in base_config.items() if key not in _NOT_INHERITED}
    values |= architecture.config_changes()
    values |= {"id2label": labels, "label2id": {label: index for index, label in labels.items()}}
    if problem_type is not None:
        values["problem_type"] = problem_type
    config: PretrainedConfig = CONFIG_MAPPING[architecture.family].from_dict(values)
    return config


def build_classifier(
    architecture: Architecture,
    base_config: Mapping[str, Any],
    *,
    num_labels: int,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
    layers: Sequence[int] | None = None,
) -> PreTrainedModel:
    """A float32 classifier, its weights drawn from torch's generator; arguments as in `build_config`."""
    config = build_config(
        architecture,
        base_config,
        num_labels=num_labels,
        id2label=id2label,
        problem_type=problem_type,
        layers=layers,
    )
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


def empty_classifier(config: PretrainedConfig) -> PreTrainedModel:
    """A float32 sequence classifier whose weights are whatever memory holds, for a caller that fills all of them.

    Drawing normal numbers for a vocabulary takes longer than all the rest of building a small model.
    """
    with no_init_weights():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return model


def build_masked_lm(
    architecture: Architecture,
    base_config: Mapping[str, Any],
    *,
    layers: Sequence[int] | None = None,
    empty: bool = False,
) -> PreTrainedModel:
    """A float32 masked-language model with tied embeddings, its weights drawn from torch's generator.

    Args:
        architecture: The sizes.
        base_config: As in `build_config`.
        layers: As in `build_config`.
        empty: Leave the weights as memory holds them, for a caller that fills all of them.

    Raises:
        ConfigError: As `build_config`.
        ModelError: As `build_config`.
    """
    config = build_config(architecture, {**base_config, "tie_word_embeddings": True}, num_labels=2, layers=layers)
    with no_init_weights() if empty else nullcontext():
        model: PreTrainedModel = AutoModelForMaskedLM.from_config(config)
    model.tie_weights()  # which comes with the drawing of weights, and is left out with it
    return model


def head_layers(family: str, head: HeadName, known: Collection[str]) -> tuple[str, ...]:
    """Modules of a new head that are drawn: the last layer, and by `head` the dense one below it.

    Bort puts one linear layer on its encoder, and one more for CoLA (arXiv 2010.10499). The classes of `transformers`
    always have a dense layer and an activation below the last one, so a single layer is drawn where the encoder was
    pre-trained with that dense layer (BERT's pooler, the head of a ModernBERT).

    Args:
        family: Name of the family.
        head: "linear", "two_layer", or "default": the dense layer too where the encoder has none.
        known: Names of the encoder's trained parameters.

    Raises:
        ConfigError: "linear" above an encoder without that dense layer.
    """
    facts = family_of(family)
    dense = f"{facts.in_encoder(facts.classifier_dense)}.weight"
    pretrained = dense in {facts.in_encoder(name) for name in known}
    if head == "linear" and not pretrained:
        raise ConfigError(
            f"head is linear, but transformers puts a dense layer and an activation below the last layer of "
            f"{family} models, and this one has no {dense}",
            "use head=two_layer, or an encoder that was saved with it",
        )
    both = head == "two_layer" or not pretrained
    return (facts.classifier_dense, facts.classifier) if both else (facts.classifier,)


def draw_head(model: PreTrainedModel, layers: Sequence[str], init: HeadInit, scale: float) -> None:
    """Draw linear layers anew from torch's generator, in place; their biases become 0.

    Args:
        model: A classifier.
        layers: Names of its modules, from `head_layers`.
        init: As in Bort's released fine-tuning: "gaussian" N(0, scale²), "uniform" U(-scale, scale), "orthogonal"
            with gain `scale`, "xavier" U(±√(6 / (inputs + outputs))) (Glorot and Bengio 2010); "default"
            N(0, initializer_range²), as BERT does.
        scale: See `init`; the released code calls it `prob`, by default 0.5.
    """
    draws: dict[str, Callable[[Tensor], Any]] = {
        "default": lambda weight: nn.init.normal_(weight, 0.0, model.config.initializer_range),
        "gaussian": lambda weight: nn.init.normal_(weight, 0.0, scale),
        "uniform": lambda weight: nn.init.uniform_(weight, -scale, scale),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, scale),
        "xavier": nn.init.xavier_uniform_,
    }
    with torch.no_grad():
        for name in layers:
            layer = model.get_submodule(name)
            draws[init](layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()


def _with_attention_of(architecture: Architecture, kept: Architecture) -> Architecture:
    if kept.num_hidden_layers != architecture.num_hidden_layers:
        raise ConfigError(
            f"{kept.num_hidden_layers} kept layers for an architecture of {architecture.num_hidden_layers}"
        )
    return architecture if kept.local_attention is None else architecture.replace(layer_types=kept.attention_types)


def _labels(num_labels: int, id2label: Mapping[int, str] | None) -> dict[int, str]:
    labels = dict(id2label or {index: f"LABEL_{index}" for index in range(num_labels)})
    if sorted(labels) != list(range(num_labels)):
        raise ConfigError(f"id2label names {sorted(labels)}, expected 0 to {num_labels - 1}")
    if len(set(labels.values())) != num_labels:
        raise ConfigError(f"id2label gives one name to several labels: {list(labels.values())}")
    return labels
