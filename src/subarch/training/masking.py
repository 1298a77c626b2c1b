"""Which tokens a masked-language model must guess: dynamic masking, 80 % [MASK], 10 % another token, 10 % as it was.

BERT's masking (Devlin et al. 2019, arXiv 1810.04805), drawn anew in every epoch as RoBERTa does (arXiv 1907.11692).
Shapes: B blocks of L tokens, V the vocabulary, M masked positions.

A block's random numbers are found by its place in the epoch, whatever batch or process it falls into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from subarch.errors import ConfigError, DataError

MASKED, REPLACED = 0.8, 0.1
"""Shares of the chosen tokens that become [MASK] and another token."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Masking:
    """How blocks are masked.

    Raises:
        ConfigError: A probability outside (0, 1).
        DataError: No ordinary token.
    """

    vocab_size: int
    """Tokens that a random replacement is drawn from, without the special ones."""
    mask_token_id: int
    special_token_ids: Sequence[int]
    """Never masked and never drawn; the padding token is one of them."""
    pad_token_id: int = 0
    probability: float = 0.15
    """Share of a block's ordinary tokens that is chosen: this share exactly, rounded, and at least one."""
    continues: np.ndarray | None = None
    """(V,) bool, whether a token goes on the word before it; given, words are chosen whole (`word_continuations`)."""
    ordinary: np.ndarray = field(init=False, repr=False)
    """Ids that are no special token, ascending."""

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ConfigError(f"probability is {self.probability}, expected a share between 0 and 1")
        ordinary = np.setdiff1d(np.arange(self.vocab_size), np.asarray(list(self.special_token_ids), dtype=np.int64))
        if not len(ordinary):
            raise DataError(f"all {self.vocab_size} tokens are special, expected some that can be guessed")
        object.__setattr__(self, "ordinary", ordinary)


def mask_tokens(input_ids: np.ndarray, rng: np.random.Generator, masking: Masking) -> tuple[np.ndarray, np.ndarray]:
    """Choose tokens to guess and hide them.

    Words are chosen in random order until the share is reached, so whole words exceed it by less than one word.

    Args:
        input_ids: (B, L) token ids.
        rng: All the randomness: two numbers a token, block by block.
        masking: How.

    Returns:
        masked_ids: (B, L) int64.
        positions: (M,) int64, ascending indices into the flattened blocks; the labels are `input_ids` there.
    """
    ids = input_ids.astype(np.int64)
    blocks, length = ids.shape
    # An even number of draws a block, so that four of them begin a new block of the counter-based generator.
    choice, fate = rng.random((blocks, 2, length + length % 2))[:, :, :length].transpose(1, 0, 2)
    guessable = ~np.isin(ids, np.asarray(list(masking.special_token_ids)))
    if masking.continues is not None:
        choice = _by_word(choice, masking.continues[ids] & guessable)
    choice = np.where(guessable, choice, np.inf)
    available = guessable.sum(1)
    wanted = np.minimum(np.maximum(1, np.rint(masking.probability * available)).astype(np.int64), available)
    # The wanted-th smallest number of each block; a block of special tokens alone has none below it.
    threshold = np.sort(choice, axis=1)[np.arange(blocks), np.maximum(wanted, 1) - 1]
    chosen = (choice <= threshold[:, None]) & guessable
    masked = np.where(chosen & (fate < MASKED), masking.mask_token_id, ids)
    replaced = chosen & (fate >= MASKED) & (fate < MASKED + REPLACED)
    share = (fate[replaced] - MASKED) / REPLACED
    masked[replaced] = masking.ordinary[
        np.minimum((share * len(masking.ordinary)).astype(np.int64), -1 + len(masking.ordinary))
    ]
    return masked, np.flatnonzero(chosen)


def generator_at(seeds: tuple[int, int], block: int, length: int) -> np.random.Generator:
    """The generator of `mask_tokens` as it stands before block number `block` of an epoch.

    Args:
        seeds: Seed and epoch.
        block: Place in the epoch's order.
        length: Tokens of a block, L.
    """
    key = np.random.SeedSequence(seeds).generate_state(2, np.uint64)
    bits = np.random.Philox(key=key)
    draws = 2 * (length + length % 2)  # a multiple of 4: the counter stands for four draws
    bits.advance(block * draws // 4)
    return np.random.Generator(bits)


def word_continuations(tokens: Sequence[str], *, prefix: str = "##", start: str = "Ġ") -> np.ndarray:
    """(V,) bool: whether each token goes on the word before it.

    Args:
        tokens: The vocabulary in the order of its ids.
        prefix: What WordPiece writes before such a token.
        start: What a byte-level BPE writes before a token that begins a word; used where any token has it.
    """
    byte_level = any(token.startswith(start) for token in tokens)
    if byte_level:
        return np.asarray([not token.startswith(start) for token in tokens])
    return np.asarray([token.startswith(prefix) and len(token) > len(prefix) for token in tokens])


def _by_word(choice: np.ndarray, continuing: np.ndarray) -> np.ndarray:
    """Each token's number replaced by that of the first token of its word."""
    column = np.arange(choice.shape[1])
    first = np.maximum.accumulate(np.where(continuing, 0, column), axis=1)
    return np.take_along_axis(choice, first, axis=1)
