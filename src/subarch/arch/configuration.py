"""The one place that decides what is honoured of a config.json: sizes, labels and numbers, never code or kernels.

What is not listed here has no effect: `auto_map`, `trust_remote_code`, attention implementations, dtypes. What would
change the answers of a model and cannot be honoured is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from subarch.errors import ModelError

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
SIGMOID = "sigmoid"
LFS_POINTER = b"version https://git-lfs"

_SIZES = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings "
    "type_vocab_size embedding_size n_layers n_heads dim hidden_dim local_attention layer_types "
    "global_attn_every_n_layers"
)
_FUNCTIONS = (
    "hidden_act activation hidden_activation classifier_activation classifier_pooling summary_type summary_use_proj "
    "summary_activation sinusoidal_pos_embds layer_norm_eps norm_eps norm_bias attention_bias mlp_bias decoder_bias "
    "classifier_bias rope_parameters rope_scaling global_rope_theta local_rope_theta tie_word_embeddings"
)
_TRAINING = (
    "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout dropout attention_dropout qa_dropout "
    "seq_classif_dropout summary_last_dropout embedding_dropout mlp_dropout initializer_range initializer_cutoff_factor"
)
_TOKENS = "pad_token_id bos_token_id eos_token_id cls_token_id sep_token_id mask_token_id unk_token_id"
_LABELS = "id2label label2id num_labels problem_type"
HONOURED = frozenset(f"model_type architectures {_SIZES} {_FUNCTIONS} {_TRAINING} {_TOKENS} {_LABELS}".split())
"""Keys of config.json that have an effect."""

_REFUSED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "quantization_config": ((None,), "save the model in float32 with transformers, by dequantize()"),
    "compression_config": ((None,), "save the model in float32 with transformers, by dequantize()"),
    "position_embedding_type": ((None, "absolute"), "choose a model with absolute positions"),
    "is_decoder": ((None, False), "choose an encoder"),
    "add_cross_attention": ((None, False), "choose an encoder"),
    "is_encoder_decoder": ((None, False), "choose an encoder"),
    "pruned_heads": ((None, {}), "choose a model whose layers all have the same heads"),
    "per_layer_config": ((None, {}), "choose a model whose layers all have the same sizes"),
}
"""Keys that would change the model, their values that change nothing, and what to do about others."""


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model_type": (lambda value: isinstance(value, str), "the name of a family"),
    "architectures": (_are_names, "a list of names"),
    "layer_types": (_are_names, "a list of names"),
    "global_attn_every_n_layers": (lambda value: type(value) is int and value > 0, "a number of layers"),
}
"""Keys that are read before a model is built, and what they must be."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ModelError: No such file, or something else in it.
    """
    if not path.is_file():
        raise ModelError(f"no {path.name} in {path.parent}", "expected a Hugging Face model folder")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    if raw.startswith(LFS_POINTER):
        raise ModelError(f"{path} is a Git LFS pointer, not the file itself", "fetch it: git lfs pull")
    try:
        value = json.loads(raw.decode("utf-8-sig"))
        json.dumps(value, ensure_ascii=False).encode()  # what is read must be writable: no half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON", "download or save the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def honoured(config: Mapping[str, Any], where: Path | str = "config.json") -> dict[str, Any]:
    """What has an effect of the content of a config.json; its labels as `id2label`, whichever way they were given.

    Args:
        config: The parsed file.
        where: What messages call it.

    Raises:
        ModelError: A setting that would change the model and cannot be honoured, or labels that cannot be read.
    """
    for key, (harmless, hint) in _REFUSED.items():
        if config.get(key) not in harmless:
            value = config[key]
            name = value.get("quant_method", value) if isinstance(value, dict) else value
            raise ModelError(f"{where} has {key} {_short(name)}, which subarch cannot honour", hint)
    kept = {key: value for key, value in config.items() if key in HONOURED}
    problem = kept.get("problem_type")
    if problem is not None and problem not in PROBLEM_TYPES:
        raise ModelError(f"{where} has problem_type {_short(problem)}, expected one of {', '.join(PROBLEM_TYPES)}")
    for key, (fits, expected) in _KINDS.items():
        if kept.get(key) is not None and not fits(kept[key]):
            raise ModelError(f"{where} has {key} {_short(kept[key])}, expected {expected}")
    if kept.get("id2label") is not None or kept.get("num_labels") is not None:
        names = _labels(kept, where)
        kept |= {"id2label": {str(index): name for index, name in enumerate(names)}}
        kept |= {"label2id": {name: index for index, name in enumerate(names)}}
    else:
        kept.pop("label2id", None)
    kept.pop("num_labels", None)
    if len(labels_of(kept)) > 1 and activation_of(config, where) == SIGMOID and problem is None:
        kept["problem_type"] = "multi_label_classification"
    return kept


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of a classifier's outputs in their order, of a config from `honoured`; two without names by default."""
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    return tuple(names[str(index)] for index in range(len(names)))


def activation_of(config: Mapping[str, Any], where: Path | str = "config.json") -> str | None:
    """What a cross-encoder of sentence-transformers puts on its outputs: "sigmoid", or None.

    Args:
        config: The parsed config.json, whole.
        where: What messages call it.

    Raises:
        ModelError: Another function than sigmoid, softmax (which changes no answer) or identity.
    """
    section = config.get("sentence_transformers")
    given = section.get("activation_fn") if isinstance(section, dict) else None
    given = given or config.get("sbert_ce_default_activation_function")
    name = str(given or "Identity").rsplit(".", 1)[-1].lower()
    if name in ("identity", "softmax"):
        return None
    if name != SIGMOID:
        raise ModelError(
            f"{where} puts {_short(given)} on the outputs, expected sigmoid or nothing",
            "take it out of config.json if the model's own outputs are its answers",
        )
    return SIGMOID


def _labels(config: Mapping[str, Any], where: Path | str) -> tuple[str, ...]:
    names, count = config.get("id2label"), config.get("num_labels")
    if names is None:
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 1_000_000:
            raise ModelError(f"{where} has num_labels {_short(count)}, expected a number of classes")
        return tuple(f"LABEL_{index}" for index in range(count))
    hint = 'write it as {"0": "first class", "1": "second class"}'
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{where} has id2label {_short(names)}, expected a name for each output", hint)
    try:
        numbered = {int(key): value for key, value in names.items()}
    except ValueError as error:
        turned = all(isinstance(value, int) for value in names.values())
        reason = ", which is label2id written there" if turned else ""
        raise ModelError(f"{where} has id2label {_short(names)}{reason}, expected numbers as keys", hint) from error
    if sorted(numbered) != list(range(len(names))):
        raise ModelError(f"{where} has id2label {_short(names)}, expected the numbers from 0 to {len(names) - 1}", hint)
    if any(isinstance(name, dict | list) or name is None for name in numbered.values()):
        raise ModelError(f"{where} has id2label {_short(names)}, expected names as values", hint)
    return tuple(str(numbered[index]) for index in range(len(names)))


def _short(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:79]}…"
