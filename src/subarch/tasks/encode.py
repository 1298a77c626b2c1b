"""Texts to token ids, kept ragged and padded only batch by batch; and which examples share a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from subarch.errors import ConfigError
from subarch.tasks.base import Array, Examples
from subarch.tasks.trimming import chunks, trimmed

WINDOW = 50
"""Batches per bucket: within so many, examples are sorted by length, which leaves little padding."""


@dataclass(frozen=True)
class Encoded:
    """N tokenised examples, one after the other in flat arrays.

    Attributes:
        input_ids: (T,) int32, the token ids of all examples.
        offsets: (N + 1,) int64; example i is `input_ids[offsets[i]:offsets[i + 1]]`.
        token_type_ids: (T,) int32, or None where the model has none.
        labels: (N,) int64 classes or float32 scores, or None.
        truncated: How many examples lost tokens to `max_length`.
    """

    input_ids: Array
    offsets: Array
    token_type_ids: Array | None = None
    labels: Array | None = None
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Array:
        """(N,) int64: tokens of each example."""
        return np.diff(self.offsets)

    def take(self, indices: Array) -> Encoded:
        """The examples at `indices` (K,), in that order; `truncated` stays that of the whole."""
        rows = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        flat = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Encoded(
            self.input_ids[flat],
            offsets,
            None if self.token_type_ids is None else self.token_type_ids[flat],
            None if self.labels is None else self.labels[rows],
            self.truncated,
        )


def encode(tokenizer: Any, examples: Examples, max_length: int) -> Encoded:
    """Tokenise with the special tokens of the model, cutting the longer text of a pair first.

    Args:
        tokenizer: A fast tokenizer of `transformers`.
        examples: Texts, pairs and labels; labels are passed on.
        max_length: Tokens per example at most, special tokens included.

    Raises:
        ConfigError: `max_length` leaves no room for text.
    """
    special = int(tokenizer.num_special_tokens_to_add(pair=examples.pairs is not None))
    if max_length <= special:
        raise ConfigError(
            f"max_length is {max_length}, expected more than the {special} special tokens", "use 128, say"
        )
    with_types = "token_type_ids" in tokenizer.model_input_names
    ids: list[Array] = []
    types: list[Array] = []
    lengths: list[int] = []
    truncated = 0
    for rows in chunks(examples.texts, examples.pairs, max_length):
        texts, pairs = trimmed(
            tokenizer, examples.texts[rows], None if examples.pairs is None else examples.pairs[rows], max_length
        )
        batch = tokenizer(
            texts,
            pairs,
            truncation="longest_first",
            max_length=max_length,
            return_token_type_ids=with_types,
            return_attention_mask=False,
        )
        ids.extend(np.asarray(row, dtype=np.int32) for row in batch["input_ids"])
        if with_types:
            types.extend(np.asarray(row, dtype=np.int32) for row in batch["token_type_ids"])
        lengths.extend(len(row) for row in batch["input_ids"])
        truncated += sum(bool(encoding.overflowing) for encoding in batch.encodings)
    empty = np.zeros(0, dtype=np.int32)
    return Encoded(
        np.concatenate(ids or [empty]),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        np.concatenate(types or [empty]) if with_types else None,
        examples.labels,
        truncated,
    )


def pad(encoded: Encoded, indices: Array, pad_token_id: int, multiple_of: int = 1) -> dict[str, Array]:
    """One batch, padded on the right to its longest example, rounded up to `multiple_of`.

    Returns:
        `input_ids`, `attention_mask` and, where the model has them, `token_type_ids`: (K, L) int64;
        `labels` (K,) where there are labels.
    """
    taken = encoded.take(indices)
    lengths = taken.lengths
    width = -(-int(lengths.max(initial=1)) // multiple_of) * multiple_of
    mask = np.arange(width) < lengths[:, None]
    batch = {"input_ids": np.full(mask.shape, pad_token_id, dtype=np.int64)}
    batch["input_ids"][mask] = taken.input_ids
    batch["attention_mask"] = mask.astype(np.int64)
    if taken.token_type_ids is not None:
        batch["token_type_ids"] = np.zeros(mask.shape, dtype=np.int64)
        batch["token_type_ids"][mask] = taken.token_type_ids
    if taken.labels is not None:
        batch["labels"] = taken.labels
    return batch


def bucketed_batches(
    lengths: Array, *, batch_size: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1
) -> list[Array]:
    """The batches of one epoch of training: alike in length within a batch, random in every other respect.

    Over all ranks every example comes exactly once, and every rank gets equally many batches. The same
    arguments give the same batches.

    Args:
        lengths: (N,) tokens of each example.
        batch_size: Examples per batch and rank; the last may be smaller, or larger by less than one a rank.
        seed: With `epoch`, all the randomness.
        epoch: From 0.
        rank: Which of `world_size` shares to return.
        world_size: Processes that train together.

    Raises:
        ConfigError: Fewer examples than processes.
    """
    count = len(lengths)
    if count < world_size:
        raise ConfigError(f"{count} examples for {world_size} processes, expected at least one for each")
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(count)
    step = batch_size * world_size
    batches: list[Array] = []
    for start in range(0, count, WINDOW * step):
        window = order[start : start + WINDOW * step]
        window = window[np.argsort(np.asarray(lengths)[window], kind="stable")]
        batches.extend(window[first : first + step] for first in range(0, len(window), step))
    if len(batches) > 1 and len(batches[-1]) < world_size:
        # A rank without a batch would leave the others waiting for its gradients.
        rest = batches.pop()
        batches[-1] = np.concatenate((batches[-1], rest))
    return [batches[index][rank::world_size] for index in rng.permutation(len(batches))]


def ordered_batches(lengths: Array, max_tokens: int) -> list[Array]:
    """Batches for prediction: longest examples first, at most `max_tokens` padded tokens each (never empty).

    Memory is thus fullest in the first batch: what fits there fits everywhere.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches: list[Array] = []
    start = 0
    while start < len(order):
        size = max(1, max_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches
