"""Batches of questions that are several rows each: a question comes whole, or a softmax over its rows means nothing."""

from __future__ import annotations

import numpy as np

from subarch.errors import ConfigError
from subarch.tasks.encode import WINDOW


def grouped_batches(
    lengths: np.ndarray,
    groups: np.ndarray,
    *,
    batch_size: int,
    seeds: tuple[int, int],
    rank: int = 0,
    world_size: int = 1,
) -> list[np.ndarray]:
    """The batches of one epoch, as `bucketed_batches` makes them, of whole groups.

    Over all ranks every row comes exactly once, and every rank gets equally many batches. The rows of a batch
    ascend.

    Args:
        lengths: (N,) tokens of each row.
        groups: (N,) ascending group of each row.
        batch_size: Rows per batch and rank at most; more only where one group alone has more, or where the batches
            would not go round the ranks.
        seeds: Seed and epoch: all the randomness.
        rank: Which of `world_size` shares to return.
        world_size: Processes that train together.

    Raises:
        ConfigError: Fewer groups than processes.
    """
    _, starts, sizes = np.unique(groups, return_index=True, return_counts=True)
    if len(sizes) < world_size:
        raise ConfigError(f"{len(sizes)} questions for {world_size} processes, expected at least one for each")
    rng = np.random.default_rng(seeds)
    order = rng.permutation(len(sizes))
    longest = np.maximum.reduceat(np.asarray(lengths), starts)
    window = max(1, round(WINDOW * batch_size * world_size / max(1.0, float(sizes.mean()))))
    by_length = [
        part[np.argsort(longest[part], kind="stable")]
        for part in (order[start : start + window] for start in range(0, len(order), window))
    ]
    packed = _packed(np.concatenate(by_length), sizes, batch_size)
    packed = _divisible(packed, world_size)
    rounds = rng.permutation(len(packed) // world_size)
    mine = [packed[int(number) * world_size + rank] for number in rounds]
    return [np.concatenate([np.arange(starts[g], starts[g] + sizes[g]) for g in sorted(batch)]) for batch in mine]


def _packed(order: np.ndarray, sizes: np.ndarray, batch_size: int) -> list[list[int]]:
    """Groups in this order, as many to a batch as its rows allow."""
    batches: list[list[int]] = []
    room = 0
    for group in order.tolist():
        if not batches or sizes[group] > room:
            batches.append([])
            room = batch_size
        batches[-1].append(group)
        room -= int(sizes[group])
    return batches


def _divisible(batches: list[list[int]], world_size: int) -> list[list[int]]:
    """The same groups in a number of batches that `world_size` divides."""
    while len(batches) < world_size:
        largest = max(range(len(batches)), key=lambda index: len(batches[index]))
        half = len(batches[largest]) // 2
        batches[largest : largest + 1] = [batches[largest][:half], batches[largest][half:]]
    rest = len(batches) % world_size
    for index in range(rest):
        batches[index] += batches.pop()
    return batches
