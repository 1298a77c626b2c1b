"""Building a fresh classifier with a new architecture and everything else as its teacher has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from subarch.arch.architecture import Architecture
from subarch.arch.families import family_of
from subarch.errors import ConfigError

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
