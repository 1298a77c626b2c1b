"""Parameters and floating-point operations of an architecture, in closed form.

The Bort paper (arXiv:2010.10499), Lemmas 1 and 2; both were checked against built models rather than copied.
V vocab_size, s max_position_embeddings, t type_vocab_size, E embedding_width, D num_hidden_layers,
H hidden_size, I intermediate_size, C num_labels, n sequence_length. num_attention_heads appears in neither.

The forms hold for tied word embeddings, counted once, and for the biases that the published checkpoints of
each family have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from subarch.arch.architecture import SLIDING, Architecture
from subarch.arch.families import family_of
from subarch.errors import ConfigError, did_you_mean

Head = Literal["none", "pooler", "sequence-classification", "question-answering", "masked-lm"]
HEADS: tuple[Head, ...] = ("none", "pooler", "sequence-classification", "question-answering", "masked-lm")


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Numbers of parameters; `total` is the sum of the other three."""

    total: int
    embeddings: int
    """The tables and their norm, and ELECTRA's projection to hidden_size."""
    encoder: int
    """The layers, and ModernBERT's norm after the last one."""
    head: int
    """All that follows the encoder, without what it shares with the embeddings."""


def parameters(architecture: Architecture, head: Head = "none", num_labels: int = 2) -> ParameterCount:
    """Count the parameters of a model (Lemma 2), exactly.

    Raises:
        ConfigError: An unknown head, or the pooler of a family without one.
    """
    forms = _FORMS[architecture.family]
    embeddings, encoder = forms.embeddings(architecture), forms.layers(architecture)
    in_head = _head_parameters(architecture, _checked(architecture, head), num_labels)
    return ParameterCount(total=embeddings + encoder + in_head, embeddings=embeddings, encoder=encoder, head=in_head)


def flops(architecture: Architecture, sequence_length: int, head: Head = "none", num_labels: int = 2) -> int:
    """Floating-point operations of one forward pass on one input (Lemma 1); a multiply-add counts as two.

    Only matrix products are counted. A local layer counts the pairs of tokens inside its window, which a
    kernel that masks the others still computes. "masked-lm" decodes every token.

    Args:
        architecture: The encoder.
        sequence_length: Tokens of the input, n.
        head: What follows the encoder.
        num_labels: C, for "sequence-classification".

    Raises:
        ConfigError: An input of no tokens or longer than the encoder reads, an unknown head, or the pooler
            of a family without one.
    """
    n, H, I = sequence_length, architecture.hidden_size, architecture.intermediate_size  # noqa: E741
    if not 1 <= n <= architecture.max_length:
        raise ConfigError(f"sequence_length is {n}, expected 1 to {architecture.max_length} tokens")
    ffn_matrices = 3 if family_of(architecture.family).gated else 2
    linear = architecture.num_hidden_layers * (8 * n * H**2 + 2 * ffn_matrices * n * H * I)
    attention = sum(4 * _attended_pairs(architecture, kind, n) * H for kind in architecture.attention_types)
    projection = 0 if architecture.embedding_size is None else 2 * n * architecture.embedding_size * H
    return projection + linear + attention + _head_flops(architecture, _checked(architecture, head), n, num_labels)


def _attended_pairs(architecture: Architecture, kind: str, n: int) -> int:
    if kind != SLIDING or architecture.local_attention is None:
        return n**2
    reach = min(architecture.local_attention // 2, n - 1)
    return n * (2 * reach + 1) - reach * (reach + 1)


def _checked(architecture: Architecture, head: Head) -> Head:
    if head not in HEADS:
        raise ConfigError(f"unknown head {head!r}", did_you_mean(str(head), HEADS))
    if head == "pooler" and not family_of(architecture.family).has_pooler:
        raise ConfigError(f"{architecture.family} has no pooler", 'count the bare encoder with head "none"')
    return head


def _head_parameters(architecture: Architecture, head: Head, num_labels: int) -> int:
    H, C = architecture.hidden_size, num_labels
    match head:
        case "none":
            return 0
        case "pooler":
            return H**2 + H
        case "sequence-classification":
            # a dense layer (BERT: the pooler) and the labels; ModernBERT has a norm where others have a bias
            return (H**2 + H) + (H * C + C)
        case "question-answering":
            return (H**2 + H if _dense_below_spans(architecture) else 0) + (2 * H + 2)
        case "masked-lm":
            return _FORMS[architecture.family].masked_lm(architecture)


def _dense_below_spans(architecture: Architecture) -> bool:
    """ModernBERT has its dense layer below the head for spans too, and both see every token."""
    return family_of(architecture.family).classifier_dense == "head.dense"


def _head_flops(architecture: Architecture, head: Head, n: int, num_labels: int) -> int:
    H, E, V = architecture.hidden_size, architecture.embedding_width, architecture.vocab_size
    match head:
        case "none":
            return 0
        case "pooler":
            return 2 * H**2
        case "sequence-classification":
            return 2 * H**2 + 2 * H * num_labels
        case "question-answering":
            return n * ((2 * H**2 if _dense_below_spans(architecture) else 0) + 4 * H)
        case "masked-lm":
            return n * (2 * H * E + 2 * E * V)


@dataclass(frozen=True, kw_only=True)
class _Forms:
    embeddings: Callable[[Architecture], int]
    layers: Callable[[Architecture], int]
    masked_lm: Callable[[Architecture], int]


def _learned_tables(a: Architecture) -> int:
    """(V + s + t) E + 2E, and ELECTRA's EH + H."""
    E, H = a.embedding_width, a.hidden_size
    tables = (a.vocab_size + a.max_position_embeddings + a.type_vocab_size) * E + 2 * E
    return tables + (0 if a.embedding_size is None else E * H + H)


def _post_norm_layers(a: Architecture) -> int:
    """D (4H² + 2HI + 9H + I)."""
    H, I = a.hidden_size, a.intermediate_size  # noqa: E741
    return a.num_hidden_layers * (4 * H**2 + 2 * H * I + 9 * H + I)


def _dense_norm_decoder(a: Architecture) -> int:
    """HE + E, a norm of 2E, and V biases."""
    E = a.embedding_width
    return (a.hidden_size * E + E) + 2 * E + a.vocab_size


def _rotary_tables(a: Architecture) -> int:
    """VH + H: no position table, and a norm without bias."""
    return a.vocab_size * a.hidden_size + a.hidden_size


def _gated_layers(a: Architecture) -> int:
    """D (4H² + 3HI + 2H): no biases; the norm that layer 0 lacks follows the last layer."""
    H, I = a.hidden_size, a.intermediate_size  # noqa: E741
    return a.num_hidden_layers * (4 * H**2 + 3 * H * I + 2 * H)


def _unbiased_decoder(a: Architecture) -> int:
    """H² + H, and V biases."""
    return a.hidden_size**2 + a.hidden_size + a.vocab_size


_POST_NORM = _Forms(embeddings=_learned_tables, layers=_post_norm_layers, masked_lm=_dense_norm_decoder)
_FORMS: Mapping[str, _Forms] = {
    "bert": _POST_NORM,
    "roberta": _POST_NORM,
    "distilbert": _POST_NORM,
    "electra": _POST_NORM,
    "modernbert": _Forms(embeddings=_rotary_tables, layers=_gated_layers, masked_lm=_unbiased_decoder),
}
