"""Encoders that were trained with the mean over their tokens as the vector of a text, as sentence-transformers do.

A classifier of `transformers` reads the first token. So such an encoder gets one more layer, which puts the mean there:
its attention weighs all tokens alike (queries and keys are zero), takes them as they are, and its feed-forward network
adds nothing. What comes out is the mean, normalised, in a plain model of the family; training starts from there.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from subarch.arch.families import family_of
from subarch.errors import ModelError

MODULES = "modules.json"
WEIGHT = 10.0
"""Of the mean beside the first token's own state, which the residual sum adds; ours. The norm takes its size away."""
SLOPE = 0.5
"""Of the dense layer before the head, so that tanh starts where it is nearly straight; ours."""


def pools_by_mean(path: Path) -> bool:
    """Whether a folder of sentence-transformers takes the mean over all tokens as the text's vector, and that alone.

    Raises:
        ModelError: A modules.json or the configuration of its pooling that cannot be read.
    """
    if not (path / MODULES).is_file():
        return False
    modules: list[dict[str, Any]] = _read(path / MODULES, list)
    folders = [str(module.get("path")) for module in modules if str(module.get("type", "")).endswith("Pooling")]
    if len(folders) != 1 or not (path / folders[0] / "config.json").is_file():
        return False
    config = _read(path / folders[0] / "config.json", dict)
    modes = {name for name, value in config.items() if name.startswith("pooling_mode") and value is True}
    named = config.get("pooling_mode")  # as sentence-transformers 5 writes it
    return modes == {"pooling_mode_mean_tokens"} or (not modes and named == "mean")


def put_mean_first(model: PreTrainedModel) -> None:
    """Let a classifier without a trained head read the mean over its encoder's tokens, in place.

    The heads of the new layer share the mean by a rotation drawn from torch's generator, and the matrix after them
    turns it back: a student that keeps some of the heads and some of the dimensions then keeps its part of all of it.

    Args:
        model: A transformers sequence classifier in fp32.
    """
    family = family_of(model.config.model_type)
    if not family.reads_first_token:
        model.config.classifier_pooling = "mean"  # ModernBERT has it built in
        return
    count: int = model.config.num_hidden_layers
    last = model.get_submodule(family.layer_path(count - 1))
    owner = model.get_submodule(family.layer_path(count - 1).rpartition(".")[0])
    assert isinstance(owner, nn.ModuleList)
    assert family.attention_norm is not None
    assert family.ffn_norm is not None
    layer = copy.deepcopy(last)
    query, key, value = (_linear(layer, name) for name in family.query_key_value)
    dense = _linear(model, family.classifier_dense)
    with torch.no_grad():
        for zero in (query, key, _linear(layer, family.ffn_output)):
            zero.weight.zero_()
        nn.init.orthogonal_(value.weight)
        _linear(layer, family.attention_output).weight.copy_(WEIGHT * value.weight.T)
        nn.init.eye_(dense.weight).mul_(SLOPE)
        for norm in (family.attention_norm, family.ffn_norm):
            nn.init.ones_(layer.get_submodule(norm).weight)
            nn.init.zeros_(layer.get_submodule(norm).bias)
        for linear in (query, key, value, _linear(layer, family.attention_output), _linear(layer, family.ffn_output)):
            linear.bias.zero_()
        dense.bias.zero_()
    owner.append(layer)
    model.config.num_hidden_layers = count + 1


def _linear(module: nn.Module, name: str) -> nn.Linear:
    found = module.get_submodule(name)
    assert isinstance(found, nn.Linear)
    return found


def _read(path: Path, kind: type) -> Any:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}", "save the model again") from error
    items = value if isinstance(value, list) else []
    if not isinstance(value, kind) or not all(isinstance(item, dict) for item in items):
        raise ModelError(f"{path} is not what sentence-transformers writes", "save the model again")
    return value
