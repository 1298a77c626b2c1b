"""The last layer for the first token alone, which is all that a classifier reads of it.

The classes of `transformers` compute the whole sequence in the last layer and then take the first token. Its keys and
values are needed of every token; its queries, and all that comes after the attention, of one. The answers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from subarch.arch.families import Family, family_of


@contextmanager
def first_token_alone(model: nn.Module) -> Iterator[None]:
    """Inside the context, a classifier's last layer gives one token; parameters and their names stay as they are.

    Hidden states of the last layer then have length 1. A model of another kind, or of a family whose classifier may
    read more than the first token (ModernBERT), is left alone.

    Args:
        model: A transformers model with a head.
    """
    family = family_of(model.config.model_type)  # type: ignore[union-attr, arg-type]
    if not (type(model).__name__.endswith("ForSequenceClassification") and family.reads_first_token):
        yield
        return
    count: int = model.config.num_hidden_layers  # type: ignore[union-attr, assignment]
    last = model.get_submodule(family.layer_path(count - 1))
    if "forward" in vars(last):  # a context around this one
        yield
        return
    heads: int = model.config.num_attention_heads  # type: ignore[union-attr, assignment]

    def forward(state: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        return _layer(last, family, heads, state, attention_mask)

    # An attribute of the object comes before the class's method, and `nn.Module` keeps no parameters in it.
    last.forward = forward
    try:
        yield
    finally:
        del last.forward


def _layer(layer: nn.Module, family: Family, heads: int, state: Tensor, mask: Tensor | None) -> Tensor:
    """(batch, 1, hidden) of (batch, length, hidden): a layer with its norms after the sums, as BERT has them."""
    first = state[:, :1]
    query, key, value = (
        layer.get_submodule(name)(tokens).unflatten(-1, (heads, -1)).transpose(1, 2)
        for name, tokens in zip(family.query_key_value, (first, state, state), strict=True)
    )
    context = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if mask is None else mask[:, :, :1],
        dropout_p=_dropout(layer, family) if layer.training else 0.0,
    )
    assert family.attention_norm is not None
    assert family.ffn_norm is not None
    attended = context.transpose(1, 2).flatten(2)
    for name in family.after_attention:
        attended = layer.get_submodule(name)(attended)
    attended = layer.get_submodule(family.attention_norm)(attended + first)
    output = attended
    for name in family.feed_forward:
        output = layer.get_submodule(name)(output)
    normed: Tensor = layer.get_submodule(family.ffn_norm)(output + attended)
    return normed


def _dropout(layer: nn.Module, family: Family) -> float:
    attention = layer.get_submodule(family.query_key_value[0].rpartition(".")[0])
    dropout: float = attention.dropout.p  # type: ignore[union-attr, assignment]
    return dropout
